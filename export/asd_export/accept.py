"""The parity gate: a graph that does not embed, or judge, as it should is not packed (docs/parity.md)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Final

import numpy as np
from numpy.typing import NDArray

from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.golden import Golden, deviation
from asd_edge.bundle.variants import Kind, Parity, Precision
from asd_edge.serving.verify import LIMITS, golden_embeddings, verify
from asd_train.data.clip import Clip
from asd_train.evaluation.metrics import auc
from asd_train.evaluation.scored import ScoredClip, score_clips
from asd_train.progress import Progress

from .graphs import judged

INT8_DEVIATION: Final = 0.02
"""Largest deviation of int8 where no clips are there whose scores would say more."""
CORRELATION: Final = 0.99
"""Smallest correlation of int8 scores with fp32's, over the clips of each machine and section."""
AUC_DROP: Final = 1.0
"""Largest loss of AUC in percentage points, the mean over machines and sections."""


@dataclass(frozen=True)
class Compared:
    """Scores of a variant beside those of its kind in fp32.

    `correlation`: of the machine and section where it is smallest; `auc_drop`: percentage points, the mean over those
    with both normals and anomalies, None without any. `worst`: the machine and section of `correlation`. `resolution`:
    what it costs, in the same mean, when one normal and one anomaly change places.
    """

    correlation: float
    auc_drop: float | None
    clips: int
    worst: str
    resolution: float


def compare_scores(fp32: Sequence[ScoredClip], other: Sequence[ScoredClip]) -> Compared:
    """Compare the scores that two variants gave the same clips, in the same order; at least two clips a machine."""
    units: dict[str, list[tuple[ScoredClip, ScoredClip]]] = defaultdict(list)
    for first, second in zip(fp32, other, strict=True):
        units[first.clip.unit].append((first, second))
    correlations = {unit: _correlation(pairs) for unit, pairs in units.items()}
    worst = min(correlations, key=lambda unit: correlations[unit])
    both = [pairs for pairs in units.values() if all(_split(pairs, 0))]
    drops = [100.0 * (auc(*_split(pairs, 0)) - auc(*_split(pairs, 1))) for pairs in both]
    steps = [100.0 / prod(map(len, _split(pairs, 0))) for pairs in both]
    drop, step = (float(np.mean(each)) if both else None for each in (drops, steps))
    return Compared(correlations[worst], drop, len(fp32), worst, step or 0.0)


def _correlation(pairs: Sequence[tuple[ScoredClip, ScoredClip]]) -> float:
    """Return Pearson's correlation; 1 where all scores are the same in both, which is no difference."""
    a, b = (np.asarray([pair[i].score for pair in pairs], np.float64) for i in (0, 1))
    if np.ptp(a) == 0.0 or np.ptp(b) == 0.0:
        return 1.0 if np.allclose(a, b, rtol=1e-3) else 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _split(pairs: Sequence[tuple[ScoredClip, ScoredClip]], side: int) -> tuple[list[float], list[float]]:
    """Return the scores of the normals and of the anomalies that one side gave."""
    scored = [pair[side] for pair in pairs]
    normals = [item.score for item in scored if item.clip.anomalous is False]
    return normals, [item.score for item in scored if item.clip.anomalous]


def refusal(precision: Precision, parity: Parity, *, resolution: float = 0.0) -> str | None:
    """Return why a variant is not packed; None when it may be.

    fp32 and fp16 are held to the trained network's embeddings. int8 is held to what fp32 makes of clips, for eight bits
    move every embedding, and what counts is whether they move judgements. `resolution`: of the AUC with these clips;
    where they are too few to tell a point, two of them may change places.
    """
    if precision != "int8":
        return _above("a deviation from the trained network", parity.deviation, LIMITS[precision])
    if parity.correlation is None:
        return _above("a deviation from the trained network, without clips to score", parity.deviation, INT8_DEVIATION)
    if not parity.correlation >= CORRELATION:
        return f"scores correlate by {parity.correlation:.4f} with those of fp32, at least {CORRELATION} is due"
    if parity.auc_drop is None:
        return None
    return _above("an AUC drop in percentage points", parity.auc_drop, max(AUC_DROP, resolution))


def _above(what: str, found: float, limit: float) -> str | None:
    return None if found <= limit else f"{what} of {found:.2e}, at most {limit:.0e} is due"


def golden_deviation(embeddings: NDArray[np.float32], golden: Golden, kind: Kind) -> float:
    """Return how far golden embeddings of a kind are from the trained network's, 2 at the most."""
    return min(2.0, deviation(embeddings, golden.trained[kind], unit=golden.unit))


@dataclass(frozen=True)
class Accepted:
    """What the gate found of one variant of a bundle: `why` it is refused, or None."""

    kind: Kind
    precision: Precision
    parity: Parity
    why: str | None


def accept(bundle: Bundle, clips: Sequence[Clip], *, channel: int | None = None, progress: Progress) -> list[Accepted]:
    """Hold every variant of a bundle to the gate again, on this machine and with these clips.

    Args:
        bundle: to accept.
        clips: test clips among them, of machines that the bundle knows, are scored with every variant; there may be
            none.
        channel: of multi-channel clips.
        progress: shows bars.

    Raises:
        EngineError: a graph cannot be run here.
        SourceError: a clip cannot be read.
    """
    scored: dict[tuple[Kind, Precision], list[ScoredClip]] = {}
    found = []
    for variant in sorted(bundle.manifest.variants, key=lambda variant: variant.precision != "fp32"):
        seen = bundle.at(variant.precision, variant.kind)
        own = verify(seen)
        runs = replace(
            seen.pipeline(), embedder=judged(bundle.manifest.graphs, bundle.graphs, variant.kind, variant.precision)
        )
        parity = Parity(deviation=golden_deviation(golden_embeddings(runs, bundle.golden), bundle.golden, own.kind))
        tests = [clip for clip in clips if clip.split == "test" and clip.unit in {m.key for m in variant.machines}]
        if tests:
            scored[variant.kind, variant.precision] = scores_of(seen, tests, channel=channel, progress=progress)
        fp32 = scored.get((variant.kind, "fp32"))
        resolution = 0.0
        if fp32 is not None and variant.precision != "fp32":
            compared = compare_scores(fp32, scored[variant.kind, variant.precision])
            parity, resolution = with_scores(parity, compared), compared.resolution
        why = refusal(variant.precision, parity, resolution=resolution) if own.passed else f"{own}"
        found.append(Accepted(variant.kind, variant.precision, parity, why))
    return found


def scores_of(bundle: Bundle, tests: Sequence[Clip], *, channel: int | None, progress: Progress) -> list[ScoredClip]:
    """Score test clips with the variant in view: its own graphs, conditions and thresholds."""
    known = {m.key: bundle.factory_conditions(m.machine, m.section) for m in bundle.machines}
    conditions = {key: each for key, each in known.items() if each is not None}
    return score_clips(bundle.pipeline(), conditions, tests, channel=channel, progress=progress)


def with_scores(parity: Parity, compared: Compared) -> Parity:
    """Return a variant's parity with what its scores say."""
    return Parity(
        **parity.model_dump()
        | {"correlation": compared.correlation, "auc_drop": compared.auc_drop, "clips": compared.clips}
    )


def packed(bundle: Bundle) -> list[Accepted]:
    """Return what the gate found of each variant when it was exported."""
    return [Accepted(variant.kind, variant.precision, variant.parity, None) for variant in bundle.manifest.variants]


def table(found: Sequence[Accepted]) -> str:
    """Return what the gate found as text, a line a variant."""
    lines = [f"{'graph':16}{'deviation':>11}{'correlation':>13}{'AUC drop':>10}{'speed':>9}  verdict"]
    for one in found:
        parity = one.parity
        shown: Mapping[str, str] = {
            "correlation": "-" if parity.correlation is None else f"{parity.correlation:.4f}",
            "drop": "-" if parity.auc_drop is None else f"{parity.auc_drop:+.2f}",
            "speed": "-" if parity.speed is None else f"{parity.speed:.2f}x",
        }
        lines.append(
            f"{one.kind + '/' + one.precision:16}{parity.deviation:11.1e}{shown['correlation']:>13}"
            f"{shown['drop']:>10}{shown['speed']:>9}  {one.why or 'ok'}"
        )
    return "\n".join(lines)
