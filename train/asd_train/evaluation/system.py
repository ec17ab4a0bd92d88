"""A trained system, which may be several networks, on the test clips of a data set."""

from __future__ import annotations

from collections.abc import Sequence

from ..data.clip import Clip
from ..embedder import torch_pipeline
from ..progress import Progress
from ..recipe import Recipe
from ..run import Run
from .evaluate import Evaluation, evaluate
from .runs import conditions_of, hear
from .scored import Domains, ScoredClip, score_embedded


def evaluate_system(
    runs: Sequence[Run], clips: Sequence[Clip], *, domains: Domains = "nearest", progress: Progress
) -> Evaluation:
    """Evaluate what a recipe has trained; errors as in `score_system`."""
    return evaluate(score_system(runs, clips, domains=domains, progress=progress))


def score_system(
    runs: Sequence[Run], clips: Sequence[Clip], *, domains: Domains = "nearest", progress: Progress
) -> list[ScoredClip]:
    """Score every test clip with the network of its machine, as the recipe treats that machine.

    Raises:
        SourceError: a clip cannot be read.
        DataError: there is nothing to learn from or nothing to score, no threshold can be found for a machine, or no
            condition of a clip's domain.
    """
    scored = []
    for run in runs:
        for recipe, machines in treated_alike(run, clips):
            own = [clip for clip in clips if clip.machine in machines]
            pipeline = torch_pipeline(run, recipe)
            heard = hear(run, pipeline, own, progress=progress)
            known = conditions_of(run, pipeline, heard, recipe.scorer)
            scored += score_embedded(pipeline, known, heard.tests, domains=domains)
    return scored


def treated_alike(run: Run, clips: Sequence[Clip]) -> list[tuple[Recipe, set[str]]]:
    """Sort the run's machines that have test clips by how the recipe treats them: each recipe with its machines."""
    groups: dict[str, tuple[Recipe, set[str]]] = {}
    for machine in sorted({clip.machine for clip in clips if clip.split == "test" and run.hears(clip.machine)}):
        recipe = run.recipe.for_machine(machine)
        groups.setdefault(recipe.sha256, (recipe, set()))[1].add(machine)
    return list(groups.values())
