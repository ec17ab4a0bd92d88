"""Runs side by side: one line a recipe, its seeds as mean ± deviation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..networks.cost import Cost, cost
from ..recipe import name_beside_published
from ..run import Run
from .evaluate import Evaluation, without_nan
from .spread import Spread, over_seeds


@dataclass(frozen=True)
class EvaluatedRun:
    """A system, one run or one for each machine, with its figures.

    `recipe`: its name. `variant`: what tells it from a run of the same name that is no seed of it. `parameters`,
    `multiply_adds`: of the largest network, for one segment. `training_s`: seconds of training.
    """

    recipe: str
    variant: str
    seed: int
    parameters: int
    multiply_adds: int
    training_s: float
    evaluation: Evaluation


@dataclass(frozen=True)
class ComparedRecipe:
    """One line of a comparison: a recipe over its seeds."""

    name: str
    seeds: tuple[int, ...]
    parameters: int
    multiply_adds: int
    training_s: float
    figures: Mapping[str, Spread]
    evaluations: tuple[Evaluation, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON; NaN becomes null."""
        plain: dict[str, Any] = without_nan(
            {
                "name": self.name,
                "seeds": list(self.seeds),
                "parameters": self.parameters,
                "multiply_adds": self.multiply_adds,
                "training_s": self.training_s,
                "figures": {name: asdict(spread) for name, spread in self.figures.items()},
            }
        )
        return plain


def evaluated(runs: Sequence[Run], evaluation: Evaluation) -> EvaluatedRun:
    """Return a system with its figures and its size."""
    costs = [cost_of(run) for run in runs]
    return EvaluatedRun(
        recipe=name_beside_published(runs[0].recipe),
        variant=variant_of(runs[0]),
        seed=runs[0].seed,
        parameters=max(each.parameters for each in costs),
        multiply_adds=max(each.multiply_adds for each in costs),
        training_s=sum(run.seconds for run in runs),
        evaluation=evaluation,
    )


def cost_of(run: Run) -> Cost:
    """Return parameters of the run's network, and its multiply-adds for one segment."""
    recipe, network = run.recipe, run.network
    shapes: list[tuple[int, ...]] = [(recipe.segment.frames, recipe.front_end.bands)]
    spectrum = [(recipe.spectrum_bins,)] if network.hears_spectrum else []
    return cost(network, *shapes, *spectrum)


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
    evaluations = tuple(run.evaluation for run in runs)
    return ComparedRecipe(
        name=name,
        seeds=tuple(run.seed for run in runs),
        parameters=runs[0].parameters,
        multiply_adds=runs[0].multiply_adds,
        training_s=sum(run.training_s for run in runs) / len(runs),
        figures=over_seeds(evaluations),
        evaluations=evaluations,
    )


def _or_zero(value: float) -> float:
    return 0.0 if value != value else value
