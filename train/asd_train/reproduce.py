"""A paper's table again: recipes over seeds on its data set, resumable cell by cell."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from asd_edge.atomic import atomic_write
from asd_edge.errors import DataError
from asd_edge.strict import RefusalError, Strict, parse_versioned

from .data.clip import Clip
from .evaluation.comparison import EvaluatedRun, evaluated
from .evaluation.evaluate import evaluate
from .evaluation.scored import Domains, ScoredClip
from .evaluation.system import score_system
from .progress import Progress
from .recipe import Recipe, name_beside_published
from .run import Run, check_free, load_runs, save_runs
from .training.fit import fit_all
from .training.work import Work

_FORMAT = "asd-train-cell"
_VERSION = 1


class ClipScore(Strict):
    """What is kept of a scored clip; every figure is computed from these again."""

    key: str
    score: float
    alarms: int
    seconds: float
    threshold: float


class Cell(Strict):
    """One recipe and seed, trained and scored. `data`: digest of the clips it was made with."""

    format: Literal["asd-train-cell"] = "asd-train-cell"
    version: Literal[1] = 1
    recipe: str
    recipe_sha256: str
    seed: int
    data: str
    parameters: int
    multiply_adds: int
    training_s: float
    scores: tuple[ClipScore, ...]


@dataclass(frozen=True)
class Plan:
    """What all cells share: clips, where they come from, how they are scored, and where cells and runs are kept."""

    clips: Sequence[Clip]
    datasets: Sequence[str]
    domains: Domains
    out: Path

    @property
    def digest(self) -> str:
        """What the clips are called, wherever they lie."""
        return hashlib.sha256("\n".join(sorted(f"{c.split} {c.key}" for c in self.clips)).encode()).hexdigest()


def reproduce_cell(
    plan: Plan,
    recipe: Recipe,
    seed: int,
    *,
    progress: Progress,
    report: Callable[[int, float], None] = lambda epoch, loss: None,
) -> EvaluatedRun:
    """Train and score one recipe and seed, or take what an earlier call finished.

    Below `plan.out` a run is kept as soon as it is trained and the cell as soon as it is scored, each as a whole.

    Raises:
        DataError: what is kept there was made with another recipe or other clips, or cannot be read.
    """
    place = plan.out / recipe.name / f"seed-{seed}"
    path = place.with_name(f"{place.name}.{plan.domains}.json")
    if path.exists():
        return _evaluated(_kept_cell(path, plan, recipe, seed), recipe, plan, path)
    runs = _runs(plan, recipe, seed, place, progress, report)
    scored = score_system(runs, plan.clips, domains=plan.domains, progress=progress)
    size = evaluated(runs, evaluate(scored))
    cell = Cell(
        recipe=recipe.name,
        recipe_sha256=recipe.sha256,
        seed=seed,
        data=plan.digest,
        parameters=size.parameters,
        multiply_adds=size.multiply_adds,
        training_s=size.training_s,
        scores=tuple(
            ClipScore(key=s.clip.key, score=s.score, alarms=s.alarms, seconds=s.seconds, threshold=s.threshold)
            for s in scored
        ),
    )
    with atomic_write(path) as stream:
        stream.write(cell.model_dump_json(indent=1).encode())
    return _evaluated(cell, recipe, plan, path)


def _runs(
    plan: Plan,
    recipe: Recipe,
    seed: int,
    place: Path,
    progress: Progress,
    report: Callable[[int, float], None],
) -> tuple[Run, ...]:
    if place.exists():  # trained before, and stopped before it was scored
        runs = load_runs(place)
        found = runs[0].recipe
        alike = found.sha256 in (recipe.sha256, recipe.for_machine(runs[0].machine or "").sha256)
        if not alike or runs[0].seed != seed:
            raise _made_otherwise(place, f"a run of {found.name} {found.sha256[:8]}, seed {runs[0].seed}")
        return runs
    check_free(place)
    work = Work(unfinished=place.with_name(f"{place.name}.unfinished"))
    runs = fit_all(recipe, plan.clips, datasets=plan.datasets, seed=seed, progress=progress, report=report, work=work)
    save_runs(runs, place)
    work.forget_unfinished()
    return runs


def _kept_cell(path: Path, plan: Plan, recipe: Recipe, seed: int) -> Cell:
    try:
        cell = parse_versioned(path.read_bytes(), Cell, format=_FORMAT, version=_VERSION)
    except (OSError, RefusalError) as error:
        raise _made_otherwise(path, str(error)) from None
    if (cell.recipe_sha256, cell.seed) != (recipe.sha256, seed):
        raise _made_otherwise(path, f"a cell of {cell.recipe} {cell.recipe_sha256[:8]}, seed {cell.seed}")
    if cell.data != plan.digest:
        raise _made_otherwise(path, "a cell made with other clips")
    return cell


def _evaluated(cell: Cell, recipe: Recipe, plan: Plan, path: Path) -> EvaluatedRun:
    tests = {clip.key: clip for clip in plan.clips if clip.split == "test"}
    try:
        scored = [ScoredClip(tests[s.key], s.score, s.alarms, s.seconds, s.threshold) for s in cell.scores]
    except KeyError as error:
        raise _made_otherwise(path, f"a score of {error.args[0]}, which is not among the test clips") from None
    return EvaluatedRun(
        recipe=name_beside_published(recipe),
        variant=cell.recipe_sha256[:8],
        seed=cell.seed,
        parameters=cell.parameters,
        multiply_adds=cell.multiply_adds,
        training_s=cell.training_s,
        evaluation=evaluate(scored),
    )


def _made_otherwise(path: Path, found: str) -> DataError:
    return DataError(
        f"What is kept in {path} does not belong to this table",
        found=found,
        expected="what this recipe, seed and data set made",
        remedy="Choose another --out, or remove it.",
    )
