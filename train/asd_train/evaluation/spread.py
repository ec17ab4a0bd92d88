"""Several seeds of one recipe as mean ± deviation."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from .evaluate import Evaluation
from .metrics import arithmetic_mean, harmonic_mean


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over some seeds: `mean`, and `sd`, the sample standard deviation; NaN of fewer than two."""

    mean: float
    sd: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of the values; NaN when one of them is, or there are none."""
        if not values or any(math.isnan(value) for value in values):
            return cls(math.nan, math.nan, len(values))
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else math.nan, len(values))

    @property
    def is_known(self) -> bool:
        """Whether there is a mean."""
        return not math.isnan(self.mean)

    def text(self, *, scale: float = 1.0, digits: int = 3) -> str:
        """Write as people read it: `0.812 ± 0.021`, a single value without deviation, `–` for none."""
        if not self.is_known:
            return "–"
        deviation = "" if math.isnan(self.sd) else f" ± {scale * self.sd:.{digits}f}"
        return f"{scale * self.mean:.{digits}f}{deviation}"


FIGURES = {
    "source AUC": "within the source domain, hmean over machines and sections",
    "target AUC": "within the target domain, hmean over machines and sections",
    "source pAUC": "within the source domain, hmean over machines and sections",
    "target pAUC": "within the target domain, hmean over machines and sections",
    "Ω 2021": "official score of 2021",
    "score 2022": "official score of 2022 and later",
    "source F1": "at the shipped threshold, mean over machines and sections",
    "target F1": "at the shipped threshold, mean over machines and sections",
    "false alarms/h": "an hour of normal test sound, both domains, mean over machines and sections",
}
"""What `headline` gives, with what each figure is."""


def headline(evaluation: Evaluation) -> dict[str, float]:
    """Return the figures that one line of a comparison shows, by the names in `FIGURES`."""
    results = evaluation.machines
    domains = [domain for result in results for domain in (result.source, result.target)]
    return {
        "source AUC": harmonic_mean(r.source.auc for r in results),
        "target AUC": harmonic_mean(r.target.auc for r in results),
        "source pAUC": harmonic_mean(r.source.pauc for r in results),
        "target pAUC": harmonic_mean(r.target.pauc for r in results),
        "Ω 2021": evaluation.scores.omega_2021,
        "score 2022": evaluation.scores.score_2022,
        "source F1": arithmetic_mean(r.source.f1 for r in results),
        "target F1": arithmetic_mean(r.target.f1 for r in results),
        "false alarms/h": arithmetic_mean(domain.false_alarms_per_hour for domain in domains),
    }


def over_seeds(evaluations: Sequence[Evaluation]) -> dict[str, Spread]:
    """Return the headline figures of several seeds as mean ± deviation."""
    figures = [headline(evaluation) for evaluation in evaluations]
    return {name: Spread.of([each[name] for each in figures]) for name in FIGURES}
