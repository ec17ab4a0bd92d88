"""What a bundle says about itself: the strict model of its manifest.json (docs/bundle.md)."""

from __future__ import annotations

import json
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from asd_edge.bundle.fields import FrontEndFields, SegmentFields, WindowFields
from asd_edge.bundle.fitted import size_of
from asd_edge.bundle.golden import golden_shapes
from asd_edge.bundle.graph_check.limits import GraphLimits
from asd_edge.bundle.graphs import Graphs
from asd_edge.bundle.variants import Kind, Precision, Variant
from asd_edge.dsp.clip_spectrum import ClipSpectrumSpec
from asd_edge.scoring.aggregation import Aggregation
from asd_edge.scoring.backends.kinds import AnyBackend
from asd_edge.strict import RefusalError, Sha256, Strict, Text, UtcTime, parse_versioned

FORMAT: Final = "asd-edge-bundle"
VERSION: Final = 4

ReleaseNumber = Annotated[int, Field(ge=1, le=999_999_999_999)]


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


class GoldenFields(Strict):
    """What golden.npy holds (`asd_edge.bundle.golden`): how many `segments`, and how many leading numbers of an
    embedding are a `unit` vector."""

    segments: Annotated[int, Field(ge=1, le=64)]
    unit: Annotated[int, Field(ge=0, le=65_536)]


class Description(Strict):
    """Everything a manifest says but what the writer computes: digests, and what the graphs need."""

    name: Text
    release: ReleaseNumber
    created_utc: UtcTime
    front_end: FrontEndFields
    segment: SegmentFields
    window: WindowFields
    aggregation: Aggregation
    embedder: Kind
    graphs: Graphs
    backend: AnyBackend
    variants: Annotated[tuple[Variant, ...], Field(min_length=1, max_length=6)]
    golden: GoldenFields
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
        self._check_variants()
        return self

    def _check_variants(self) -> None:
        """Every variant once, with the same machines, of a kind that has graphs; the one that is served in fp32."""
        keys = [(variant.kind, variant.precision) for variant in self.variants]
        if len(set(keys)) != len(keys):
            raise ValueError("the same variant twice")
        if (self.embedder, "fp32") not in keys:
            raise ValueError(f"no variant {self.embedder}/fp32, which is what every device can run")
        kinds = {kind for kind in ("segment", "stream") if getattr(self.graphs, kind) is not None}
        if {kind for kind, _ in keys} != kinds:
            raise ValueError(f"graphs of the kinds {sorted(kinds)}, and variants of others")
        machines = [machine.key for machine in self.variants[0].machines]
        for variant in self.variants:
            if [machine.key for machine in variant.machines] != machines:
                raise ValueError(f"other machines in the variant {variant.kind}/{variant.precision} than in the first")
        if self.golden.unit > self.dims:
            raise ValueError(f"golden.unit {self.golden.unit}, more than the {self.dims} numbers of an embedding")

    def variant(self, kind: Kind, precision: Precision) -> Variant | None:
        """Return a variant; None where the bundle has no such."""
        return next((v for v in self.variants if (v.kind, v.precision) == (kind, precision)), None)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of graph that there are."""
        segment: tuple[Kind, ...] = ("segment",) if self.graphs.segment is not None else ()
        return (*segment, "stream") if self.graphs.stream is not None else segment

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
    def reach(self) -> int:
        """Frames of context that the golden segments bring along on either side: what a stream graph needs, or 0."""
        return 0 if self.graphs.stream is None else self.graphs.stream.reach

    @property
    def golden_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each array in golden.npy, in their order."""
        return golden_shapes(
            segments=self.golden.segments,
            frames=self.segment.frames + 2 * self.reach,
            bands=self.front_end.spec().bands,
            bins=self._bins,
            dims=self.dims,
            kinds=self.kinds,
            variants=[(variant.kind, variant.precision) for variant in self.variants],
        )

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each array; a magnitude front end has no mel matrix."""
        known = [condition for v in self.variants for machine in v.machines for condition in machine.conditions]
        shapes: dict[str, tuple[int, ...]] = {
            "conditions": (sum(size_of(condition.arrays) for condition in known),),
            "golden": (size_of(self.golden_shapes),),
        }
        if self.front_end.feature == "log_mel":
            shapes["mel"] = (self.front_end.spec().bins, self.front_end.mels)
        return shapes


class Manifest(Description):
    """A bundle's manifest.json, version 4."""

    format: Literal["asd-edge-bundle"] = FORMAT
    version: Literal[4] = VERSION
    limits: GraphLimits
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
