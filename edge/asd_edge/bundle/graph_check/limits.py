"""What running a graph may cost: the manifest's word for it, and the most that any manifest may say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from asd_edge.strict import Strict

_MIB = 1 << 20


class GraphLimits(Strict):
    """The most that any graph of a bundle needs, at the largest batch and step that the runtime feeds it.

    The exporter measures them (`limits_of`), the reader holds the graphs to them. The bounds of the fields are what no
    manifest can exceed: room for the recipes at full width, in int8, as ensembles of twenty.

    `nodes` of a graph. `initialiser_bytes`: its largest constant. `intermediate_bytes`: the largest tensor that goes in
    or that a node makes. `run_bytes`: all that the nodes make together, so that an engine needs no more in whatever
    order it computes them. `multiplications` of a run: they bound its time, and the buffers that convolutions are
    unrolled into.
    """

    nodes: Annotated[int, Field(ge=1, le=8_192)]
    initialiser_bytes: Annotated[int, Field(ge=0, le=64 * _MIB)]
    intermediate_bytes: Annotated[int, Field(ge=1, le=256 * _MIB)]
    run_bytes: Annotated[int, Field(ge=1, le=8_192 * _MIB)]
    multiplications: Annotated[int, Field(ge=0, le=1 << 40)]

    @classmethod
    def over(cls, needs: Iterable[GraphLimits]) -> GraphLimits:
        """Return the smallest limits that cover all of these."""
        every = [need.model_dump() for need in needs]
        return cls(**{name: max(need[name] for need in every) for name in cls.model_fields})


CAPS = GraphLimits(
    nodes=8_192,
    initialiser_bytes=64 * _MIB,
    intermediate_bytes=256 * _MIB,
    run_bytes=8_192 * _MIB,
    multiplications=1 << 40,
)
"""The limits that no manifest can exceed."""
