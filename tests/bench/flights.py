"""Real quadcopter flights: naive baseline and ours in one table, over four seeds; and what enrolling does to them.

    python -m tests.bench.flights --real-data FOLDER

The flights have one class a domain, so they train together with simulated machines and with the other real recordings
as further classes. Training never hears a target clip. Then the ten target training clips are enrolled as a technician
would, with the exported bundle and through the same code. Finished seeds are kept in docs/benchmarks/flights.json and
not trained again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import soundfile

from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.site_store import SiteStore
from asd_edge.enrollment.clips import RecordedClip
from asd_edge.enrollment.commit import commit
from asd_edge.enrollment.propose import Machine, propose
from asd_edge.scoring.decision import DecisionSpec
from asd_edge.simulator import MACHINES
from asd_edge.sources.file import read_clip
from asd_export.bundle import export_bundle
from asd_train.data.clip import Clip
from asd_train.data.dcase import read_datasets
from asd_train.embedder import torch_pipeline
from asd_train.evaluation.evaluate import evaluate
from asd_train.evaluation.naive import naive_scores
from asd_train.evaluation.results import MachineResult
from asd_train.evaluation.runs import evaluate_run
from asd_train.evaluation.scored import score_clips
from asd_train.progress import Progress
from asd_train.recipe import load_recipe
from asd_train.run import Run, load_run, save_run
from asd_train.simulate import simulate_dataset
from asd_train.training.fit import fit

RESULTS = Path(__file__).parents[2] / "docs" / "benchmarks" / "flights.json"
SEEDS = (0, 1, 2, 3)
MACHINE = "uav"


def main() -> None:
    """Fill the missing cells of the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real-data", type=Path, required=True, help="folder of the real recordings")
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    parser.add_argument("--runs", type=Path, help="folder where trained networks are kept, and looked for")
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
                done[f"tf_resnet seed {seed}"] = _cell(clips, datasets, seed, arguments.runs, Path(folder))
                _keep(done)
    print(json.dumps(done, indent=1))


def _cell(clips: list[Clip], datasets: list[str], seed: int, runs: Path | None, folder: Path) -> dict[str, Any]:
    run = _trained(clips, datasets, seed, runs)
    flights = [clip for clip in clips if clip.machine == MACHINE]
    commissioned = evaluate_run(run, torch_pipeline(run), flights, progress=Progress())
    return _figures(commissioned.machines[0]) | {
        "classes": len(run.classes),
        "epochs": run.recipe.training.epochs,
        "enrollment": _enrollment(run, flights, folder / f"seed-{seed}"),
    }


def _trained(clips: list[Clip], datasets: list[str], seed: int, runs: Path | None) -> Run:
    kept = None if runs is None else runs / f"seed-{seed}"
    if kept is not None and kept.exists():
        return load_run(kept)
    run = fit(
        load_recipe("tf_resnet", fast=True),
        clips,
        datasets=datasets,
        seed=seed,
        progress=Progress(),
        report=lambda epoch, loss: print(f"seed {seed} epoch {epoch} loss {loss:.4f}", flush=True),
    )
    if kept is not None:
        save_run(run, kept)
    return run


def _enrollment(run: Run, flights: list[Clip], folder: Path) -> dict[str, Any]:
    """Return the figures of a device that knows the source domain, before and after the target clips are enrolled."""
    folder.mkdir()
    target = [clip for clip in flights if clip.split == "train" and clip.domain == "target"]
    heard = [clip for clip in flights if clip not in target]
    bundle = export_bundle(run, heard, folder / "flights.asd", name="flights", both_graphs=False, progress=Progress())
    machine = Machine(SiteStore(folder / "state", MACHINE), DecisionSpec(), factory=(MACHINE, "00"))
    rate = bundle.manifest.front_end.sample_rate
    sound = (RecordedClip(clip.path.name, read_clip(clip.path, rate=rate)) for clip in target)
    before = _scored(bundle, machine, flights)
    with machine.store.exclusive("bench"):
        proposal = propose(machine, bundle, "clockwise", sound, author="bench").proposal
        commit(machine.store, bundle, proposal, author="bench", force=True)
    report = proposal.report
    return {
        "clips": sum(clip.rejected is None for clip in report.clips),
        "anomalous_before": report.refusal is not None,
        "threshold": round(report.threshold, 4),
        "before": before,
        "after": _scored(bundle, machine, flights),
    }


def _scored(bundle: Bundle, machine: Machine, flights: list[Clip]) -> dict[str, float]:
    known = machine.conditions(bundle, machine.store.load())
    assert known is not None
    clips = score_clips(bundle.pipeline(), {f"{MACHINE}/00": known}, flights, channel=None, progress=Progress())
    result = evaluate(clips).machines[0]
    official = {"auc_source": result.auc_source, "auc_target": result.auc_target, "pauc": result.pauc}
    return _figures(result) | {name: round(value, 4) for name, value in official.items()}


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
    other_recordings(real, others)
    return [
        str(real / "flights"),
        f"sim={simulated}",
        f"dcase={real / 'dcase2023_samples'}",
        f"real={others}",
    ]


def other_recordings(real: Path, folder: Path) -> None:
    """Write the desk fan's and the eight-channel fan's normals as training clips in the DCASE layout."""
    for machine, recordings in (("desk_fan", _desk_fan(real)), ("fan_8ch", _fan_8ch(real))):
        train = folder / machine / "train"
        train.mkdir(parents=True)
        for number, (attribute, path) in enumerate(recordings):
            samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
            name = f"section_00_source_train_normal_{number:04d}_{attribute}.wav"
            soundfile.write(train / name, samples[:, 0], rate)


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
