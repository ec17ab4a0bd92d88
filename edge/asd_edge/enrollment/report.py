"""From what a proposal was made from to what a person reads before committing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asd_edge.bundle.site import EnrolledCondition
from asd_edge.enrollment.checks import Comparison
from asd_edge.enrollment.clips import HeardClip
from asd_edge.enrollment.effect import Outcome, PastAlarm, difference
from asd_edge.enrollment.proposal import MOST_LISTED, AlarmReport, ClipReport, EffectReport, KnownReport, Report
from asd_edge.imprint import Imprint
from asd_edge.strict import utc_time

COVERED = 0.9
"""Share of windows within a known condition's threshold from which that condition covers the clips."""

SURE_FROM = 3
"""Clips from which leaving one out says something: fewer, and the threshold rests on what other machines do."""


@dataclass(frozen=True)
class Against:
    """How the clips sound to what is known, nearest condition first.

    `anomalous`: share of windows above the threshold of their nearest condition. `refusal`: why that is too much.
    """

    conditions: tuple[Comparison, ...]
    anomalous: float
    refusal: str | None


def report_of(
    clips: Sequence[HeardClip],
    made: Imprint,
    enrolled: EnrolledCondition,
    *,
    groups: Sequence[Sequence[str]],
    replaced: EnrolledCondition | None,
    dropped: Sequence[str],
    against: Against,
    outcomes: tuple[Outcome, Outcome] | None,
) -> Report:
    """Return everything to judge a proposal by."""
    calibration = made.calibration
    expected = calibration.expected
    others = [known for known in against.conditions if known.condition != enrolled.name]
    covered = next((known.condition for known in others if known.within >= COVERED), None)
    before = replaced.threshold if replaced is not None else others[0].threshold if others else None
    return Report(
        clips=tuple(_clip(clip) for clip in clips),
        groups=tuple(tuple(group) for group in groups),
        segments=enrolled.segments,
        spread=(calibration.mean, calibration.deviation),
        threshold_before=before,
        threshold=enrolled.threshold,
        method=calibration.method,
        alarms_per_week=calibration.alarms_per_week,
        expected_alarms=None if expected is None else (expected.low, expected.high),
        idle_floor_dbfs=10.0 * float(np.log10(max(enrolled.idle_floor, 1e-12))),
        replaces=replaced is not None,
        covered_by=covered,
        known=tuple(
            KnownReport(condition=c.condition, distance=c.distance, threshold=c.threshold, within=c.within)
            for c in against.conditions[:MOST_LISTED]
        ),
        dropped=tuple(dropped),
        warnings=tuple(_warnings(clips, covered, replaced)),
        refusal=against.refusal,
        effect=None if outcomes is None else _effect(*outcomes),
    )


def _clip(clip: HeardClip) -> ClipReport:
    return ClipReport(
        name=clip.name,
        seconds=round(clip.seconds, 2),
        level_dbfs=round(clip.level_dbfs, 1),
        segments=clip.segments,
        used=clip.used,
        silent=clip.silent,
        clipped=clip.clipped,
        rejected=clip.rejected,
    )


def _warnings(clips: Sequence[HeardClip], covered: str | None, replaced: EnrolledCondition | None) -> list[str]:
    used = [clip for clip in clips if clip.rejected is None]
    warnings = []
    if len(used) == 1:
        warnings.append(
            "One clip says how the machine sounds and nothing of how much that varies: the threshold is a guess from "
            "other machines. Enroll again with clips of other hours, or set the threshold from a day of scores "
            "(asd-edge threshold set)."
        )
    elif len(used) < SURE_FROM:
        warnings.append("Two clips say little of how much the sound varies; three or more are better.")
    if covered is not None and (replaced is None or covered != replaced.name):
        warnings.append(f"Already covered by {covered}: a condition more adds nothing but another way to be normal.")
    if any(clip.clipped for clip in clips):
        warnings.append("Some of the sound is clipped; turn the microphone's gain down before the next recording.")
    return warnings


def _effect(before: Outcome, after: Outcome) -> EffectReport:
    vanish, appear = difference(before, after)
    spans = [outcome.times for outcome in (before, after) if len(outcome.times)]
    hours = max((float(times[-1] - times[0]) / 3600.0 for times in spans), default=0.0)
    return EffectReport(
        hours=round(hours, 2),
        windows=len(after.times),
        alarms_before=len(before.alarms),
        alarms_after=len(after.alarms),
        vanish_count=len(vanish),
        vanish=tuple(map(_alarm, vanish[:MOST_LISTED])),
        appear_count=len(appear),
        appear=tuple(map(_alarm, appear[:MOST_LISTED])),
    )


def _alarm(alarm: PastAlarm) -> AlarmReport:
    return AlarmReport(since_utc=utc_time(alarm.since), until_utc=utc_time(alarm.until), condition=alarm.condition)
