"""From what was measured to what serves: a pure step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from asd_edge.bundle.variants import PRECISIONS, Precision
from asd_edge.serving.choice import Candidate, Engine

Enrolled = Mapping[Precision, Sequence[str]]
"""Machines with conditions of their own, by the precision that these were enrolled with."""

NAMED: Final = "the device file names it"
_ENGINES: tuple[Engine, ...] = ("onnxruntime", "tensorrt")


@dataclass(frozen=True, slots=True)
class Decision:
    """What serves and why; `instead`: what would, if nothing held the precision."""

    engine: Engine
    precision: Precision
    precision_why: str
    engine_why: str
    instead: str | None = None


def decide(candidates: Sequence[Candidate], *, fixed: Precision | None, enrolled: Enrolled) -> Decision:
    """Decide which candidate serves: the fastest that may.

    An engine is exchanged freely; a precision is not: conditions enrolled on site are embeddings of the graph that they
    were enrolled with, and mean nothing to another one.

    Args:
        candidates: what was measured, or is out for a reason.
        fixed: the precision that the device file names; None for `auto`.
        enrolled: what a change of precision would orphan.
    """
    fastest = fastest_of(candidates)
    if fixed is not None:
        precision, why = fixed, NAMED
    elif enrolled:
        precision = precision_of(enrolled)
        why = f"conditions were enrolled with it ({', '.join(enrolled[precision])})"
    elif fastest is not None:
        precision, why = fastest.precision, "the fastest that passes parity"
    else:
        precision, why = "fp32", "every device can run it, and nothing passes parity"
    of_it = [candidate for candidate in candidates if candidate.precision == precision]
    best = fastest_of(of_it)
    instead = None
    if fastest is not None and best is not None and fastest.precision != precision and is_faster(fastest, best):
        instead = f"{fastest.name} would be {_times(best, fastest):.1f} times as fast{_again(fastest, enrolled)}"
    engine = "onnxruntime" if best is None else best.engine
    return Decision(engine, precision, why, "; ".join(map(str, of_it)) or "nothing else was measured", instead)


def precision_of(enrolled: Enrolled) -> Precision:
    """Return the precision that is kept: the one of most machines, for conditions of two cannot both be."""
    return max(PRECISIONS, key=lambda precision: len(enrolled.get(precision, ())))  # of as many, the exacter one


def fastest_of(candidates: Sequence[Candidate]) -> Candidate | None:
    """Return the fastest of those that may serve; the exacter one, and the CPU, where no difference was measured."""
    usable = [candidate for candidate in candidates if candidate.out is None]
    usable.sort(key=lambda candidate: (PRECISIONS.index(candidate.precision), _ENGINES.index(candidate.engine)))
    best: Candidate | None = None
    for candidate in usable:
        if best is None or is_faster(candidate, best):
            best = candidate
    return best


def is_faster(one: Candidate, other: Candidate) -> bool:
    """Say whether `one` was measured faster than `other`, beyond the spread of both."""
    if one.seconds is None or one.deviation is None or other.seconds is None or other.deviation is None:
        return False
    return one.seconds + one.deviation < other.seconds - other.deviation


def _times(slower: Candidate, faster: Candidate) -> float:
    return (slower.seconds or 0.0) / max(faster.seconds or 0.0, 1e-9)


def _again(fastest: Candidate, enrolled: Enrolled) -> str:
    machines = [name for precision, names in enrolled.items() if precision != fastest.precision for name in names]
    return f", but these machines would have to be enrolled again: {', '.join(machines)}" if machines else ""
