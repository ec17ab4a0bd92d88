"""What a pipeline is built from, as it stands in a manifest."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

from pydantic import Field, model_validator

from asd_edge.dsp.front_end import Feature, FrontEndSpec
from asd_edge.dsp.level import Level
from asd_edge.dsp.segments import SegmentSpec
from asd_edge.scoring.aggregation import WindowSpec
from asd_edge.strict import Count, Sparing, Strict

Hertz = Annotated[float, Field(ge=0.0, le=192_000.0)]


class FrontEndFields(Strict):
    """`FrontEndSpec` in a manifest; every key is required, so a new default never changes an old bundle."""

    sample_rate: Annotated[int, Field(ge=1_000, le=192_000)]
    window: Annotated[int, Field(ge=16, le=65_536)]
    hop: Count
    feature: Feature
    mels: Count
    mel_scale: Literal["htk", "slaney", "linear"]
    low_hz: Hertz
    high_hz: Hertz
    log_floor: Annotated[float, Field(gt=0.0)]
    stop_hz: Hertz
    pass_hz: Hertz

    @model_validator(mode="after")
    def _consistent(self) -> FrontEndFields:
        self.spec()  # which raises ValueError where values contradict each other
        return self

    @classmethod
    def of(cls, spec: FrontEndSpec) -> FrontEndFields:
        """Return `spec` as it stands in a manifest."""
        return cls(**asdict(spec))

    def spec(self) -> FrontEndSpec:
        """Return the value that the front end is built from."""
        return FrontEndSpec(**self.model_dump())


class SegmentFields(Sparing):
    """`SegmentSpec` in a manifest; what has its default is absent, as in bundles from before there was a choice."""

    frames: Count
    step: Count
    level: Level = "as_is"
    spectrum: bool = False

    @model_validator(mode="after")
    def _gapless(self) -> SegmentFields:
        self.spec()
        return self

    @classmethod
    def of(cls, spec: SegmentSpec) -> SegmentFields:
        """Return `spec` as it stands in a manifest."""
        return cls(**asdict(spec))

    def spec(self) -> SegmentSpec:
        """Return the value that the segmenter is built from."""
        return SegmentSpec(**self.model_dump())


class WindowFields(Strict):
    """`WindowSpec` in a manifest."""

    segments: Count
    every: Count

    @model_validator(mode="after")
    def _gapless(self) -> WindowFields:
        if self.every > self.segments:
            raise ValueError(f"windows of {self.segments} segments cannot start every {self.every}")
        return self

    @classmethod
    def of(cls, spec: WindowSpec) -> WindowFields:
        """Return `spec` as it stands in a manifest."""
        return cls(**asdict(spec))

    def spec(self) -> WindowSpec:
        """Return the value that the windows are built from."""
        return WindowSpec(**self.model_dump())
