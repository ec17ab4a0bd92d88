"""Fine-tuning and imprinting of a run: what changes, what stays, what is recorded and what is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from asd_edge.errors import ConfigError, DataError, SourceError
from asd_edge.sources.file import read_clip
from asd_train.data.clip import Clip
from asd_train.data.dcase import read_datasets
from asd_train.embedder import torch_pipeline
from asd_train.imprinting import finetune as module
from asd_train.imprinting.centre_loss import centre_loss
from asd_train.imprinting.finetune import class_centres, finetune
from asd_train.imprinting.imprint import imprint_run
from asd_train.labels import training_set
from asd_train.networks.build import build_network
from asd_train.progress import Progress
from asd_train.run import Run, load_run, save_run
from tests.train.tiny_recipe import tiny_recipe

SILENT = Progress(enabled=False)


@pytest.fixture(scope="module")
def run(small_data: Path) -> Run:
    """A run whose network has learned nothing yet: enough to see what fine-tuning does to it."""
    classes = training_set(read_datasets([str(small_data)]), held_out=0.15, seed=0).classes
    torch.manual_seed(0)
    network = build_network(tiny_recipe(), []).eval()
    network.standardise.fit(torch.full((128,), -60.0), torch.full((128,), 15.0))  # dB
    return Run(tiny_recipe(), 0, (str(small_data),), None, classes, (), (), network)


@pytest.fixture
def clips(small_data: Path, tmp_path: Path) -> Path:
    """Two classes of a fan's target clips, of two clips each."""
    for number, path in enumerate(sorted((small_data / "fan" / "test").glob("*_normal_*"))[:4]):
        folder = tmp_path / "clips" / ("slow", "fast")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / f"{number}.wav")
    return tmp_path / "clips"


def imprinted(run: Run, folder: Path, unit: str = "fan/00", *, tune: bool = True, seed: int = 0) -> Run:
    return imprint_run(run, folder, unit, datasets=run.datasets, tune=tune, seed=seed, progress=SILENT)


def with_settings(run: Run, **settings: float) -> Run:
    assert run.recipe.finetune is not None
    changed = run.recipe.finetune.model_copy(update=settings)
    return replace(run, recipe=run.recipe.model_copy(update={"finetune": changed}))


def trained(run: Run) -> list[Clip]:
    return [clip for clip in read_datasets(run.datasets) if clip.domain == "source"]


def target_of(folder: Path) -> list[Clip]:
    return read_datasets([f"fan/00={folder}"])


def weights(run: Run) -> dict[str, Tensor]:
    return run.network.state_dict()


def test_weights_change_and_the_statistics_of_batch_norm_and_the_first_run_do_not(run: Run, clips: Path) -> None:
    before = {name: tensor.clone() for name, tensor in weights(run).items()}
    tuned = weights(imprinted(run, clips))
    torch.testing.assert_close(weights(run), before, rtol=0, atol=0)
    changed = {name for name, tensor in tuned.items() if not torch.equal(tensor, before[name])}
    assert changed == {name for name, _ in run.network.named_parameters()}


def test_the_same_seed_gives_the_same_run_and_another_seed_another(run: Run, clips: Path) -> None:
    one, again, other = (imprinted(run, clips, seed=seed) for seed in (0, 0, 1))
    assert one.finetuned == again.finetuned
    torch.testing.assert_close(weights(one), weights(again), rtol=0, atol=0)
    assert one.finetuned[0].history != other.finetuned[0].history


def test_centres_are_renewed_with_the_network_of_every_iteration(
    run: Run, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []

    def spy(embeddings: Tensor, centres: Tensor, classes: Tensor) -> Tensor:
        seen.append(centres)
        return centre_loss(embeddings, centres, classes)

    monkeypatch.setattr(module, "centre_loss", spy)
    target = target_of(clips)
    once = finetune(with_settings(run, iterations=1), target, (), seed=0, progress=SILENT)
    finetune(with_settings(run, iterations=2), target, (), seed=0, progress=SILENT)
    fast, slow = ([read_clip(c.path, rate=16_000) for c in target if c.attributes == a] for a in ("fast", "slow"))
    for centres, network in ((seen[0], run), (seen[1], run), (seen[2], once)):
        expected = class_centres(torch_pipeline(network), [fast, slow])
        np.testing.assert_allclose(centres.numpy(), expected, rtol=0, atol=1e-6)
    assert not torch.allclose(seen[1], seen[2], atol=1e-5)


def test_a_single_class_is_told_from_clips_that_the_run_was_trained_on(run: Run, clips: Path) -> None:
    tuned = imprinted(run, clips / "fast")
    (record,) = tuned.finetuned
    assert record.classes == ("fan/00/target/all",)
    assert record.source_classes == tuple(name for name in run.classes if name.startswith("fan/"))
    assert min(record.history) > 0
    with pytest.raises(DataError, match=r"(?s)nothing to tell fan/00/target/all from.*--data"):
        finetune(run, target_of(clips / "fast"), (), seed=0, progress=SILENT)


def test_two_classes_take_the_published_loss(run: Run, clips: Path) -> None:
    (record,) = imprinted(run, clips).finetuned
    assert record.classes == ("fan/00/target/fast", "fan/00/target/slow")
    assert record.source_classes == ()
    alone = finetune(run, target_of(clips), trained(run), seed=0, progress=SILENT)
    assert alone.finetuned[0].history == record.history


def test_imprinting_alone_adds_the_clips_and_changes_no_weight(run: Run, clips: Path) -> None:
    made = imprinted(run, clips, tune=False)
    assert made == replace(run, datasets=(*run.datasets, f"fan/00={clips}"))
    assert imprinted(made, clips, tune=False).datasets == made.datasets


def test_a_new_section_of_a_known_machine_is_fine(run: Run, clips: Path) -> None:
    made = imprinted(run, clips, "fan/07", tune=False)
    assert {clip.unit for clip in read_datasets(made.datasets)} == {"fan/00", "fan/07", "valve/00"}


def test_a_tuned_run_reads_back_as_it_was_written(run: Run, clips: Path, tmp_path: Path) -> None:
    twice = imprinted(imprinted(run, clips), clips / "slow", seed=1)
    save_run(twice, tmp_path / "run")
    back = load_run(tmp_path / "run")
    assert replace(back, network=twice.network) == twice
    assert [record.seed for record in back.finetuned] == [0, 1]
    torch.testing.assert_close(weights(back), weights(twice), rtol=0, atol=0)


@pytest.mark.parametrize("unit", ["fna/00", "fan", "fan/0", "../fan/00"])
def test_an_unknown_machine_is_refused_with_those_that_are_known(run: Run, clips: Path, unit: str) -> None:
    with pytest.raises(DataError, match=r"(?s)fan/00; the network has learned fan, valve"):
        imprinted(run, clips, unit)


def test_clips_that_cannot_make_a_centre_and_a_threshold_are_refused(run: Run, clips: Path, tmp_path: Path) -> None:
    one = tmp_path / "one"
    one.mkdir()
    with pytest.raises(DataError, match="no clips"):
        imprinted(run, one)
    shutil.copy(clips / "fast" / "1.wav", one / "first.wav")
    with pytest.raises(DataError, match=r"(?s)1 clip\n.*at least two"):
        imprinted(run, one)
    soundfile.write(one / "second.wav", np.full(16_000, 0.1), 16_000)
    with pytest.raises(SourceError, match=r"(?s)second\.wav is too short.*1\.00 s"):
        imprinted(run, one)
    soundfile.write(one / "second.wav", np.zeros(80_000), 16_000)
    with pytest.raises(DataError, match=r"(?s)second\.wav.*silence"):
        imprinted(run, one)


def test_a_clip_that_is_called_like_one_that_calibrates_is_refused(run: Run, clips: Path) -> None:
    calibrating = replace(run, held_out=("fan/00/1.wav", "valve/00/3.wav"))
    with pytest.raises(DataError, match=r"(?s)1\.wav.*not in the run's data sets"):
        imprinted(calibrating, clips)


def test_a_run_from_before_fine_tuning_can_be_imprinted_but_not_tuned(run: Run, clips: Path) -> None:
    old = replace(run, recipe=run.recipe.model_copy(update={"finetune": None}))
    assert imprinted(old, clips, tune=False).finetuned == ()
    with pytest.raises(ConfigError, match=r"no table \[finetune\]"):
        imprinted(old, clips)
