"""A small simulated data set, and a network that has hardly learned from it, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from asd_train.data.dcase import read_datasets
from asd_train.progress import Progress
from asd_train.run import Run, save_run
from asd_train.simulate import simulate_dataset
from asd_train.training.fit import fit
from tests.train.tiny_recipe import tiny_recipe


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "data"
    simulate_dataset(
        folder, machines=("fan", "valve"), train_source=18, train_target=3, test_per_cell=3, seed=5, seconds=5.0
    )
    return folder


@pytest.fixture(scope="session")
def tiny_runs(small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two seeds of one recipe on disk, one pass of training each."""
    folder = tmp_path_factory.mktemp("runs")
    return [_saved(_trained(small_data, seed), folder / f"seed-{seed}") for seed in (0, 1)]


def _trained(data: Path, seed: int) -> Run:
    silent = Progress(enabled=False)
    return fit(tiny_recipe(epochs=1), read_datasets([str(data)]), datasets=[str(data)], seed=seed, progress=silent)


def _saved(run: Run, folder: Path) -> Path:
    save_run(run, folder)
    return folder
