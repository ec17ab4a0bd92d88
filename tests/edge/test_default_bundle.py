"""The shipped bundle: small, whole, and scoring as recorded when it was made."""

from __future__ import annotations

import json
from importlib import resources

import pytest

from asd_edge.bundle.archive import load_bundle
from asd_edge.bundle.bundle import Bundle
from asd_edge.simulator import MACHINES
from tests.edge.default_bundle import RECORDED, scores


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle("default")


def test_it_is_small_and_knows_every_simulated_machine(bundle: Bundle) -> None:
    size = (resources.files("asd_edge") / "models" / "default.asd").stat().st_size  # type: ignore[attr-defined]
    assert size <= 3_300_000
    assert [machine.machine for machine in bundle.machines] == sorted(MACHINES)
    assert bundle.manifest.provenance.recipe == "tf_resnet"


def test_scores_on_the_committed_seeds_are_those_recorded(bundle: Bundle) -> None:
    recorded = json.loads(RECORDED.read_text())
    got = dict(scores(bundle))
    assert got.keys() == recorded.keys()
    for name, score in got.items():
        # another processor or BLAS adds in another order; a changed front end or graph moves scores by far more
        assert score == pytest.approx(recorded[name], abs=1e-3), name


def test_blatant_faults_score_above_normal_sound_on_the_committed_seeds() -> None:
    recorded = json.loads(RECORDED.read_text())
    normal = {name: score for name, score in recorded.items() if " normal " in name}
    pairs = wins = 0
    for name, score in recorded.items():
        if name not in normal:
            same = [n for key, n in normal.items() if key.split()[0] == name.split()[0]]
            pairs += len(same)
            wins += sum(score > n for n in same)
    assert wins / pairs >= 0.75  # AUC over machines, within each
