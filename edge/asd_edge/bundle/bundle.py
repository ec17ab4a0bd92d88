"""A bundle as it was read: one file for a device, seen as one of its variants."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from asd_edge.bundle.embedder import GraphBytes, load_embedder
from asd_edge.bundle.fitted import cut, size_of
from asd_edge.bundle.golden import Golden
from asd_edge.bundle.manifest import Description, Manifest
from asd_edge.bundle.signature import Signatures
from asd_edge.bundle.variants import FactoryMachine, Kind, Precision, Variant
from asd_edge.errors import BundleError
from asd_edge.pipeline import Pipeline
from asd_edge.scoring.backends.backend import Fitted
from asd_edge.scoring.conditions import Condition, ConditionSet

Arrays = Mapping[str, NDArray[np.float32]]
Known = dict[str, dict[str, Fitted]]
"""What was learned of each machine's conditions, by `machine/section` and name."""


@dataclass(frozen=True)
class Bundle:
    """A bundle that passed every check, seen as one variant: `load_bundle` gives the one that every device can run.

    Args:
        manifest: what it says about itself.
        bundle_id: SHA-256 of the file.
        graphs: serialised ONNX by member.
        arrays: `conditions` float32 [numbers], `golden` and, for log-mel, `mel` float32 [bins, mels]; read-only.
        kind, precision: the variant in view.
        signatures: what is in it of whoever vouches for it, verified or not.
        signed_by: names of the trusted keys that signed it.
    """

    manifest: Manifest
    bundle_id: str
    graphs: GraphBytes = field(repr=False)
    arrays: Arrays = field(repr=False)
    kind: Kind
    precision: Precision = "fp32"
    signatures: Signatures | None = field(default=None, repr=False)
    signed_by: tuple[str, ...] = ()

    def at(self, precision: Precision, kind: Kind | None = None) -> Bundle:
        """Return this bundle seen as another variant, of the kind in view by default.

        Raises:
            BundleError: there is no such variant.
        """
        kind = kind or self.kind
        if self.manifest.variant(kind, precision) is None:
            there = ", ".join(f"{variant.kind}/{variant.precision}" for variant in self.manifest.variants)
            raise BundleError(
                f"The bundle {self.manifest.name} has no such graph",
                found=f"{kind}/{precision} asked for",
                expected=f"one of {there}",
                remedy="Choose another precision, or export the bundle again with --precision.",
            )
        return replace(self, kind=kind, precision=precision)

    @property
    def variant(self) -> Variant:
        """The variant in view."""
        found = self.manifest.variant(self.kind, self.precision)
        assert found is not None  # of the manifest or through `at`
        return found

    @property
    def machines(self) -> tuple[FactoryMachine, ...]:
        """What the factory knows, computed with the variant in view."""
        return self.variant.machines

    @property
    def embedding_id(self) -> str:
        """SHA-256 of what decides an embedding and what is learned from it: front end, mel matrix, segment length, the
        graphs of the variant in view, and the backend.

        On-device state refers to it, so that a bundle with another name, date, signature or factory machine keeps what
        was enrolled, and another precision does not take it for its own.
        """
        manifest = self.manifest
        said = (manifest.front_end, manifest.segment, manifest.backend)
        parts = "".join(part.model_dump_json() for part in said)
        served = {*self.variant.members, "mel.npy"}
        digests = [member.sha256 for name, member in sorted(manifest.members.items()) if name in served]
        return hashlib.sha256("\n".join([parts, *digests]).encode()).hexdigest()

    def pipeline(self, threads: int = 1) -> Pipeline:
        """Build what the variant in view computes; `threads` run the network.

        Raises:
            EngineError: the engine cannot load a graph, or it is not as the manifest says.
        """
        return Pipeline(
            front_end=self.manifest.front_end.spec(),
            segment=self.manifest.segment.spec(),
            window=self.manifest.window.spec(),
            aggregation=self.manifest.aggregation,
            embedder=load_embedder(self.manifest.graphs, self.graphs, self.kind, self.precision, threads=threads),
            mel=self.arrays.get("mel"),
        )

    def factory_conditions(self, machine: str, section: str) -> ConditionSet | None:
        """Return what the factory knows of a section of a machine; None when it knows nothing.

        Names begin with `factory/`, so that they differ from those enrolled on site.
        """
        for known in self.machines:
            if (known.machine, known.section) == (machine, section):
                fitted = self._fitted[known.key]
                conditions = tuple(
                    Condition(f"factory/{part.name}", fitted[part.name], part.threshold) for part in known.conditions
                )
                return ConditionSet(self.manifest.backend, conditions, known.idle_floor)
        return None

    def source(self, machine: str, section: str) -> Fitted | None:
        """Return what was learned of a machine's source condition, which a condition of few clips leans on."""
        return self._fitted.get(f"{machine}/{section}", {}).get("source")

    @cached_property
    def golden(self) -> Golden:
        """Segments with what the trained network made of them, and each variant where it was exported."""
        return Golden.of(self.arrays["golden"], self.manifest.golden_shapes, unit=self.manifest.golden.unit)

    @cached_property
    def _fitted(self) -> Known:
        return fitted_of(self.manifest, self.arrays["conditions"])[self.kind, self.precision]


def fitted_of(description: Description, numbers: NDArray[np.float32]) -> dict[tuple[Kind, Precision], Known]:
    """Return what was learned of each machine's conditions, by variant.

    Args:
        description: says which arrays there are.
        numbers: of all arrays in the order of the description, float32 [numbers].
    """
    found: dict[tuple[Kind, Precision], Known] = {}
    start = 0
    for variant in description.variants:
        known = found.setdefault((variant.kind, variant.precision), {})
        for machine in variant.machines:
            known[machine.key] = {}
            for condition in machine.conditions:
                stop = start + size_of(condition.arrays)
                known[machine.key][condition.name] = cut(numbers[start:stop], condition.arrays)
                start = stop
    return found
