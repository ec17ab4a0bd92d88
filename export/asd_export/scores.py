"""Scores of one variant beside those of its kind in fp32: do they judge alike?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

import numpy as np

from asd_train.evaluation.metrics import auc
from asd_train.evaluation.scored import ScoredClip

LEAST_CLIPS: Final = 10
"""Clips of a machine and section from which a correlation says something; of fewer it is left out."""

Pairs = Sequence[tuple[ScoredClip, ScoredClip]]


@dataclass(frozen=True)
class Compared:
    """What the same clips got from both. Machines and sections of fewer than LEAST_CLIPS are not judged.

    `correlation`: Pearson's, of the machine and section where it is smallest, which is `worst`; None without any.
    `auc_drop`: percentage points that were lost, the mean over those with normals and anomalies; None without any.
    `clips`: that were compared. `unjudged`: machines and sections with too few. `resolution`: what it costs, in the
    same mean, when one normal and one anomaly of the smallest change places.

    Scores that are no numbers correlate by −1 and lose 100 points.
    """

    correlation: float | None = None
    auc_drop: float | None = None
    clips: int = 0
    worst: str | None = None
    unjudged: tuple[str, ...] = ()
    resolution: float = 0.0


def compare_scores(fp32: Sequence[ScoredClip], other: Sequence[ScoredClip], units: Sequence[str]) -> Compared:
    """Compare the scores that two variants gave the same clips, in the same order.

    `units`: the machines and sections that the bundle is for.
    """
    by_unit: dict[str, list[tuple[ScoredClip, ScoredClip]]] = defaultdict(list)
    for first, second in zip(fp32, other, strict=True):
        by_unit[first.clip.unit].append((first, second))
    enough = {unit: pairs for unit, pairs in sorted(by_unit.items()) if len(pairs) >= LEAST_CLIPS}
    unjudged = tuple(unit for unit in units if unit not in enough)
    if not enough:
        return Compared(unjudged=unjudged)
    correlations = {unit: _correlation(pairs) for unit, pairs in enough.items()}
    worst = min(correlations, key=lambda unit: correlations[unit])
    both = [pairs for pairs in enough.values() if all(_split(pairs, 0))]
    return Compared(
        correlation=correlations[worst],
        auc_drop=float(np.mean([_drop(pairs) for pairs in both])) if both else None,
        clips=sum(map(len, enough.values())),
        worst=worst,
        unjudged=unjudged,
        resolution=max((100.0 / prod(map(len, _split(pairs, 0))) for pairs in both), default=0.0) / max(1, len(both)),
    )


def _finite(pairs: Pairs) -> bool:
    return bool(np.isfinite([pair[side].score for pair in pairs for side in (0, 1)]).all())


def _correlation(pairs: Pairs) -> float:
    """Return Pearson's correlation; 1 where all scores are the same in both, which is no difference."""
    if not _finite(pairs):
        return -1.0
    a, b = (np.asarray([pair[side].score for pair in pairs], np.float64) for side in (0, 1))
    if np.ptp(a) == 0.0 or np.ptp(b) == 0.0:
        return 1.0 if np.allclose(a, b, rtol=1e-3) else 0.0
    return float(np.clip(np.corrcoef(a, b)[0, 1], -1.0, 1.0))


def _drop(pairs: Pairs) -> float:
    if not _finite(pairs):
        return 100.0
    return 100.0 * (auc(*_split(pairs, 0)) - auc(*_split(pairs, 1)))


def _split(pairs: Pairs, side: int) -> tuple[list[float], list[float]]:
    """Return the scores of the normals and of the anomalies that one side gave."""
    scored = [pair[side] for pair in pairs]
    normals = [item.score for item in scored if item.clip.anomalous is False]
    return normals, [item.score for item in scored if item.clip.anomalous]
