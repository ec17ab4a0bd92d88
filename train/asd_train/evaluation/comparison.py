"""Runs side by side: one line a recipe, its seeds as mean ± deviation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..run import Run
from .evaluate import Evaluation, without_nan
from .spread import Spread, over_seeds


@dataclass(frozen=True)
class EvaluatedRun:
    """A run with its figures.

    `recipe`: its name. `variant`: what tells it from a run of the same name that is no seed of it. `parameters`: of the
    network as shipped. `training_s`: seconds of training, None if nobody knows.
    """

    recipe: str
    variant: str
    seed: int
    parameters: int
    training_s: float | None
    evaluation: Evaluation


@dataclass(frozen=True)
class ComparedRecipe:
    """One line of a comparison: a recipe over its seeds."""

    name: str
    seeds: tuple[int, ...]
    parameters: int
    training_s: float | None
    figures: Mapping[str, Spread]
    evaluations: tuple[Evaluation, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON; NaN becomes null."""
        plain: dict[str, Any] = without_nan(
            {
                "name": self.name,
                "seeds": list(self.seeds),
                "parameters": self.parameters,
                "training_s": self.training_s,
                "figures": {name: asdict(spread) for name, spread in self.figures.items()},
            }
        )
        return plain


def evaluated(run: Run, evaluation: Evaluation, *, training_s: float | None = None) -> EvaluatedRun:
    """Return a run with its figures and its size."""
    return EvaluatedRun(
        recipe=run.recipe.name,
        variant=variant_of(run),
        seed=run.seed,
        parameters=parameters_of(run),
        training_s=training_s,
        evaluation=evaluation,
    )


def parameters_of(run: Run) -> int:
    """Return how many numbers the network has learned."""
    return sum(parameter.numel() for parameter in run.network.parameters())


def variant_of(run: Run) -> str:
    """Return what seeds of one system share: the recipe's digest, and what was done to the network since."""
    return f"{run.recipe.sha256[:8]}{', fine-tuned' * bool(run.finetuned)}"


def compare_runs(runs: Sequence[EvaluatedRun]) -> list[ComparedRecipe]:
    """Group runs by recipe; the best official score of 2022 first.

    Recipes of one name that differ (a preset, an edited file, a fine-tuned network) are lines of their own, with their
    digests.
    """
    groups: dict[tuple[str, str], list[EvaluatedRun]] = {}
    for run in runs:
        groups.setdefault((run.recipe, run.variant), []).append(run)
    variants = Counter(recipe for recipe, _ in groups)
    lines = [
        _line(recipe if variants[recipe] == 1 else f"{recipe} ({variant})", members)
        for (recipe, variant), members in groups.items()
    ]
    return sorted(lines, key=lambda line: -_or_zero(line.figures["score 2022"].mean))


def _line(name: str, runs: Sequence[EvaluatedRun]) -> ComparedRecipe:
    times = [run.training_s for run in runs if run.training_s is not None]
    evaluations = tuple(run.evaluation for run in runs)
    return ComparedRecipe(
        name=name,
        seeds=tuple(run.seed for run in runs),
        parameters=runs[0].parameters,
        training_s=sum(times) / len(times) if times else None,
        figures=over_seeds(evaluations),
        evaluations=evaluations,
    )


def _or_zero(value: float) -> float:
    return 0.0 if value != value else value
