"""Trains a small recipe in a process of its own: python -m tests.train.fit_small DATA OUT DEVICES."""

from __future__ import annotations

import sys
from pathlib import Path

from asd_train.data.dcase import read_datasets
from asd_train.progress import Progress
from asd_train.recipe import Recipe
from asd_train.run import save_runs
from asd_train.training.engine import Engine, is_first_process
from asd_train.training.fit import fit_all
from asd_train.training.work import Work
from tests.train.every_recipe import small


def recipe() -> Recipe:
    """Return a recipe with all that a resume could lose: ensemble, snapshots, momentum, adaptive scales, mixup."""
    values = small("subcluster_adacos_2021", epochs=4).model_dump(mode="json")
    return Recipe.model_validate(values | {"members": 2, "snapshots": 2})


def main() -> None:
    """Train, go on where an earlier call was killed, and write the run."""
    data, out, devices = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    work = Work(
        engine=Engine(accelerator="cpu", devices=devices),
        unfinished=out.with_name(f"{out.name}.unfinished"),
        keep_every_s=0.0,
        logs=out.with_name(f"{out.name}.logs"),
    )
    clips = read_datasets([data])
    runs = fit_all(recipe(), clips, datasets=[data], seed=0, progress=Progress(enabled=False), work=work)
    if is_first_process():
        save_runs(runs, out)
        work.forget_unfinished()


if __name__ == "__main__":
    main()
