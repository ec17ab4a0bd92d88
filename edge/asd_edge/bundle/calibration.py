"""How a threshold was found, as it stands in a manifest and in a site state (docs/bundle.md)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

from pydantic import Field, model_validator

from asd_edge.scoring import calibration
from asd_edge.strict import Strict

Positive = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]


class Gamma(Strict):
    """A gamma distribution (location 0) fitted to normal scores."""

    shape: Annotated[float, Field(gt=0.0)]
    scale: Annotated[float, Field(gt=0.0)]


class GammaRateFields(Strict):
    """`GammaRate` in a document."""

    kind: Literal["gamma"] = "gamma"
    most: Positive
    shape: Positive
    scale: Positive
    mean_error: NotNegative
    shape_error: NotNegative


class ParetoRateFields(Strict):
    """`ParetoRate` in a document."""

    kind: Literal["pareto"] = "pareto"
    most: Positive
    level: float
    at_level: Positive
    shape: float
    scale: Positive
    clusters: Positive


class Expected(Strict):
    """Alarms per week at the threshold, and the 90 % interval of that expectation."""

    low: NotNegative
    likely: NotNegative
    high: NotNegative


class Calibration(Strict):
    """`scoring.calibration.Calibration` in a document; its threshold stands beside it.

    The factory's has `quantile`, `percentile_threshold` and `gamma`; one for a budget has the rest.
    """

    method: calibration.Method
    count: Annotated[int, Field(ge=1)]
    quantile: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    percentile_threshold: NotNegative | None = None
    gamma: Gamma | None = None
    alarms_per_week: Positive | None = None
    expected: Expected | None = None
    highest: NotNegative = 0.0
    heard: Annotated[int, Field(ge=0)] | None = None
    clips: Annotated[int, Field(ge=1)] | None = None
    hours: NotNegative | None = None
    mean: float | None = None
    deviation: NotNegative | None = None
    rate: Annotated[GammaRateFields | ParetoRateFields, Field(discriminator="kind")] | None = None

    @model_validator(mode="after")
    def _fitted(self) -> Calibration:
        if self.quantile is None:
            if None in (self.clips, self.hours, self.mean, self.deviation, self.rate):
                raise ValueError("a budget's calibration without clips, hours, mean, deviation and rate")
        elif self.percentile_threshold is None:
            raise ValueError("a quantile without its percentile_threshold")
        elif self.method == "gamma" and self.gamma is None:
            raise ValueError("the method 'gamma' without a fitted gamma")
        return self

    @classmethod
    def of(cls, found: calibration.Calibration) -> Calibration:
        """Return a calibration as it stands in a document."""
        fields = asdict(found)
        del fields["threshold"]
        if found.rate is not None:
            fields["rate"]["kind"] = "gamma" if isinstance(found.rate, calibration.GammaRate) else "pareto"
        expected = None if found.expected is None else asdict(found.expected)
        return cls.model_validate(fields | {"expected": expected})

    def value(self, threshold: float) -> calibration.Calibration:
        """Return the calibration of a threshold; what an old document leaves out comes from its fitted gamma."""
        gamma = None if self.gamma is None else calibration.GammaFit(**self.gamma.model_dump())
        if self.rate is not None:
            kind = {"gamma": calibration.GammaRate, "pareto": calibration.ParetoRate}[self.rate.kind]
            rate = kind(**self.rate.model_dump(exclude={"kind"}))
        else:
            rate = None if gamma is None else calibration.factory_rate(gamma, self.clips or self.count)
        return calibration.Calibration(
            method=self.method,
            threshold=threshold,
            count=self.count,
            clips=self.clips or self.count,
            hours=self.hours or 0.0,
            mean=self.mean if self.mean is not None else gamma.mean if gamma is not None else 0.0,
            deviation=self.deviation if self.deviation is not None else gamma.deviation if gamma is not None else 0.0,
            rate=rate,
            alarms_per_week=self.alarms_per_week,
            highest=self.highest,
            heard=self.heard,
            quantile=self.quantile,
            percentile_threshold=self.percentile_threshold,
            gamma=gamma,
        )
