"""Test clips scored as a device would, in the form that every figure is computed from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from asd_edge.errors import DataError
from asd_edge.offline import EmbeddedClip, windows_of
from asd_edge.pipeline import Pipeline
from asd_edge.scoring.aggregation import (
    Aggregation,
    EmbeddedSegments,
    ScoredWindow,
    condition_distances,
    score_window,
)
from asd_edge.scoring.conditions import ConditionSet

from ..commission import embed_clips
from ..data.clip import Clip
from ..progress import Progress

Domains = Literal["nearest", "known"]
"""Which condition judges a test clip: the nearest one, or the one of the clip's own domain, which DCASE 2021 tells."""


@dataclass(frozen=True, slots=True)
class ScoredClip:
    """One test clip.

    `score`: of the clip as one window, however long, as DCASE has it.
    `alarms`: unbroken stretches of windows, as a device scores them, above the threshold of their condition, for
    thresholds are calibrated on such windows; an idle window neither makes nor ends one. In a clip no longer than a
    window both speak of the same window.
    `seconds`: sound that the windows cover; NaN without windows.
    `threshold`: of the condition that judged the clip as a whole; NaN where there is none.
    """

    clip: Clip
    score: float
    alarms: int
    seconds: float = float("nan")
    threshold: float = float("nan")


def score_clips(
    pipeline: Pipeline,
    known: Mapping[str, ConditionSet],
    clips: Sequence[Clip],
    *,
    channel: int | None,
    domains: Domains = "nearest",
    progress: Progress,
) -> list[ScoredClip]:
    """Score every test clip against what is known of its machine and section.

    A clip that is idle throughout gets the score 0: a machine that stands still gives no alarm.

    Raises:
        SourceError: a clip cannot be read.
        DataError: no test clips of a known machine, or with `domains` known, no condition of a clip's domain.
    """
    tests = embed_tests(pipeline, known, clips, channel=channel, progress=progress)
    return score_embedded(pipeline, known, tests, domains=domains)


def with_labels(clips: Sequence[Clip]) -> list[Clip]:
    """Leave out the test clips whose label is unknown, before hours are spent on them.

    Raises:
        DataError: nothing is left to evaluate.
    """
    known = [clip for clip in clips if clip.split != "test" or clip.anomalous is not None]
    hidden = [clip for clip in clips if clip.split == "test" and clip.anomalous is None]
    if hidden and all(clip.split != "test" for clip in known):
        raise DataError(
            "There is nothing to evaluate: of no test clip it is known whether it is normal",
            found=f"{len(hidden)} clips like {hidden[0].path.name}",
            expected="test clips with normal or anomaly in their names, or the organisers' ground truth",
            remedy="Give the folder of the organisers' evaluator with --ground-truth.",
        )
    return known


def embed_tests(
    pipeline: Pipeline, known: Collection[str], clips: Sequence[Clip], *, channel: int | None, progress: Progress
) -> dict[Clip, EmbeddedClip]:
    """Read and embed the test clips of the machines and sections that are known; errors as in `score_clips`."""
    tests = [clip for clip in clips if clip.split == "test" and clip.unit in known]
    if not tests:
        raise DataError(
            "There is nothing to score",
            found=f"no test clips of {', '.join(known) or 'any machine'}",
            expected="clips like <machine>/test/section_00_source_test_normal_0000.wav of a machine that is known",
            remedy="Check --data, and that machines and sections have the names they were trained with.",
        )
    return embed_clips(pipeline, tests, channel=channel, what="scoring tests", progress=progress)


def score_embedded(
    pipeline: Pipeline, known: Mapping[str, ConditionSet], tests: Mapping[Clip, EmbeddedClip], *, domains: Domains
) -> list[ScoredClip]:
    """Score test clips that are embedded already; errors as in `score_clips`."""
    return [_scored(pipeline, known[clip.unit], clip, sound, domains) for clip, sound in tests.items()]


def _scored(
    pipeline: Pipeline, conditions: ConditionSet, clip: Clip, sound: EmbeddedClip, domains: Domains
) -> ScoredClip:
    own = _own_condition(conditions, clip) if domains == "known" else None
    whole = _score(sound.segments, conditions, pipeline.aggregation, own)
    windows = [_score(window, conditions, pipeline.aggregation, own) for window in windows_of(pipeline, sound)]
    thresholds = [condition.threshold for condition in conditions.conditions]
    start, stop = pipeline.samples_of(sound.segments)
    return ScoredClip(
        clip,
        score=0.0 if whole is None else whole.score,
        alarms=_stretches(window.score > thresholds[window.condition] for window in windows if window is not None),
        seconds=(stop - start) / pipeline.front_end.sample_rate,
        threshold=thresholds[own or 0 if whole is None else whole.condition],
    )


def _score(
    window: EmbeddedSegments, conditions: ConditionSet, aggregation: Aggregation, own: int | None
) -> ScoredWindow | None:
    if own is None:
        return score_window(window, conditions, aggregation)
    distances = condition_distances(window, conditions, aggregation)
    return None if distances is None else ScoredWindow(float(distances[own]), own)


def _own_condition(conditions: ConditionSet, clip: Clip) -> int:
    names = [condition.name.rpartition("/")[2] for condition in conditions.conditions]  # a bundle says factory/source
    if clip.domain not in names:
        raise DataError(
            f"{clip.unit} has no condition of the domain of its test clips",
            found=f"the conditions {', '.join(names)}, and {clip.path.name}",
            expected=f"a condition {clip.domain}, learned from training normals of that domain",
            remedy="Add such clips to the training set, or score against the nearest condition: --domains nearest",
        )
    return names.index(clip.domain)


def _stretches(above: Iterable[bool]) -> int:
    count, before = 0, False
    for now in above:
        count += now and not before
        before = now
    return count
