"""Training end to end on simulated machines: it learns, it repeats, it leaves nothing half-written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from asd_edge.errors import DataError
from asd_edge.pipeline import SegmentStream
from asd_edge.scoring.backends.kinds import BACKENDS
from asd_train.data.dcase import read_datasets
from asd_train.embedder import torch_pipeline
from asd_train.evaluation.runs import compare_backends, evaluate_run
from asd_train.progress import Progress
from asd_train.recipe import Recipe
from asd_train.run import Run, check_free, load_run, save_run
from asd_train.training.fit import fit
from tests.train.tiny_recipe import tiny_recipe

SILENT = Progress(enabled=False)


def trained(data: Path, *, seed: int = 0, epochs: int = 2) -> Run:
    datasets = [str(data)]
    return fit(tiny_recipe(epochs=epochs), read_datasets(datasets), datasets=datasets, seed=seed, progress=SILENT)


@pytest.fixture(scope="module")
def run(small_data: Path) -> Run:
    return trained(small_data, epochs=12)


def test_training_lowers_the_loss(run: Run) -> None:
    assert len(run.history) == 12
    assert run.history[-1] < run.history[0] - 0.3
    assert len(run.classes) == 18  # two machines, nine source conditions each


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(small_data: Path) -> None:
    one, again, other = (trained(small_data, seed=s, epochs=1) for s in (0, 0, 1))
    weights = [run.network.embedding.weight for run in (one, again, other)]
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=0)
    assert not torch.equal(weights[0], weights[2])


def test_a_run_reads_back_as_it_was_written(run: Run, tmp_path: Path) -> None:
    save_run(run, tmp_path / "run")
    back = load_run(tmp_path / "run")
    assert (back.recipe, back.seed, back.classes, back.held_out, back.history) == (
        run.recipe,
        run.seed,
        run.classes,
        run.held_out,
        run.history,
    )
    sound = np.random.default_rng(0).normal(0.0, 0.1, 80_000).astype(np.float32)
    one, other = (SegmentStream(torch_pipeline(which)).push(sound).embeddings for which in (back, run))
    assert len(one) > 1
    np.testing.assert_array_equal(one, other)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_run_never_overwrites_another(run: Run, tmp_path: Path) -> None:
    save_run(run, tmp_path / "run")
    before = (tmp_path / "run" / "run.json").read_bytes()
    with pytest.raises(DataError, match="is taken"):
        save_run(run, tmp_path / "run")
    assert (tmp_path / "run" / "run.json").read_bytes() == before


@pytest.mark.parametrize("parent", ["file", "/proc"])
def test_a_place_that_cannot_be_written_is_refused_before_training(parent: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"(?s)cannot be written.*Choose another --out"):
        check_free(tmp_path / parent / "new" / "run")


def test_a_free_place_is_left_as_it_was(tmp_path: Path) -> None:
    check_free(tmp_path / "new" / "run")
    assert list(tmp_path.iterdir()) == []


def test_damaged_runs_are_refused(run: Run, tmp_path: Path) -> None:
    save_run(run, tmp_path / "run")
    weights = tmp_path / "run" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(DataError, match="not a training run"):
        load_run(tmp_path / "run")
    with pytest.raises(DataError, match="asd-train fit"):
        load_run(tmp_path / "nowhere")


def test_standardisation_is_that_of_the_training_frames(run: Run, small_data: Path) -> None:
    from asd_train.features.read import read_features
    from asd_train.labels import training_set

    chosen = training_set(read_datasets([str(small_data)]), held_out=run.recipe.calibration.held_out, seed=0)
    frames = np.concatenate(read_features(chosen.clips, run.recipe.front_end, channel=None, progress=SILENT))
    with torch.no_grad():
        standard = run.network.standardise(torch.from_numpy(frames)).numpy()
    np.testing.assert_allclose(standard.mean(axis=0), 0.0, atol=1e-3)
    np.testing.assert_allclose(standard.std(axis=0), 1.0, atol=1e-3)


def test_evaluation_reports_every_machine_within_each_domain(run: Run, small_data: Path) -> None:
    result = evaluate_run(run, torch_pipeline(run), read_datasets([str(small_data)]), progress=SILENT)
    assert [machine.machine for machine in result.machines] == ["fan", "valve"]
    for machine in result.machines:
        for domain in (machine.source, machine.target):
            assert (domain.normals, domain.anomalies) == (3, 3)
            assert 0.0 <= domain.auc <= 1.0
            assert 0.0 <= domain.false_alarm_rate <= 1.0
            assert 0.0 <= domain.detection_rate <= 1.0
    assert 0.0 < result.official <= 1.0


def test_backends_are_compared_on_the_same_clips_and_the_recipes_own_gives_the_evaluation(
    run: Run, small_data: Path
) -> None:
    clips = read_datasets([str(small_data)])
    chosen = {name: BACKENDS[name] for name in ("nearest_centre", "mahalanobis")}
    compared = compare_backends(run, torch_pipeline(run), clips, chosen, progress=SILENT)
    assert list(compared) == list(chosen)
    own = evaluate_run(run, torch_pipeline(run), clips, progress=SILENT)
    assert compared["nearest_centre"].to_json() == own.to_json()  # null is equal to itself, NaN is not
    assert compared["mahalanobis"].official != own.official


def test_the_recipe_says_which_channel_is_heard_and_the_caller_may_say_another(
    small_data: Path, tmp_path: Path
) -> None:
    for path in sorted((small_data / "fan").glob("train/*.wav")):
        samples, rate = soundfile.read(path, dtype="float32")
        far = tmp_path / "data" / "fan" / "train" / path.name
        far.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(far, np.stack([samples, 0.1 * samples], axis=1), rate)
    clips = read_datasets([str(tmp_path / "data")])
    recipe = tiny_recipe(epochs=1)
    far_recipe = Recipe.model_validate(recipe.model_dump() | {"channel": 1})
    near, far, near_again = (
        fit(of, clips, datasets=[], seed=0, channel=channel, progress=SILENT)
        for of, channel in ((recipe, 0), (far_recipe, None), (far_recipe, 0))
    )
    assert (near.channel, far.channel, near_again.channel) == (0, 1, 0)
    offset = near.network.standardise.mean - far.network.standardise.mean
    torch.testing.assert_close(offset, torch.full_like(offset, 20.0), atol=0.1, rtol=0)  # dB, but for 16 bits
    torch.testing.assert_close(near_again.network.standardise.mean, near.network.standardise.mean)
