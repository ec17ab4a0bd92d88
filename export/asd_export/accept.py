"""The parity gate: a graph that does not embed, or judge, as it should is not packed (docs/parity.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.golden import Golden, deviation
from asd_edge.bundle.variants import Kind, Parity, Precision
from asd_edge.errors import DataError
from asd_edge.serving.verify import LIMITS, golden_embeddings, verify
from asd_train.data.clip import Clip
from asd_train.evaluation.scored import ScoredClip, score_clips
from asd_train.progress import Progress

from .graphs import judged
from .scores import LEAST_CLIPS, Compared, compare_scores

INT8_DEVIATION: Final = 0.1
"""Largest deviation of int8: beyond it a graph is broken, whatever its scores."""
INT8_UNJUDGED: Final = 0.02
"""Largest deviation of int8 where a machine has too few clips whose scores would say more."""
CORRELATION: Final = 0.99
"""Smallest correlation of scores with fp32's, over the clips of each machine and section."""
AUC_DROP: Final = 1.0
"""Largest loss of AUC in percentage points, the mean over machines and sections."""


def too_far(precision: Precision, found: float) -> str | None:
    """Return why golden embeddings this far from the trained network's are refused at once; None if they are not."""
    limit = INT8_DEVIATION if precision == "int8" else LIMITS[precision]
    return _above("a deviation from the trained network", found, limit)


def refusal(precision: Precision, found: float, compared: Compared) -> str | None:
    """Return why a variant is not packed; None when it may be.

    All are held to the trained network's embeddings, and what is not fp32 to what fp32 makes of clips too. Eight bits
    move every embedding, and what counts is whether they move judgements: so they may move them further, as far as
    there are clips to show it.

    Args:
        precision: of the variant.
        found: deviation of its golden embeddings from the trained network's.
        compared: its scores beside those of its kind in fp32.
    """
    why = too_far(precision, found)
    if precision == "fp32" or why is not None:
        return why
    if precision == "int8" and (compared.unjudged or compared.correlation is None):
        few = f"a deviation from the trained network, with fewer than {LEAST_CLIPS} clips of {_some(compared.unjudged)}"
        why = _above(few, found, INT8_UNJUDGED)
    if why is None and compared.correlation is not None and not compared.correlation >= CORRELATION:
        shown = f"{compared.correlation:.4f}, at least {CORRELATION} is due"
        why = f"scores of {compared.worst} correlate with those of fp32 by {shown}"
    if why is None and compared.auc_drop is not None:
        why = _above("percentage points of AUC lost", compared.auc_drop, max(AUC_DROP, compared.resolution))
    return why


def _above(what: str, found: float, limit: float) -> str | None:
    return None if found <= limit else f"{what}: {found:.3g}, at most {limit:.3g} is due"


def _some(units: Sequence[str]) -> str:
    return ", ".join(units[:3]) + (" and others" if len(units) > 3 else "") if units else "any machine"


def golden_deviation(embeddings: NDArray[np.float32], golden: Golden, kind: Kind) -> float:
    """Return how far golden embeddings of a kind are from the trained network's, 2 at the most."""
    return min(2.0, deviation(embeddings, golden.trained[kind], unit=golden.unit))


def with_scores(parity: Parity, compared: Compared) -> Parity:
    """Return a variant's parity with what its scores say."""
    told = {"correlation": compared.correlation, "auc_drop": compared.auc_drop, "clips": compared.clips}
    return Parity(**parity.model_dump() | told)


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
            none at all.
        channel: of multi-channel clips.
        progress: shows bars.

    Raises:
        DataError: there are clips, and none can be scored.
        EngineError: a graph cannot be run here.
        SourceError: a clip cannot be read.
    """
    units = [machine.key for machine in bundle.machines]
    tests = [clip for clip in clips if clip.split == "test" and clip.unit in units]
    if clips and not tests:
        raise DataError(
            "None of these clips can be scored with the bundle",
            found=f"clips of {_some(sorted({clip.unit for clip in clips}))}",
            expected=f"test clips of {_some(units)}",
            remedy="Give a data set whose machines and sections have the names that the bundle knows.",
        )
    found: list[Accepted] = []
    fp32: dict[Kind, list[ScoredClip]] = {}
    for variant in sorted(bundle.manifest.variants, key=lambda variant: variant.precision != "fp32"):
        kind, precision = variant.kind, variant.precision
        seen = bundle.at(precision, kind)
        pipeline, own = seen.pipeline(), verify(seen)
        runs = replace(pipeline, embedder=judged(bundle.manifest.graphs, bundle.graphs, kind, precision))
        parity = Parity(deviation=golden_deviation(golden_embeddings(runs, bundle.golden), bundle.golden, kind))
        compared = Compared(unjudged=tuple(units))
        why = too_far(precision, parity.deviation) or (None if own.passed else str(own))
        if tests and why is None:
            known = {m.key: bundle.at(precision, kind).factory_conditions(m.machine, m.section) for m in seen.machines}
            conditions = {key: each for key, each in known.items() if each is not None}
            scored = score_clips(pipeline, conditions, tests, channel=channel, progress=progress)
            if precision == "fp32":
                fp32[kind] = scored
            elif kind in fp32:
                compared = compare_scores(fp32[kind], scored, units)
                parity = with_scores(parity, compared)
        found.append(Accepted(kind, precision, parity, why or refusal(precision, parity.deviation, compared)))
    return found


def packed(bundle: Bundle) -> list[Accepted]:
    """Return what the gate found of each variant when it was exported."""
    return [Accepted(variant.kind, variant.precision, variant.parity, None) for variant in bundle.manifest.variants]


def table(found: Sequence[Accepted]) -> str:
    """Return what the gate found as text, a line a variant."""
    lines = [f"{'graph':16}{'deviation':>11}{'correlation':>13}{'AUC drop':>10}{'clips':>7}{'speed':>9}  verdict"]
    for one in found:
        parity = one.parity
        shown: Mapping[str, str] = {
            "correlation": "-" if parity.correlation is None else f"{parity.correlation:.4f}",
            "drop": "-" if parity.auc_drop is None else f"{parity.auc_drop:+.2f}",
            "speed": "-" if parity.speed is None else f"{parity.speed:.2f}x",
        }
        lines.append(
            f"{one.kind + '/' + one.precision:16}{parity.deviation:11.1e}{shown['correlation']:>13}"
            f"{shown['drop']:>10}{parity.clips or '-':>7}{shown['speed']:>9}  {one.why or parity.note or 'ok'}"
        )
    return "\n".join(lines)
