"""Train the shipped default bundle again: `make default-model`.

Everything is committed: the simulator's seed, the recipe with its fast preset, the training seed.
"""

from __future__ import annotations

import argparse
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from asd_edge.simulator import MACHINES
from asd_export.bundle import export_bundle
from asd_train.data.dcase import read_datasets
from asd_train.embedder import torch_pipeline
from asd_train.evaluate import evaluate_run
from asd_train.fit import fit
from asd_train.progress import Progress
from asd_train.recipe import load_recipe
from asd_train.simulate import simulate_dataset

DEFAULT = Path(__file__).parent.parent / "edge" / "asd_edge" / "models" / "default.asd"
RECIPE = "tf_resnet"
DATA_SEED = 1
TRAINING_SEED = 0
CREATED = datetime(2026, 11, 21, tzinfo=timezone.utc)


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
            load_recipe(RECIPE, fast=True),
            clips,
            datasets=[str(data)],
            seed=TRAINING_SEED,
            progress=progress,
            report=lambda epoch, loss: print(f"epoch {epoch}  loss {loss:.4f}", flush=True),
        )
        result = evaluate_run(run, torch_pipeline(run), clips, progress=progress)
        print(f"official score on the test clips: {result.official:.3f}")
        export_bundle(run, clips, out, name="default", created=CREATED, progress=progress)
    print(f"wrote {out} ({out.stat().st_size / 1e6:.2f} MB)")


if __name__ == "__main__":
    main()
