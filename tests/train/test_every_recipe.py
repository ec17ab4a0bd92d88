"""Every recipe trains on simulated machines and lowers its loss, through the one loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asd_train.data.dcase import read_datasets
from asd_train.progress import Progress
from asd_train.simulate import simulate_dataset
from asd_train.training.fit import fit_all
from tests.train.every_recipe import TRAINED, UNTRAINED, small

SILENT = Progress(enabled=False)


@pytest.fixture(scope="module")
def two_sections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two machines of two sections each."""
    folder = tmp_path_factory.mktemp("sections") / "data"
    simulate_dataset(
        folder,
        machines=("fan", "valve"),
        sections=(0, 1),
        train_source=9,
        train_target=2,
        test_per_cell=1,
        seed=5,
        seconds=4.0,
    )
    return folder


@pytest.mark.parametrize("name", TRAINED)
def test_training_lowers_the_loss(name: str, two_sections: Path) -> None:
    clips = read_datasets([str(two_sections)])
    runs = fit_all(small(name), clips, datasets=[str(two_sections)], seed=0, progress=SILENT)
    for run in runs:
        assert np.isfinite(run.history).all()
        assert run.history[-1] < run.history[0]


@pytest.mark.parametrize("name", UNTRAINED)
def test_what_has_nothing_to_learn_is_fitted_without_a_loss(name: str, two_sections: Path) -> None:
    clips = read_datasets([str(two_sections)])
    (run,) = fit_all(small(name), clips, datasets=[str(two_sections)], seed=0, progress=SILENT)
    assert list(run.network.parameters()) == []
    assert run.history == ()
    assert len(run.classes) > 1
