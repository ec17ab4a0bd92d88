"""Centre imprinting: the mean embedding of a few clips becomes a new centre of normal sound, with its own threshold.

Chen et al., ICASSP 2022, equation 3. The same code enrolls on the device and commissions factory centres.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asd_edge.offline import EmbeddedClip, windows_of
from asd_edge.pipeline import Pipeline
from asd_edge.scoring.aggregation import score_window
from asd_edge.scoring.calibration import Calibration, calibrate_few
from asd_edge.scoring.nearest_centre import Condition, ConditionSet, mean_centre

Groups = Mapping[str, Sequence[EmbeddedClip]]


@dataclass(frozen=True)
class Imprint:
    """A new condition, the labels of its centres and how its threshold was found."""

    condition: Condition
    labels: tuple[str, ...]
    calibration: Calibration


def imprint(
    pipeline: Pipeline,
    name: str,
    groups: Groups,
    *,
    idle_floor: float,
    quantile: float,
    shape: float | None = None,
) -> Imprint:
    """Make a condition from a few clips.

    Args:
        pipeline: that embedded the clips.
        name: of the condition.
        groups: clips by label; each label gives one centre. Enrollment has one label.
        idle_floor: mean square at or below which a segment is not part of the condition.
        quantile: share of normal windows that the threshold lets pass.
        shape: gamma shape of the machine's factory scores, if known.

    Raises:
        ValueError: fewer than two clips, or none with a segment above the idle floor.
    """
    scores = leave_one_out_scores(pipeline, groups, idle_floor=idle_floor)
    clips = sum(len(members) for members in groups.values())
    calibration = calibrate_few(scores, clips=clips, quantile=quantile, shape=shape)
    centres = centres_of(groups, idle_floor=idle_floor)
    return Imprint(Condition(name, centres, calibration.threshold), tuple(groups), calibration)


def centres_of(groups: Groups, *, idle_floor: float) -> NDArray[np.float32]:
    """Return one centre a label, float32 [labels, dims]."""
    return np.stack([mean_centre(active_embeddings(clips, idle_floor)) for clips in groups.values()])


def active_embeddings(clips: Sequence[EmbeddedClip], idle_floor: float) -> list[NDArray[np.float32]]:
    """Return each clip's embeddings of the segments above the idle floor; a clip that is all idle is left out."""
    active = [clip.segments.embeddings[clip.segments.power > idle_floor] for clip in clips]
    return [embeddings for embeddings in active if len(embeddings)]


def leave_one_out_scores(pipeline: Pipeline, groups: Groups, *, idle_floor: float) -> list[float]:
    """Score the windows of each clip against centres made without that clip.

    A whole clip is left out at a time: segments of one clip are not independent, and a centre that has heard a clip
    is too near to it.
    """
    scores: list[float] = []
    for label, members in groups.items():
        for left_out in members:
            others: dict[str, list[EmbeddedClip]] = {
                other: [clip for clip in clips if clip is not left_out] for other, clips in groups.items()
            }
            if len(members) == 1:
                del others[label]
            if others:
                scores += scores_against(
                    pipeline, [left_out], centres_of(others, idle_floor=idle_floor), idle_floor=idle_floor
                )
    return scores


def scores_against(
    pipeline: Pipeline,
    clips: Sequence[EmbeddedClip],
    centres: NDArray[np.float32],
    *,
    idle_floor: float,
) -> list[float]:
    """Return the score of every window of the clips that is not idle, against `centres` alone."""
    reference = ConditionSet((Condition("reference", centres, 0.0),), idle_floor)
    scored = [
        score_window(window, reference, pipeline.aggregation) for clip in clips for window in windows_of(pipeline, clip)
    ]
    return [window.score for window in scored if window is not None]
