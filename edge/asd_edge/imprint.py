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
from asd_edge.scoring.calibration import Calibration, calibrate
from asd_edge.scoring.nearest_centre import Condition, ConditionSet, cosine_distance, mean_centre

UNLIKE = 0.5
"""Cosine distance, sixty degrees, from which two recordings are not one operating condition. The mean of clips
further apart lies between them, near to none, and a threshold that covers them covers every fault as well."""

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
) -> Imprint:
    """Make a factory condition from a few clips.

    Args:
        pipeline: that embedded the clips.
        name: of the condition.
        groups: clips by label; each label gives one centre.
        idle_floor: mean square at or below which a segment is not part of the condition.
        quantile: share of normal windows that the threshold lets pass.

    Raises:
        ValueError: no label with two clips above the idle floor, so that nothing tells how much its sound varies.
    """
    by_clip = leave_one_out_scores(pipeline, groups, idle_floor=idle_floor)
    calibration = calibrate([score for clip in by_clip for score in clip], clips=len(by_clip), quantile=quantile)
    centres = centres_of(groups, idle_floor=idle_floor)
    return Imprint(Condition(name, centres, calibration.threshold), tuple(groups), calibration)


def centres_of(groups: Groups, *, idle_floor: float) -> NDArray[np.float32]:
    """Return one centre a label, float32 [labels, dims]."""
    return np.stack([mean_centre(active_embeddings(clips, idle_floor)) for clips in groups.values()])


def active_embeddings(clips: Sequence[EmbeddedClip], idle_floor: float) -> list[NDArray[np.float32]]:
    """Return each clip's embeddings of the segments above the idle floor; a clip that is all idle is left out."""
    active = [clip.segments.embeddings[clip.segments.power > idle_floor] for clip in clips]
    return [embeddings for embeddings in active if len(embeddings)]


def leave_one_out_scores(pipeline: Pipeline, groups: Groups, *, idle_floor: float) -> list[list[float]]:
    """Return, for each clip, the scores of its windows against centres made without that clip.

    A whole clip is left out at a time: segments of one clip are not independent, and a centre that has heard a clip
    is too near to it. A clip that is alone under its label is not scored: without it nothing is left of its sound.
    """
    by_clip: list[list[float]] = []
    for members in groups.values():
        for left_out in members if len(members) > 1 else ():
            others = {label: [clip for clip in clips if clip is not left_out] for label, clips in groups.items()}
            centres = centres_of(others, idle_floor=idle_floor)
            by_clip.append(scores_against(pipeline, [left_out], centres, idle_floor=idle_floor))
    return by_clip


def half_scores(pipeline: Pipeline, clip: EmbeddedClip, *, idle_floor: float) -> list[float]:
    """Return the scores of each half of a clip against the other half: all that a single clip can say of itself.

    Sound of one occasion is nearer to itself than normal sound is: such scores are too small (calibrate_clips).
    """
    middle = len(clip.segments) // 2
    halves = [EmbeddedClip(clip.name, clip.segments[:middle]), EmbeddedClip(clip.name, clip.segments[middle:])]
    if not all(active_embeddings([half], idle_floor) for half in halves):
        return []
    return [
        score
        for half, other in (halves, halves[::-1])
        for score in scores_against(
            pipeline, [half], centres_of({"": [other]}, idle_floor=idle_floor), idle_floor=idle_floor
        )
    ]


def alike(clips: Sequence[EmbeddedClip], *, idle_floor: float) -> list[list[EmbeddedClip]]:
    """Sort clips into groups that sound alike, the largest first.

    Two clips are in one group when a chain of clips less than UNLIKE apart joins their mean embeddings (single
    linkage). A clip that is all idle is in no group.
    """
    heard = [clip for clip in clips if active_embeddings([clip], idle_floor)]
    means = [mean_centre(active_embeddings([clip], idle_floor)) for clip in heard]
    groups: list[list[int]] = []
    for i, mean in enumerate(means):
        near = [g for g in groups if any(cosine_distance(mean, means[j]) < UNLIKE for j in g)]
        groups = [g for g in groups if g not in near] + [sorted([i, *(j for g in near for j in g)])]
    groups.sort(key=lambda g: (-len(g), g))
    return [[heard[i] for i in group] for group in groups]


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
