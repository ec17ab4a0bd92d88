"""Centre imprinting with and without fine-tuning on simulated machines, after table 6 of Chen et al. (ICASSP 2022).

    python -m tests.bench.finetuning

One network learns from the source clips of sections 01 and 02 of three machines, two units of each in other halls.
Section 00, a third unit, is the target: n clips of each of its attribute classes are imprinted, with and without
fine-tuning for that machine, and its test clips are scored against their centres. Finished cells are kept in
docs/benchmarks/finetuning.json and not computed again; docs/finetuning.md shows them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import mean
from time import process_time

import numpy as np
from numpy.typing import NDArray

from asd_edge.scoring.aggregation import score_window
from asd_edge.scoring.backends.nearest_centre import NearestCentre
from asd_edge.scoring.conditions import Condition, ConditionSet
from asd_edge.sources.file import read_clip
from asd_train.data.clip import Clip
from asd_train.data.dcase import read_datasets
from asd_train.embedder import torch_pipeline
from asd_train.evaluation.metrics import auc
from asd_train.imprinting.finetune import class_centres, embed_together, finetune
from asd_train.labels import class_of
from asd_train.progress import Progress
from asd_train.recipe import Recipe, load_recipe
from asd_train.run import Run, load_run, save_run
from asd_train.simulate import simulate_dataset
from asd_train.training.fit import fit
from tests.bench import render_finetuning
from tests.bench.machine import machine as computer

RESULTS = render_finetuning.RESULTS
MACHINES = ("fan", "gearbox", "slider")
SEEDS = (0, 1, 2, 3)
SHOTS = (1, 3, 5)  # n clips of each class
POOLED = 3  # n of those that are also imprinted as if they were one class
TARGET, SOURCES = "00", ("01", "02")
DATA_SEED, TRAIN_CLIPS, TEST_CLIPS = 21, 60, 40
SILENT = Progress(enabled=False)


def recipe() -> Recipe:
    """Return tf_resnet small enough for one core: 64 bands, quarter width, segments without context."""
    values = load_recipe("tf_resnet", fast=True).model_dump()
    values["embedder"] = "segment"
    values["segment"] = {"frames": 64, "step": 64}
    values["window"] = {"segments": 4, "every": 1}
    values["front_end"]["mels"] = 64
    values["network"]["width"] = 0.25
    values["training"]["batch"] = 8
    values["training"]["schedule"] = [{"epochs": 30, "learning_rate": 0.05}, {"epochs": 10, "learning_rate": 0.005}]
    values["calibration"]["held_out"] = 0.1
    return Recipe.model_validate(values)


@dataclass(frozen=True)
class Unit:
    """The source-domain clips of one section."""

    train: tuple[Clip, ...]
    test: tuple[Clip, ...]


def main() -> None:
    """Fill the missing cells of the table, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    parser.add_argument("--data", type=Path, help="folder that keeps the simulated clips; a temporary one by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.data or Path(temporary)
        units = {machine: _units(folder / machine, machine) for machine in MACHINES}
        for (part, measure), seed, machine in product((("few", _few), ("all", _all)), arguments.seeds, MACHINES):
            cells = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
            name = f"{machine} seed {seed} {part}"
            if name in cells:
                continue
            sections = SOURCES if part == "few" else (TARGET, *SOURCES)
            learned = [clip for own in units.values() for section in sections for clip in own[section].train]
            run = _trained(folder / "runs" / f"seed-{seed}-{part}", learned, seed)
            began = process_time()
            cells[name] = measure(run, units[machine], seed) | {"cpu_s": round(process_time() - began)}
            cells["machine"] = computer("torch", "numpy")
            RESULTS.write_text(json.dumps(cells, indent=1) + "\n")
            print(name, json.dumps(cells[name]), flush=True)
    render_finetuning.main()


def _trained(folder: Path, clips: Sequence[Clip], seed: int) -> Run:
    """Train, or take the network that an interrupted benchmark left."""
    if not folder.exists():
        save_run(fit(recipe(), clips, datasets=[], seed=seed, progress=SILENT), folder)
    return load_run(folder)


def _few(run: Run, units: dict[str, Unit], seed: int) -> dict[str, float]:
    """Imprint the target of a network that knows the two source sections, with and without fine-tuning."""
    learned = [clip for section in SOURCES for clip in units[section].train]
    figures = {"source": _source_auc(run, units)}
    for n in SHOTS:
        target = _draw(units[TARGET].train, n, seed)
        figures[f"imprint n={n}"] = _auc(run, target, units[TARGET].test)
        tuned = finetune(run, target, learned, seed=seed, progress=SILENT)
        figures[f"finetune n={n}"] = _auc(tuned, target, units[TARGET].test)
        figures[f"finetune n={n} source"] = _source_auc(tuned, units)
    target = [replace(clip, attributes="") for clip in _draw(units[TARGET].train, POOLED, seed)]
    tuned = finetune(run, target, learned, seed=seed, progress=SILENT)
    figures["one class imprint"] = _auc(run, target, units[TARGET].test)
    figures["one class finetune"] = _auc(tuned, target, units[TARGET].test)
    figures["one class finetune source"] = _source_auc(tuned, units)
    return figures


def _all(run: Run, units: dict[str, Unit], seed: int) -> dict[str, float]:
    """Score the target of a network that learned from all three sections, as if the target had been known."""
    return {"target": _auc(run, _kept(run, units[TARGET]), units[TARGET].test), "source": _source_auc(run, units)}


def _source_auc(run: Run, units: dict[str, Unit]) -> float:
    return round(mean(_auc(run, _kept(run, units[section]), units[section].test) for section in SOURCES), 4)


def _kept(run: Run, unit: Unit) -> list[Clip]:
    return [clip for clip in unit.train if clip.key not in run.held_out]


def _auc(run: Run, normals: Sequence[Clip], tests: Sequence[Clip]) -> float:
    """Return the AUC of test clips scored against the centres of these normals, one a class (equation 3)."""
    pipeline = torch_pipeline(run)
    centres = class_centres(pipeline, [[_sound(clip) for clip in members] for members in _classes(normals)])
    known = ConditionSet(
        NearestCentre(), (Condition("normal", {"references": centres}, threshold=0.0),), idle_floor=0.0
    )
    scores: dict[bool, list[float]] = {False: [], True: []}
    for clip, embedded in zip(tests, embed_together(pipeline, [_sound(clip) for clip in tests]), strict=True):
        window = score_window(embedded.segments, known, pipeline.aggregation)
        assert window is not None  # simulated machines never stand still
        scores[clip.anomalous].append(window.score)
    return round(auc(scores[False], scores[True]), 4)


def _classes(clips: Sequence[Clip]) -> list[list[Clip]]:
    groups: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        groups[class_of(clip)].append(clip)
    return [groups[name] for name in sorted(groups)]


def _draw(clips: Sequence[Clip], n: int, seed: int) -> list[Clip]:
    """Draw n clips of each class; the draw of a smaller n is part of that of a larger one."""
    generator = np.random.default_rng([seed, 6])
    return [members[i] for members in _classes(clips) for i in generator.permutation(len(members))[:n]]


def _sound(clip: Clip) -> NDArray[np.float32]:
    return read_clip(clip.path, rate=16_000)


def _units(folder: Path, machine: str) -> dict[str, Unit]:
    if not folder.exists():
        simulate_dataset(
            folder,
            machines=(machine,),
            sections=(0, 1, 2),
            train_source=TRAIN_CLIPS,
            train_target=0,
            test_per_cell=TEST_CLIPS,
            seed=DATA_SEED,
        )
    clips = [clip for clip in read_datasets([str(folder)]) if clip.domain == "source"]
    return {
        section: Unit(
            tuple(clip for clip in clips if (clip.section, clip.split) == (section, "train")),
            tuple(clip for clip in clips if (clip.section, clip.split) == (section, "test")),
        )
        for section in (TARGET, *SOURCES)
    }


if __name__ == "__main__":
    main()
