"""Recipes: what they leave to calibrate with, what --fast changes, and errors that name the key."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from asd_edge.errors import ConfigError
from asd_edge.scoring.calibration import FEW_CLIPS
from asd_train.labels import training_set
from asd_train.recipe import load_recipe
from tests.train.clips import clip


def test_fast_keeps_enough_clips_out_of_a_simulated_machine_to_fit_its_scores() -> None:
    clips = [clip(number, attributes=f"spd_{number % 9}") for number in range(90)]
    kept = training_set(clips, held_out=load_recipe("tf_resnet", fast=True).calibration.held_out, seed=0).held_out
    assert len(kept) == 27
    assert len(kept) >= FEW_CLIPS


def test_fast_changes_what_its_table_states_and_nothing_else() -> None:
    published, fast = (load_recipe("tf_resnet", fast=fast).model_dump() for fast in (False, True))
    assert (published["network"].pop("width"), fast["network"].pop("width")) == (1.0, 0.5)
    assert (published["calibration"].pop("held_out"), fast["calibration"].pop("held_out")) == (0.15, 0.25)
    for key in ("batch", "schedule"):
        assert published["training"].pop(key) != fast["training"].pop(key)
    assert fast == published


def test_an_unknown_key_is_an_error_that_names_it(tmp_path: Path) -> None:
    published = (resources.files("asd_train") / "recipes" / "tf_resnet.toml").read_text("utf-8")
    (tmp_path / "mine.toml").write_text(published + "held_oot = 0.1\n", "utf-8")
    with pytest.raises(ConfigError, match=r"calibration\.held_oot"):
        load_recipe(str(tmp_path / "mine.toml"), fast=True)
