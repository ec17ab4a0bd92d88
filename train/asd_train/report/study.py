"""What a report is made of: one run, heard and scored on a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from asd_edge.imprint import active_embeddings
from asd_edge.offline import EmbeddedClip
from asd_edge.scoring.conditions import ConditionSet

from ..data.clip import Clip
from ..embedder import torch_pipeline
from ..evaluation.evaluate import Evaluation, evaluate
from ..evaluation.runs import HeardClips, conditions_of, hear
from ..evaluation.scored import Domains, ScoredClip, score_embedded
from ..evaluation.system import treated_alike
from ..progress import Progress
from ..recipe import Recipe
from ..run import Run

Point = NDArray[np.float64]

Place = Literal[
    "a typical normal", "the normal nearest to an alarm", "the anomaly hardest to hear", "the clearest anomaly"
]


@dataclass(frozen=True)
class MachineStudy:
    """One machine and section.

    `before`: scores of its test clips while only the source condition is known; empty if no other was ever added.
    `points`: mean embedding of each test clip that is not idle. `centres`: of each label's training normals.
    `gallery`: the clips to look at, each with what it is an example of.
    """

    unit: str
    scored: tuple[ScoredClip, ...]
    before: Mapping[Clip, float]
    points: Mapping[Clip, Point]
    centres: Mapping[str, Point]
    gallery: tuple[tuple[Place, ScoredClip], ...]


@dataclass(frozen=True)
class Study:
    """A run with its figures. `name`: what the report calls it."""

    name: str
    run: Run
    evaluation: Evaluation
    machines: tuple[MachineStudy, ...]


def studies_of(
    name: str, runs: Sequence[Run], clips: Sequence[Clip], *, domains: Domains, progress: Progress
) -> list[Study]:
    """Study each network of a system, and each kind of machine that the recipe treats in its own way, by itself.

    Raises:
        SourceError: a clip cannot be read.
        DataError: there is nothing to learn from or nothing to score.
    """
    return [
        study(
            name if len(machines) > 1 or run.machine is None else f"{name}/{run.machine}",
            run,
            own,
            recipe=recipe,
            domains=domains,
            progress=progress,
        )
        for run in runs
        for recipe, machines in treated_alike(run, clips)
        for own in [[clip for clip in clips if clip.machine in machines]]
    ]


def study(
    name: str,
    run: Run,
    clips: Sequence[Clip],
    *,
    recipe: Recipe | None = None,
    domains: Domains,
    progress: Progress,
) -> Study:
    """Commission and score a run, as its recipe says or as `recipe` does, and keep what the report shows of it.

    Raises:
        SourceError: a clip cannot be read.
        DataError: there is nothing to learn from or nothing to score.
    """
    pipeline = torch_pipeline(run, recipe)
    heard = hear(run, pipeline, clips, progress=progress)
    known = conditions_of(run, pipeline, heard, (recipe or run.recipe).scorer)
    scored = score_embedded(pipeline, known, heard.tests, domains=domains)
    imprinted = {unit: _source_only(conditions) for unit, conditions in known.items() if len(conditions.conditions) > 1}
    tests = {clip: sound for clip, sound in heard.tests.items() if clip.unit in imprinted}
    before = {s.clip: s.score for s in score_embedded(pipeline, imprinted, tests, domains="nearest")}
    machines = [
        _machine(unit, [s for s in scored if s.clip.unit == unit], before, heard, known[unit].idle_floor)
        for unit in sorted({s.clip.unit for s in scored})
    ]
    return Study(name, run, evaluate(scored), tuple(machines))


def relative_score(scored: ScoredClip) -> float:
    """Return the score in units of the threshold that judged it: above 1 the clip would alarm as a whole."""
    return scored.score / scored.threshold if scored.threshold > 0 else scored.score


def _source_only(conditions: ConditionSet) -> ConditionSet:
    return replace(conditions, conditions=conditions.conditions[:1])


def _machine(
    unit: str, scored: list[ScoredClip], before: Mapping[Clip, float], heard: HeardClips, idle_floor: float
) -> MachineStudy:
    by_label: dict[str, list[Point]] = {}
    for clip, sound in heard.normals.items():
        point = _point(sound, idle_floor)
        if clip.unit == unit and point is not None:
            by_label.setdefault(clip.label, []).append(point)
    points = {s.clip: _point(heard.tests[s.clip], idle_floor) for s in scored}
    return MachineStudy(
        unit=unit,
        scored=tuple(scored),
        before={s.clip: before[s.clip] for s in scored if s.clip in before},
        points={clip: point for clip, point in points.items() if point is not None},
        centres={label: np.mean(members, axis=0) for label, members in sorted(by_label.items())},
        gallery=_gallery(scored),
    )


def _gallery(scored: Sequence[ScoredClip]) -> tuple[tuple[Place, ScoredClip], ...]:
    normals = sorted((s for s in scored if not s.clip.anomalous), key=relative_score)
    anomalies = sorted((s for s in scored if s.clip.anomalous), key=relative_score)
    chosen: list[tuple[Place, ScoredClip]] = []
    if normals:
        chosen += [("a typical normal", normals[len(normals) // 2]), ("the normal nearest to an alarm", normals[-1])]
    if anomalies:
        chosen += [("the anomaly hardest to hear", anomalies[0]), ("the clearest anomaly", anomalies[-1])]
    return tuple(chosen)


def _point(sound: EmbeddedClip, idle_floor: float) -> Point | None:
    active = active_embeddings([sound], idle_floor)
    return np.asarray(active[0].mean(axis=0), dtype=np.float64) if active else None
