"""What a bundle holds of each variant: a kind of graph in one precision, with what is normal and how true it is."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from asd_edge.bundle.calibration import Calibration
from asd_edge.bundle.fitted import Shapes
from asd_edge.engines.embedder import Precision as Precision  # a graph's, and so a variant's
from asd_edge.strict import Name, Sparing, Strict, Text

Kind = Literal["segment", "stream"]

KINDS: Final[tuple[Kind, ...]] = ("segment", "stream")
PRECISIONS: Final[tuple[Precision, ...]] = ("fp32", "fp16", "int8")


def members_of(kind: Kind, precision: Precision) -> tuple[str, ...]:
    """Return the bundle's members that hold the graphs of a variant."""
    parts = ("segment",) if kind == "segment" else ("stream", "head")
    return tuple(f"{part}.{precision}.onnx" for part in parts)


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


class Parity(Sparing):
    """How true a variant was when it was exported, and how fast.

    `deviation`: of its golden embeddings from the trained network's, a cosine distance (docs/parity.md).
    `correlation`, `auc_drop`: of the scores of `clips` clips with those of the same kind in fp32, the worst machine;
    percentage points of AUC, negative where it gained. Null where it is fp32 itself, or there were no such clips.
    `speed`: how many times as fast as fp32 it ran on one thread of the exporting machine's CPU, and `speed_deviation`.
    """

    deviation: Annotated[float, Field(ge=0.0, le=2.0)]
    correlation: Annotated[float | None, Field(ge=-1.0, le=1.0)] = None
    auc_drop: Annotated[float | None, Field(ge=-100.0, le=100.0)] = None
    clips: Annotated[int, Field(ge=0)] = 0
    speed: Annotated[float | None, Field(gt=0.0)] = None
    speed_deviation: Annotated[float | None, Field(ge=0.0)] = None
    note: Text | None = None


class Variant(Strict):
    """A kind of graph in one precision; conditions and thresholds were computed with it and belong to it alone."""

    kind: Kind
    precision: Precision
    parity: Parity
    machines: tuple[FactoryMachine, ...]

    @model_validator(mode="after")
    def _distinct(self) -> Variant:
        keys = [machine.key for machine in self.machines]
        if len(set(keys)) != len(keys):
            raise ValueError("the same machine and section twice")
        return self

    @property
    def members(self) -> tuple[str, ...]:
        """The bundle's members that hold its graphs."""
        return members_of(self.kind, self.precision)
