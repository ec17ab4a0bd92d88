"""Log-mel in the place of sound: training, commissioning and scoring give what the sound would have given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asd_edge.dsp.front_end import FrontEnd
from asd_edge.errors import DataError
from asd_edge.sources.file import read_clip
from asd_train.data.clip import Clip
from asd_train.data.dcase import read_datasets
from asd_train.embedder import torch_pipeline
from asd_train.evaluation.runs import evaluate_run
from asd_train.features.embed import embed_features
from asd_train.progress import Progress
from asd_train.training.fit import fit
from tests.train.tiny_recipe import tiny_recipe

SILENT = Progress(enabled=False)


@pytest.fixture(scope="module")
def both(small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Clip], list[Clip]]:
    """A data set as sound, and the same as files of log-mel."""
    recipe, folder = tiny_recipe(), tmp_path_factory.mktemp("features")
    sound = [clip for clip in read_datasets([str(small_data)]) if clip.machine == "fan"]
    features = []
    for clip in sound:
        frames = FrontEnd(recipe.front_end).push(read_clip(clip.path, rate=16_000)).features
        path = folder / clip.path.with_suffix(".npy").name
        np.save(path, frames)
        features.append(replace(clip, path=path))
    return sound, features


def test_training_and_evaluation_on_features_are_those_on_the_sound(both: tuple[list[Clip], list[Clip]]) -> None:
    runs = [fit(tiny_recipe(epochs=1), clips, datasets=[], seed=0, progress=SILENT) for clips in both]
    for name, weights in runs[0].network.state_dict().items():
        np.testing.assert_array_equal(weights.numpy(), runs[1].network.state_dict()[name].numpy())
    one, other = (
        evaluate_run(run, torch_pipeline(run), clips, progress=SILENT) for run, clips in zip(runs, both, strict=True)
    )
    assert one.official == pytest.approx(other.official, abs=1e-6)


def test_features_that_are_too_short_are_refused(both: tuple[list[Clip], list[Clip]]) -> None:
    run = fit(tiny_recipe(epochs=1), both[1], datasets=[], seed=0, progress=SILENT)
    with pytest.raises(DataError, match=r"(?s)too short.*109 frames.*at least 110 frames"):
        embed_features(torch_pipeline(run), np.zeros((109, 128), np.float32), name="x.npy")
