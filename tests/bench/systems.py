"""All systems in one table: simulated machines and real flights, four seeds, one budget for all.

    python -m tests.bench.systems --real-data FOLDER [--cache FOLDER] [--recipe NAME ...] [--seeds N ...] [--published]

Every system trains on one thread with the same processor time: as many epochs of its --fast preset as fit, and never
more than it publishes; with --published its full schedule instead, for a machine with a GPU. Finished cells are kept in
docs/benchmarks/systems.json and not made again; several processes may fill it at once. Recipes are taken as they are;
what they were chosen by stands in docs/decisions.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

from asd_edge.atomic import atomic_write
from asd_edge.pipeline import SegmentStream
from asd_edge.simulator import MACHINES
from asd_export.graphs import export_graphs
from asd_train.data.clip import Clip
from asd_train.data.dcase import read_datasets
from asd_train.embedder import torch_pipeline
from asd_train.evaluation.comparison import cost_of
from asd_train.evaluation.evaluate import Evaluation, evaluate
from asd_train.evaluation.naive import naive_scores
from asd_train.evaluation.system import evaluate_system
from asd_train.progress import Progress
from asd_train.recipe import Recipe, load_recipe
from asd_train.run import Run
from asd_train.simulate import simulate_dataset
from asd_train.training.fit import fit_all
from asd_train.training.work import Work
from tests.bench.flights import other_recordings
from tests.bench.machine import machine
from tests.bench.render_systems import BUDGET_S

RESULTS = Path(__file__).parents[2] / "docs" / "benchmarks" / "systems.json"
SYSTEMS = (
    "naive",
    "dcase_ae",
    "dcase_ae:mahalanobis",
    "dcase_mobilenetv2:all_machines",
    "mobilenetv2_embed",
    "subcluster_adacos_2021",
    "two_branch_2023",
    "oe_flow_2023",
    "tf_resnet",
    "tf_resnet:attention",
    "tf_resnet:average",
    "asd_edge",
    "asd_edge:spectrum",
    "asd_edge:network",
)
SEEDS = (0, 1, 2, 3)

Trained = Callable[[Recipe], tuple[tuple[Run, ...], list[float]]]

_CLIP_S = 10.0
_REPEATS = 15
_TEST_SET = 10  # anomalies


def main(given: Sequence[str] | None = None) -> None:
    """Fill the missing cells of the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real-data", type=Path, required=True, help="folder of the real recordings")
    parser.add_argument("--cache", type=Path, help="folder for data and features, kept between calls")
    parser.add_argument("--recipe", nargs="*", default=SYSTEMS)
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    parser.add_argument("--published", action="store_true", help="the full schedules")
    arguments = parser.parse_args(given)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        cache = arguments.cache or Path(folder)
        datasets = _datasets(arguments.real_data, cache)
        clips = read_datasets(datasets)
        for seed in arguments.seeds:
            for name in arguments.recipe:
                key = f"{name} seed {seed}{' published' if arguments.published else ''}"
                if key in _kept():
                    continue
                if name == "naive":
                    cell = _figures(evaluate(naive_scores(_judged(clips))))
                else:
                    cell = _cell(name, clips, datasets, seed, cache, published=arguments.published)
                _keep(key, cell)
                print(key, json.dumps({k: v for k, v in cell.items() if k != "machines"}), flush=True)


def _cell(
    name: str, clips: Sequence[Clip], datasets: Sequence[str], seed: int, cache: Path, *, published: bool
) -> dict[str, Any]:
    work = Work(cache_folder=cache / "features")
    tested = sorted({clip.machine for clip in _judged(clips)})

    def trained(recipe: Recipe) -> tuple[tuple[Run, ...], list[float]]:
        """Return the runs, and the processor time at the start and after each epoch of each network."""
        times = [time.process_time()]
        runs = fit_all(
            recipe,
            clips,
            datasets=datasets,
            seed=seed,
            machines=tested,
            progress=Progress(),
            report=lambda epoch, loss: times.append(time.process_time()),
            work=work,
        )
        return runs, times

    recipe = load_recipe(name, fast=not published)
    if not published and recipe.training.epochs:
        recipe = _scaled(recipe, _epochs(name, recipe, trained))
    runs, times = trained(recipe)
    evaluation = evaluate_system(runs, _judged(clips), progress=Progress())
    costs = [cost_of(run) for run in runs]
    return _figures(evaluation) | {
        "epochs": recipe.training.epochs,
        "training_s": round(times[-1] - times[0], 1),
        "networks": len(runs),
        "parameters": max(cost.parameters for cost in costs),
        "multiply_adds": max(cost.multiply_adds for cost in costs) * _segments(runs[0]),
        "latency_ms": round(_latency_ms(runs[0]), 2),
        "machine": machine("torch", "onnxruntime"),
    }


def _epochs(name: str, recipe: Recipe, trained: Trained) -> int:
    """Return how many epochs the budget allows, at most those published; the same for all seeds."""
    for key, cell in _kept().items():
        if key.startswith(f"{name} seed ") and not key.endswith("published"):
            return int(cell["epochs"])
    runs, times = trained(_scaled(recipe, 2))  # of each network the first epoch warms up, the second counts
    epoch = sum(times[2 * i + 2] - times[2 * i + 1] for i in range(len(runs)))
    return max(1, min(load_recipe(name).training.epochs, int(BUDGET_S / epoch)))


def _scaled(recipe: Recipe, epochs: int) -> Recipe:
    schedule, left, whole = [], epochs, recipe.training.epochs
    for phase in recipe.training.schedule:
        share = min(left, max(1, round(epochs * phase.epochs / whole)))
        left -= share
        if share:
            schedule.append(phase.model_copy(update={"epochs": share}))
    schedule[-1] = schedule[-1].model_copy(update={"epochs": schedule[-1].epochs + left})
    training = recipe.training.model_copy(update={"schedule": tuple(schedule)})
    return recipe.model_copy(update={"training": training})


def _segments(run: Run) -> int:
    """Return how many segments a clip of ten seconds has: what is computed for a score of all of it."""
    pipeline = torch_pipeline(run)
    frames = int((_CLIP_S * pipeline.front_end.sample_rate - pipeline.front_end.window) // pipeline.front_end.hop) + 1
    if run.recipe.embedder == "stream":  # each frame once
        return max(1, round(frames / run.recipe.segment.frames))
    return (frames - run.recipe.segment.frames) // run.recipe.segment.step + 1


def _latency_ms(run: Run) -> float:
    """Return the time of embedding ten seconds from samples on, with the exported graph on one thread."""
    exported = export_graphs(run, both=False)
    pipeline = torch_pipeline(run)
    pipeline = type(pipeline)(
        **{field: getattr(pipeline, field) for field in ("front_end", "segment", "window", "aggregation")},
        embedder=exported.embedder(run.recipe.embedder),
    )
    sound = torch.randn(int(_CLIP_S * pipeline.front_end.sample_rate), generator=torch.Generator().manual_seed(0))
    samples = 0.1 * sound.numpy()
    times = []
    for _ in range(_REPEATS):
        stream = SegmentStream(pipeline)
        start = time.process_time()
        stream.push(samples)
        times.append(1e3 * (time.process_time() - start))
    return median(times)


def _judged(clips: Sequence[Clip]) -> list[Clip]:
    """Return the clips of the machines that have a test set and not a sample of one."""
    anomalies = Counter(clip.machine for clip in clips if clip.split == "test" and clip.anomalous)
    return [clip for clip in clips if anomalies[clip.machine] >= _TEST_SET]


def _figures(evaluation: Evaluation) -> dict[str, Any]:
    machines = {
        result.machine: {
            "source_auc": result.source.auc,
            "source_pauc": result.source.pauc,
            "target_auc": result.target.auc,
            "target_pauc": result.target.pauc,
            "official": result.official,
        }
        for result in evaluation.machines
    }
    rounded = {name: {key: round(value, 4) for key, value in m.items()} for name, m in machines.items()}
    return {"official": round(evaluation.official, 4), "machines": rounded}


def _datasets(real: Path, folder: Path) -> list[str]:
    """Return the data sets, made where they are not there: all systems learn from the same clips."""
    simulated, others = folder / "simulated", folder / "others"
    if not simulated.exists():
        simulate_dataset(
            simulated,
            machines=MACHINES,
            train_source=60,
            train_target=10,
            test_per_cell=15,
            seed=1,
            progress=Progress(),
        )
    if not others.exists():
        other_recordings(real, others)
    return [str(real / "flights"), f"sim={simulated}", f"dcase={real / 'dcase2023_samples'}", f"real={others}"]


def _kept() -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return kept


def _keep(key: str, cell: dict[str, Any]) -> None:
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    with (RESULTS.parent / ".systems.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with atomic_write(RESULTS) as stream:
            stream.write(json.dumps(dict(sorted((_kept() | {key: cell}).items())), indent=1).encode() + b"\n")


if __name__ == "__main__":
    main()
