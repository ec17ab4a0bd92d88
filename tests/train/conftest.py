"""A small simulated data set, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from asd_train.simulate import simulate_dataset


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "data"
    simulate_dataset(
        folder, machines=("fan", "valve"), train_source=18, train_target=3, test_per_cell=3, seed=5, seconds=5.0
    )
    return folder
