"""Imprinting: a few clips become a new condition of normal sound, with its own threshold.

With the nearest-centre backend this is the centre imprinting of Chen et al., ICASSP 2022, section 3.3. The same code
enrolls on the device and commissions at the factory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asd_edge.offline import EmbeddedClip, windows_of
from asd_edge.pipeline import Pipeline
from asd_edge.scoring.aggregation import score_window
from asd_edge.scoring.backends.backend import Backend, Clips, Fitted
from asd_edge.scoring.calibration import Calibration, Spread, calibrate, calibrate_clips
from asd_edge.scoring.conditions import Condition, ConditionSet
from asd_edge.scoring.decision import DecisionSpec
from asd_edge.scoring.distances import cosine_distance, mean_centre

UNLIKE = 0.5
"""Cosine distance, sixty degrees, from which two recordings are not one operating condition. The mean of clips
further apart lies between them, near to none, and a threshold that covers them covers every fault as well."""

Groups = Mapping[str, Sequence[EmbeddedClip]]


@dataclass(frozen=True)
class Imprint:
    """A new condition, the labels of the sound behind it and how its threshold was found."""

    condition: Condition
    labels: tuple[str, ...]
    calibration: Calibration


def imprint(
    pipeline: Pipeline,
    backend: Backend,
    name: str,
    groups: Groups,
    *,
    idle_floor: float,
    quantile: float,
    source: Fitted | None = None,
) -> Imprint:
    """Make a factory condition from a few clips.

    Args:
        pipeline: that embedded the clips.
        backend: learns the condition.
        name: of the condition.
        groups: clips by label.
        idle_floor: mean square at or below which a segment is not part of the condition.
        quantile: share of normal windows that the threshold lets pass.
        source: what was learned of the machine's source condition, if this is another one.

    Raises:
        ValueError: no label with two clips above the idle floor, so that nothing tells how much its sound varies.
    """
    by_clip = leave_one_out_scores(pipeline, backend, groups, idle_floor=idle_floor, source=source)
    calibration = calibrate([score for clip in by_clip for score in clip], clips=len(by_clip), quantile=quantile)
    return _imprint(backend, name, groups, calibration, idle_floor=idle_floor, source=source)


def imprint_for_budget(
    pipeline: Pipeline,
    backend: Backend,
    name: str,
    groups: Groups,
    *,
    idle_floor: float,
    alarms_per_week: float,
    decision: DecisionSpec,
    prior: Spread | None = None,
    source: Fitted | None = None,
) -> Imprint:
    """Make a condition on site, from one clip or more, for a budget of false alarms.

    Args:
        pipeline: that embedded the clips.
        backend: learns the condition.
        name: of the condition.
        groups: clips by label; one label for each kind of sound.
        idle_floor: mean square at or below which a segment is not part of the condition.
        alarms_per_week: false alarms that a week of running may have.
        decision: makes alarms of scores.
        prior: how much the scores of this machine spread at the factory, where that is known.
        source: what was learned of the machine's source condition, if there is one.

    Raises:
        ValueError: nothing above the idle floor.
    """
    by_clip = leave_one_out_scores(pipeline, backend, groups, idle_floor=idle_floor, source=source)
    if not by_clip:  # one clip, or one of each kind: its halves are all there is
        sole = [clip for members in groups.values() for clip in members]
        by_clip = [half_scores(pipeline, backend, clip, idle_floor=idle_floor, source=source) for clip in sole[:1]]
    calibration = calibrate_clips(
        by_clip,
        alarms_per_week=alarms_per_week,
        every_s=pipeline.score_every_s,
        prior=prior,
        decision=decision,
    )
    return _imprint(backend, name, groups, calibration, idle_floor=idle_floor, source=source)


def _imprint(
    backend: Backend,
    name: str,
    groups: Groups,
    calibration: Calibration,
    *,
    idle_floor: float,
    source: Fitted | None,
) -> Imprint:
    heard = heard_clips(groups, idle_floor)
    fitted = backend.fit(heard, source=source)
    return Imprint(Condition(name, fitted, calibration.threshold), tuple(heard), calibration)


def heard_clips(groups: Groups, idle_floor: float) -> Clips:
    """Return what there is to learn from: active embeddings by label; a label that is all idle is left out."""
    active = {label: active_embeddings(clips, idle_floor) for label, clips in groups.items()}
    return {label: clips for label, clips in active.items() if clips}


def active_embeddings(clips: Sequence[EmbeddedClip], idle_floor: float) -> list[NDArray[np.float32]]:
    """Return each clip's embeddings of the segments above the idle floor; a clip that is all idle is left out."""
    active = [clip.segments.embeddings[clip.segments.power > idle_floor] for clip in clips]
    return [embeddings for embeddings in active if len(embeddings)]


def leave_one_out_scores(
    pipeline: Pipeline, backend: Backend, groups: Groups, *, idle_floor: float, source: Fitted | None = None
) -> list[list[float]]:
    """Return, for each clip, the scores of its windows against what was learned without that clip.

    A whole clip is left out at a time: segments of one clip are not independent, and what has heard a clip is too near
    to it. A clip that is alone under its label is not scored: without it nothing is left of its sound.
    """
    by_clip: list[list[float]] = []
    for members in groups.values():
        for left_out in members if len(members) > 1 else ():
            others = {label: [clip for clip in clips if clip is not left_out] for label, clips in groups.items()}
            heard = heard_clips(others, idle_floor)
            if heard:
                fitted = backend.fit(heard, source=source)
                by_clip.append(scores_against(pipeline, backend, [left_out], fitted, idle_floor=idle_floor))
    return by_clip


def half_scores(
    pipeline: Pipeline, backend: Backend, clip: EmbeddedClip, *, idle_floor: float, source: Fitted | None = None
) -> list[float]:
    """Return the scores of each half of a clip against the other half: all that a single clip can say of itself.

    Sound of one occasion is nearer to itself than normal sound is: such scores are too small (calibrate_clips).
    """
    active = np.flatnonzero(clip.segments.power > idle_floor)
    if len(active) < 2:
        return []
    middle = int(active[len(active) // 2])  # so that there is something to hear in both
    halves = [EmbeddedClip(clip.name, clip.segments[:middle]), EmbeddedClip(clip.name, clip.segments[middle:])]
    scores: list[float] = []
    for half, other in (halves, halves[::-1]):
        heard = heard_clips({clip.name: [other]}, idle_floor)
        if heard:
            fitted = backend.fit(heard, source=source)
            scores += scores_against(pipeline, backend, [half], fitted, idle_floor=idle_floor)
    return scores


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
    backend: Backend,
    clips: Sequence[EmbeddedClip],
    fitted: Fitted,
    *,
    idle_floor: float,
) -> list[float]:
    """Return the score of every window of the clips that is not idle, against `fitted` alone."""
    reference = ConditionSet(backend, (Condition("reference", fitted, 0.0),), idle_floor)
    scored = [
        score_window(window, reference, pipeline.aggregation) for clip in clips for window in windows_of(pipeline, clip)
    ]
    return [window.score for window in scored if window is not None]
