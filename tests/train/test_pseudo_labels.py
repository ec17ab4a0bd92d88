"""Conditions nobody has named are found by what machines sound like."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from asd_train.data.clip import Clip
from asd_train.data.dcase import read_datasets
from asd_train.evaluation.system import score_system
from asd_train.features.cache import Cache
from asd_train.features.pseudo_labels import clusters, labelled, pseudo_labels
from asd_train.labels import class_of
from asd_train.progress import Progress
from asd_train.recipe import load_recipe
from asd_train.run import load_run, save_run
from asd_train.simulate import simulate_dataset
from asd_train.training.fit import Work, fit
from tests.train.every_recipe import small

SILENT = Progress(enabled=False)
UNNAMED = "pump"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """Two machines; the source conditions of the pump and those of its target have lost their names."""
    folder = tmp_path_factory.mktemp("pseudo") / "data"
    simulate_dataset(
        folder, machines=("fan", UNNAMED), train_source=18, train_target=8, test_per_cell=1, seed=3, seconds=4.0
    )
    return read_datasets([str(folder)])


def unnamed(clips: list[Clip]) -> list[Clip]:
    return [replace(clip, attributes="") if clip.machine == UNNAMED else clip for clip in clips]


def found(clips: list[Clip], folder: Path, *, seed: int = 0) -> dict[str, str]:
    corpus = Cache(folder).features(clips, load_recipe("asd_edge").front_end, channel=None, progress=SILENT)
    return pseudo_labels(clips, corpus, most=16, seed=seed)


def test_conditions_are_recovered_well_above_chance(clips: list[Clip], tmp_path: Path) -> None:
    normals = [clip for clip in clips if clip.split == "train"]
    labels = found(unnamed(normals), tmp_path)
    for domain, least in (("source", 0.15), ("target", 0.7)):  # chance is 0; some conditions share a cluster
        own = [clip for clip in normals if clip.machine == UNNAMED and clip.domain == domain]
        true = [clip.attributes for clip in own]
        assert adjusted_rand_score(true, [labels.get(clip.key, "") for clip in own]) > least, domain


def test_clips_with_attributes_and_test_clips_stay_as_they_are(clips: list[Clip], tmp_path: Path) -> None:
    bare = unnamed(clips)
    labels = found([clip for clip in bare if clip.split == "train"], tmp_path)
    assert labels
    after = labelled(bare, labels)
    for was, now in zip(bare, after, strict=True):
        renamed = was.machine == UNNAMED and was.split == "train"
        assert now == (replace(was, attributes=labels[was.key]) if renamed else was)


def test_one_name_among_them_is_enough_to_leave_a_machine_as_it_is(clips: list[Clip], tmp_path: Path) -> None:
    normals = [clip for clip in clips if clip.split == "train" and clip.machine == UNNAMED]
    assert set(found(unnamed(normals), tmp_path)) == {clip.key for clip in normals}
    named = [*unnamed(normals[:-1]), normals[-1]]
    own = {clip.key for clip in normals if clip.domain == normals[-1].domain}
    assert set(found(named, tmp_path)) == {clip.key for clip in normals} - own


def test_sound_that_does_not_fall_into_clusters_keeps_one_label() -> None:
    noise = np.random.default_rng(0).standard_normal((40, 64)).astype(np.float32)
    assert not clusters(noise, most=16, seed=0).any()
    assert not clusters(noise[:5], most=16, seed=0).any()  # too few to divide


def test_a_run_keeps_its_labels_and_commissions_with_them(clips: list[Clip], tmp_path: Path) -> None:
    recipe, bare = small("asd_edge:spectrum"), unnamed(clips)
    run = fit(recipe, bare, datasets=[], seed=0, progress=SILENT, work=Work(cache_folder=tmp_path / "cache"))
    assert run.pseudo_labels
    assert set(run.classes) == {class_of(clip) for clip in run.labelled(bare) if clip.split == "train"}
    save_run(run, tmp_path / "run")
    again = load_run(tmp_path / "run")
    assert again.pseudo_labels == run.pseudo_labels
    with_labels, without = (score_system([r], bare, progress=SILENT) for r in (again, replace(again, pseudo_labels={})))
    named = {s.clip.key: s.score for s in score_system([run], run.labelled(bare), progress=SILENT)}
    assert {s.clip.key: s.score for s in with_labels} == named
    assert any(s.score != named[s.clip.key] for s in without)
