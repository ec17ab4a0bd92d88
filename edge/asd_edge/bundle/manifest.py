"""What a bundle says about itself: the strict model of its manifest.json (docs/bundle.md)."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from asd_edge.bundle.calibration import Calibration
from asd_edge.bundle.fitted import Shapes, size_of
from asd_edge.bundle.graphs import Graphs
from asd_edge.dsp.clip_spectrum import ClipSpectrumSpec
from asd_edge.dsp.front_end import Feature, FrontEndSpec
from asd_edge.dsp.level import Level
from asd_edge.dsp.segments import SegmentSpec
from asd_edge.scoring.aggregation import Aggregation, WindowSpec
from asd_edge.scoring.backends.kinds import AnyBackend
from asd_edge.strict import Count, Name, RefusalError, Sha256, Sparing, Strict, Text, UtcTime, parse_versioned

FORMAT: Final = "asd-edge-bundle"
VERSION: Final = 3

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


class FactoryCondition(Strict):
    """A factory condition (`source`, `target`): its arrays in conditions.npy, the labels of the sound behind them.

    There are no arrays where the backend learns nothing of a condition.
    """

    name: Name
    arrays: Shapes
    labels: Annotated[tuple[Text, ...], Field(min_length=1)]
    threshold: Annotated[float, Field(gt=0.0)]
    calibration: Calibration


class FactoryMachine(Strict):
    """What the factory knows of one section of a machine; `idle_floor` is a mean square."""

    machine: Name
    section: Name
    idle_floor: Annotated[float, Field(ge=0.0)]
    conditions: Annotated[tuple[FactoryCondition, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _distinct(self) -> FactoryMachine:
        names = [condition.name for condition in self.conditions]
        if len(set(names)) != len(names):
            raise ValueError("two conditions of one name")
        return self

    @property
    def key(self) -> str:
        """What a device file writes in `factory`: `machine/section`."""
        return f"{self.machine}/{self.section}"


class Provenance(Strict):
    """Where the model comes from."""

    recipe: Text
    recipe_sha256: Sha256
    seed: int
    data: tuple[Text, ...]
    asd_edge_version: Text


class Member(Strict):
    """One member beside the manifest: SHA-256 and length of its bytes."""

    sha256: Sha256
    size: Annotated[int, Field(ge=0)]


class Description(Strict):
    """Everything a manifest says but the digests, which the writer computes."""

    name: Text
    created_utc: UtcTime
    front_end: FrontEndFields
    segment: SegmentFields
    window: WindowFields
    aggregation: Aggregation
    embedder: Literal["segment", "stream"]
    graphs: Graphs
    backend: AnyBackend
    machines: tuple[FactoryMachine, ...]
    provenance: Provenance

    @model_validator(mode="after")
    def _fits(self) -> Description:
        served = self.graphs.segment if self.embedder == "segment" else self.graphs.stream
        if served is None:
            raise ValueError(f"the embedder {self.embedder!r} without its graph")
        bands = self.front_end.spec().bands
        if self.graphs.segment is not None:
            self.graphs.segment.check(frames=self.segment.frames, bands=bands, bins=self._bins, dims=served.dims)
        if self.graphs.stream is not None:
            self.graphs.stream.check(bands=bands, dims=served.dims)
            if self.segment.frames % self.segment.step:
                raise ValueError(f"segments of {self.segment.frames} frames every {self.segment.step} in a stream")
            if not self.segment.spec().streamable:
                raise ValueError("segments with a spectrum or a level of their own in a stream")
        try:
            self.backend.check_dims(served.dims)
        except RefusalError as refusal:
            raise ValueError(f"{refusal.found}, where the backend expects {refusal.expected}") from None
        keys = [machine.key for machine in self.machines]
        if len(set(keys)) != len(keys):
            raise ValueError("the same machine and section twice")
        return self

    @property
    def _bins(self) -> int | None:
        """Bins of the spectrum that a segment comes with; None where it comes without."""
        if not self.segment.spectrum:
            return None
        return ClipSpectrumSpec.beside(self.front_end.spec(), self.segment.spec()).bins

    @property
    def dims(self) -> int:
        """Length of an embedding."""
        graph = self.graphs.segment or self.graphs.stream
        assert graph is not None  # _fits
        return graph.dims

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each array; a magnitude front end has no mel matrix."""
        conditions = [condition for machine in self.machines for condition in machine.conditions]
        shapes: dict[str, tuple[int, ...]] = {"conditions": (sum(size_of(c.arrays) for c in conditions),)}
        if self.front_end.feature == "log_mel":
            shapes["mel"] = (self.front_end.spec().bins, self.front_end.mels)
        return shapes


class Manifest(Description):
    """A bundle's manifest.json, version 3."""

    format: Literal["asd-edge-bundle"] = FORMAT
    version: Literal[3] = VERSION
    members: dict[str, Member]

    @staticmethod
    def from_json(data: bytes) -> Manifest:
        """Read manifest.json.

        Raises:
            RefusalError: not JSON, another format or version, unknown keys, or values that do not fit.
        """
        return parse_versioned(data, Manifest, format=FORMAT, version=VERSION)

    def to_json(self) -> bytes:
        """Write manifest.json: format and version first, the same bytes for the same content."""
        content = self.model_dump(mode="json")
        head = {key: content.pop(key) for key in ("format", "version")}
        return json.dumps(head | content, indent=2).encode() + b"\n"
