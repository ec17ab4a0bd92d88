"""Train the shipped default bundle again: `make default-model`.

Everything is committed: the simulator's seed, the recipe with its fast preset, the training seed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from asd_edge.bundle.variants import Precision
from asd_edge.simulator import MACHINES
from asd_export.bundle import export_bundle
from asd_train.data.clip import Clip
from asd_train.data.dcase import read_datasets
from asd_train.evaluation.evaluate import evaluate
from asd_train.evaluation.naive import naive_scores
from asd_train.evaluation.results import MachineResult
from asd_train.evaluation.runs import evaluate_bundle
from asd_train.progress import Progress
from asd_train.recipe import Recipe, load_recipe
from asd_train.run import Run
from asd_train.simulate import simulate_dataset
from asd_train.training.fit import fit
from tests.edge.default_bundle import RECORDED, scores

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "benchmarks" / "default_model.json"
DEFAULT = ROOT / "edge" / "asd_edge" / "models" / "default.asd"
RECIPE = "tf_resnet"
DATA_SEED = 1
TRAINING_SEED = 0
CREATED = datetime(2026, 11, 25, tzinfo=timezone.utc)
PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")
"""What every CPU runs, and what runs faster on most: a file in version control has no room for more."""


def main() -> None:
    """Simulate, fit, evaluate, export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=DEFAULT)
    out = parser.parse_args().out
    progress = Progress()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "simulated"
        simulate_dataset(
            data,
            machines=MACHINES,
            train_source=90,
            train_target=10,
            test_per_cell=25,
            seed=DATA_SEED,
            progress=progress,
        )
        clips = read_datasets([str(data)])
        run = fit(
            _longer(load_recipe(RECIPE, fast=True)),
            clips,
            datasets=[str(data)],
            seed=TRAINING_SEED,
            progress=progress,
            report=lambda epoch, loss: print(f"epoch {epoch}  loss {loss:.4f}", flush=True),
        )
        figures = ship(run, clips, out, progress=progress)
    print(json.dumps(figures, indent=1))
    print(f"wrote {out} ({out.stat().st_size / 1e6:.2f} MB)")


def ship(run: Run, clips: Sequence[Clip], out: Path, *, progress: Progress) -> dict[str, Any]:
    """Export a run as the default bundle, and record how it scores."""
    bundle = export_bundle(
        run,
        clips,
        out,
        name="default",
        created=CREATED,
        precisions=PRECISIONS,
        both_graphs=False,
        progress=progress,
    )
    ours = evaluate_bundle(bundle, clips, progress=progress)
    naive = evaluate(naive_scores(clips))
    machines = {
        m.machine: _figures(m, "") | _figures(n, "naive_") for m, n in zip(ours.machines, naive.machines, strict=True)
    }
    RECORDED.write_text(json.dumps({name: round(score, 6) for name, score in scores(bundle)}, indent=1) + "\n")
    figures = {"official": ours.official, "naive_official": naive.official, "machines": machines}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(figures, indent=1) + "\n")
    return figures


def _longer(recipe: Recipe) -> Recipe:
    """Return the recipe with twice as many passes at each rate: --fast is for a first try, this is shipped."""
    phases = tuple(phase.model_copy(update={"epochs": 2 * phase.epochs}) for phase in recipe.training.schedule)
    return recipe.model_copy(update={"training": recipe.training.model_copy(update={"schedule": phases})})


def _figures(result: MachineResult, prefix: str) -> dict[str, float]:
    figures = {
        "source_auc": result.source.auc,
        "target_auc": result.target.auc,
        "source_pauc": result.source.pauc,
        "target_pauc": result.target.pauc,
        "source_false_alarms": result.source.false_alarm_rate,
        "target_false_alarms": result.target.false_alarm_rate,
        "source_detection": result.source.detection_rate,
        "target_detection": result.target.detection_rate,
    }
    return {prefix + name: round(value, 4) for name, value in figures.items()}


if __name__ == "__main__":
    main()
