"""Every recipe trains on simulated machines and lowers its loss, through the one loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asd_train.data.dcase import read_datasets
from asd_train.progress import Progress
from asd_train.training.fit import fit_all
from tests.train.every_recipe import TRAINED, UNTRAINED, small, two_sections

SILENT = Progress(enabled=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two machines of two sections each."""
    folder = tmp_path_factory.mktemp("sections") / "data"
    two_sections(folder)
    return folder


@pytest.mark.parametrize("name", TRAINED)
def test_training_lowers_the_loss(name: str, data: Path) -> None:
    clips = read_datasets([str(data)])
    runs = fit_all(small(name), clips, datasets=[str(data)], seed=0, progress=SILENT)
    for run in runs:
        assert np.isfinite(run.history).all()
        assert run.history[-1] < run.history[0]


@pytest.mark.parametrize("name", UNTRAINED)
def test_what_has_nothing_to_learn_is_fitted_without_a_loss(name: str, data: Path) -> None:
    clips = read_datasets([str(data)])
    (run,) = fit_all(small(name), clips, datasets=[str(data)], seed=0, progress=SILENT)
    assert list(run.network.parameters()) == []
    assert run.history == ()
    assert len(run.classes) > 1
