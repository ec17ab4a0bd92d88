"""From the scores of test clips to every figure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .official import MachineMeans, OfficialScores, machine_means, official_scores
from .results import MachineResult, machine_result
from .scored import ScoredClip


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All machines.

    `machines`: one entry a machine and section. `means`: one a machine, over its sections. `scores`: official scores of
    each year.
    """

    machines: tuple[MachineResult, ...]
    means: tuple[MachineMeans, ...]
    scores: OfficialScores

    @property
    def official(self) -> float:
        """The official score of 2022 and later."""
        return self.scores.score_2022

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON; NaN becomes null."""
        plain: dict[str, Any] = without_nan(asdict(self) | {"official": self.official})
        return plain


def evaluate(scored: Sequence[ScoredClip]) -> Evaluation:
    """Compute every figure from the scores of the test clips; those whose label is unknown are left out."""
    units: dict[tuple[str, str], list[ScoredClip]] = defaultdict(list)
    for item in scored:
        if item.clip.anomalous is None:
            continue
        units[item.clip.machine, item.clip.section].append(item)
    return evaluation_of([machine_result(*unit, units[unit]) for unit in sorted(units)])


def evaluation_of(results: Sequence[MachineResult]) -> Evaluation:
    """Compute the means and official scores of some machines and sections."""
    return Evaluation(tuple(results), tuple(machine_means(results)), official_scores(results))


def without_nan(value: Any) -> Any:
    """Return plain values with null in place of NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and value != value else value
