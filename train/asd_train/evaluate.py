"""Evaluation as in DCASE Task 2, with the false alarms a plant would see."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from asd_edge.bundle.archive import Bundle
from asd_edge.errors import DataError
from asd_edge.offline import EmbeddedClip, windows_of
from asd_edge.pipeline import Pipeline
from asd_edge.scoring.aggregation import score_window
from asd_edge.scoring.backends.backend import Backend
from asd_edge.scoring.conditions import ConditionSet

from .commission import embed_clips, embed_normals, references_of
from .data.clip import Clip, Domain
from .metrics import alarm_rate, auc, f1, harmonic_mean, pauc
from .progress import Progress
from .run import Run


@dataclass(frozen=True, slots=True)
class ScoredClip:
    """One test clip.

    `score`: of the clip as one window, however long, as DCASE has it.
    `alarms`: whether any window that a device scores in it lies above the threshold of its nearest condition, for
    thresholds are calibrated on such windows. In a clip no longer than a window both speak of the same window.
    """

    clip: Clip
    score: float
    alarms: bool


@dataclass(frozen=True, slots=True)
class DomainResult:
    """Within one domain: its normals against its anomalies (the 2021 definition).

    At the shipped threshold: `false_alarm_rate`, the share of normals that alarm; `detection_rate`, the share of
    anomalies that do (recall); `f1` of both.
    """

    normals: int
    anomalies: int
    auc: float
    pauc: float
    false_alarm_rate: float
    detection_rate: float
    f1: float


@dataclass(frozen=True, slots=True)
class MachineResult:
    """One machine and section.

    `auc_source`, `auc_target`: the domain's normals against the anomalies of both domains, `pauc` over everything,
    `official` their harmonic mean: the definition of 2022 and later. NaN where the test set has no such clips.
    """

    machine: str
    section: str
    source: DomainResult
    target: DomainResult
    auc_source: float
    auc_target: float
    pauc: float
    official: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All machines. `official`: harmonic mean of every machine's AUC source, AUC target and pAUC (2022 and later)."""

    machines: tuple[MachineResult, ...]
    official: float

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON; NaN becomes null."""
        plain: dict[str, Any] = _without_nan(asdict(self))
        return plain


def evaluate_run(run: Run, pipeline: Pipeline, clips: Sequence[Clip], *, progress: Progress) -> Evaluation:
    """Commission every machine through `pipeline`, then score its test clips.

    Raises:
        SourceError: a clip cannot be read.
    """
    (result,) = compare_backends(run, pipeline, clips, {"": run.recipe.backend}, progress=progress).values()
    return result


def compare_backends(
    run: Run, pipeline: Pipeline, clips: Sequence[Clip], backends: Mapping[str, Backend], *, progress: Progress
) -> dict[str, Evaluation]:
    """Evaluate a run with each of some backends, by their names; every clip is embedded once.

    Raises:
        SourceError: a clip cannot be read.
        DataError: there is nothing to learn from or nothing to score.
    """
    clips = _with_labels(clips)
    held_out, quantile = set(run.held_out), run.recipe.calibration.quantile
    normals = embed_normals(pipeline, clips, held_out=held_out, channel=run.channel, progress=progress)
    tests = _embed_tests(pipeline, {clip.unit for clip in normals}, clips, channel=run.channel, progress=progress)
    results = {}
    for name, backend in backends.items():
        references = references_of(pipeline, backend, normals, held_out=held_out, quantile=quantile)
        known = {f"{reference.machine}/{reference.section}": reference.conditions for reference in references}
        results[name] = evaluate([_scored(pipeline, known[clip.unit], clip, sound) for clip, sound in tests.items()])
    return results


def evaluate_bundle(
    bundle: Bundle, clips: Sequence[Clip], *, channel: int | None = None, progress: Progress
) -> Evaluation:
    """Score the test clips as a device with this bundle would: exported graph, factory centres and thresholds.

    Raises:
        SourceError: a clip cannot be read.
        DataError: no label of a test clip is known, or there is nothing to score.
    """
    known = {
        machine.key: conditions
        for machine in bundle.manifest.machines
        if (conditions := bundle.factory_conditions(machine.machine, machine.section)) is not None
    }
    return evaluate(score_clips(bundle.pipeline(), known, _with_labels(clips), channel=channel, progress=progress))


def score_clips(
    pipeline: Pipeline,
    known: Mapping[str, ConditionSet],
    clips: Sequence[Clip],
    *,
    channel: int | None,
    progress: Progress,
) -> list[ScoredClip]:
    """Score every test clip against what is known of its machine and section.

    A clip that is idle throughout gets the score 0: a machine that stands still gives no alarm.
    """
    tests = _embed_tests(pipeline, known, clips, channel=channel, progress=progress)
    return [_scored(pipeline, known[clip.unit], clip, sound) for clip, sound in tests.items()]


def _with_labels(clips: Sequence[Clip]) -> list[Clip]:
    """Leave out the test clips whose label is unknown, before hours are spent on them."""
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


def _embed_tests(
    pipeline: Pipeline, known: Collection[str], clips: Sequence[Clip], *, channel: int | None, progress: Progress
) -> dict[Clip, EmbeddedClip]:
    tests = [clip for clip in clips if clip.split == "test" and clip.unit in known]
    if not tests:
        raise DataError(
            "There is nothing to score",
            found=f"no test clips of {', '.join(known) or 'any machine'}",
            expected="clips like <machine>/test/section_00_source_test_normal_0000.wav of a machine that is known",
            remedy="Check --data, and that machines and sections have the names they were trained with.",
        )
    return embed_clips(pipeline, tests, channel=channel, what="scoring tests", progress=progress)


def _scored(pipeline: Pipeline, conditions: ConditionSet, clip: Clip, sound: EmbeddedClip) -> ScoredClip:
    whole = score_window(sound.segments, conditions, pipeline.aggregation)
    windows = [score_window(window, conditions, pipeline.aggregation) for window in windows_of(pipeline, sound)]
    thresholds = [condition.threshold for condition in conditions.conditions]
    return ScoredClip(
        clip,
        score=0.0 if whole is None else whole.score,
        alarms=any(window.score > thresholds[window.condition] for window in windows if window is not None),
    )


def evaluate(scored: Sequence[ScoredClip]) -> Evaluation:
    """Compute every figure from the scores of the test clips; those whose label is unknown are left out."""
    units: dict[tuple[str, str], list[ScoredClip]] = defaultdict(list)
    for item in scored:
        if item.clip.anomalous is not None:
            units[item.clip.machine, item.clip.section].append(item)
    machines = tuple(_machine(*unit, units[unit]) for unit in sorted(units))
    every = [value for m in machines for value in (m.auc_source, m.auc_target, m.pauc)]
    return Evaluation(machines, harmonic_mean(every))


def _machine(machine: str, section: str, scored: list[ScoredClip]) -> MachineResult:
    anomalies = [item.score for item in scored if item.clip.anomalous]
    normals = {
        domain: [item.score for item in scored if item.clip.domain == domain and item.clip.anomalous is False]
        for domain in ("source", "target")
    }
    auc_source = auc(normals["source"], anomalies)
    auc_target = auc(normals["target"], anomalies)
    both = pauc(normals["source"] + normals["target"], anomalies)
    return MachineResult(
        machine=machine,
        section=section,
        source=_domain(scored, "source"),
        target=_domain(scored, "target"),
        auc_source=auc_source,
        auc_target=auc_target,
        pauc=both,
        official=harmonic_mean([auc_source, auc_target, both]),
    )


def _domain(scored: list[ScoredClip], domain: Domain) -> DomainResult:
    normals = [item for item in scored if item.clip.domain == domain and item.clip.anomalous is False]
    anomalies = [item for item in scored if item.clip.domain == domain and item.clip.anomalous]
    normal_scores = [item.score for item in normals]
    anomaly_scores = [item.score for item in anomalies]
    false_alarms = [item.alarms for item in normals]
    detections = [item.alarms for item in anomalies]
    return DomainResult(
        normals=len(normals),
        anomalies=len(anomalies),
        auc=auc(normal_scores, anomaly_scores),
        pauc=pauc(normal_scores, anomaly_scores),
        false_alarm_rate=alarm_rate(false_alarms),
        detection_rate=alarm_rate(detections),
        f1=f1(false_alarms, detections),
    )


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and value != value else value
