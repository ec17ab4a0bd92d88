"""Real quadcopter flights: naive baseline and ours in one table, over four seeds.

    python -m tests.bench.flights --real-data FOLDER

The flights have one class a domain, so they train together with simulated machines and with the other real recordings
as further classes. Finished seeds are kept in docs/benchmarks/flights.json and not trained again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import soundfile

from asd_edge.simulator import MACHINES
from asd_train.data.clip import Clip
from asd_train.data.dcase import read_datasets
from asd_train.embedder import torch_pipeline
from asd_train.evaluate import MachineResult, evaluate, evaluate_run
from asd_train.fit import fit
from asd_train.naive import naive_scores
from asd_train.progress import Progress
from asd_train.recipe import load_recipe
from asd_train.run import save_run
from asd_train.simulate import simulate_dataset

RESULTS = Path(__file__).parents[2] / "docs" / "benchmarks" / "flights.json"
SEEDS = (0, 1, 2, 3)
MACHINE = "uav"


def main() -> None:
    """Fill the missing cells of the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real-data", type=Path, required=True, help="folder of the real recordings")
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    parser.add_argument("--keep-runs", type=Path, help="folder for the trained networks")
    arguments = parser.parse_args()
    done: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        datasets = _datasets(arguments.real_data, Path(folder))
        clips = read_datasets(datasets)
        if "naive" not in done:
            flights = [clip for clip in clips if clip.machine == MACHINE]
            done["naive"] = _figures(evaluate(naive_scores(flights)).machines[0])
            _keep(done)
        for seed in arguments.seeds:
            if f"tf_resnet seed {seed}" not in done:
                done[f"tf_resnet seed {seed}"] = _cell(clips, datasets, seed, arguments.keep_runs)
                _keep(done)
    print(json.dumps(done, indent=1))


def _cell(clips: list[Clip], datasets: list[str], seed: int, keep_runs: Path | None) -> dict[str, float]:
    recipe = load_recipe("tf_resnet", fast=True)
    began = monotonic()
    run = fit(
        recipe,
        clips,
        datasets=datasets,
        seed=seed,
        progress=Progress(),
        report=lambda epoch, loss: print(f"seed {seed} epoch {epoch} loss {loss:.4f}", flush=True),
    )
    trained_s = monotonic() - began
    if keep_runs is not None:
        save_run(run, keep_runs / f"flights-seed-{seed}")
    flights = [clip for clip in clips if clip.machine == MACHINE]
    result = evaluate_run(run, torch_pipeline(run), flights, progress=Progress())
    return _figures(result.machines[0]) | {
        "classes": len(run.classes),
        "epochs": recipe.training.epochs,
        "training_s": round(trained_s),
    }


def _figures(result: MachineResult) -> dict[str, float]:
    figures = {
        "source_auc": result.source.auc,
        "source_pauc": result.source.pauc,
        "target_auc": result.target.auc,
        "target_pauc": result.target.pauc,
        "official": result.official,
        "source_false_alarms": result.source.false_alarm_rate,
        "target_false_alarms": result.target.false_alarm_rate,
        "source_detection": result.source.detection_rate,
        "target_detection": result.target.detection_rate,
    }
    return {name: round(value, 4) for name, value in figures.items()}


def _datasets(real: Path, folder: Path) -> list[str]:
    """Return the data sets to learn from, made where they are not in the DCASE layout."""
    simulated = folder / "simulated"
    simulate_dataset(
        simulated,
        machines=MACHINES,
        train_source=60,
        train_target=0,
        test_per_cell=0,
        seed=1,
        progress=Progress(),
    )
    others = folder / "others"
    for machine, recordings in (("desk_fan", _desk_fan(real)), ("fan_8ch", _fan_8ch(real))):
        train = others / machine / "train"
        train.mkdir(parents=True)
        for number, (attribute, path) in enumerate(recordings):
            samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
            name = f"section_00_source_train_normal_{number:04d}_{attribute}.wav"
            soundfile.write(train / name, samples[:, 0], rate)
    return [
        str(real / "flights"),
        f"sim={simulated}",
        f"dcase={real / 'dcase2023_samples'}",
        f"real={others}",
    ]


def _desk_fan(real: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted((real / "desk_fan").glob("*.wav")):
        state, _, date = path.stem.partition("_")
        if state in ("ON", "OFF"):
            yield f"state_{state}_year_{date[:4]}", path


def _fan_8ch(real: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted((real / "fan_8ch" / "normal").glob("*.wav")):
        yield "id_00", path


def _keep(done: dict[str, Any]) -> None:
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(done, indent=1) + "\n")


if __name__ == "__main__":
    main()
