"""Epochs: every crop once, the same after any resume, shared equally by processes, balanced where that is asked."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from asd_train.features.corpus import Corpus
from asd_train.labels import LabelSet
from asd_train.objectives.objective import Batch
from asd_train.recipe.training import SGD, Classify, Crops, Mixup, Phase, SoftmaxTable, Training
from asd_train.training.batches import Batches, Share
from asd_train.training.inputs import StoredFeatures
from tests.train.clips import clip

FRAMES = 4
CLIPS = [clip(i, machine="fan" if i < 5 else "pump") for i in range(15)]


def training(*, batch: int = 4, every: int = 0, mixup: Mixup | None = None) -> Training:
    return Training(
        domains=("source",),
        batch=batch,
        crops=Crops(frames=FRAMES, every=every),
        objective=Classify(kind="classify", losses=(SoftmaxTable(kind="softmax", labels="machine", scale=1.0),)),
        optimiser=SGD(kind="sgd", momentum=0.0, weight_decay=0.0),
        schedule=(Phase(epochs=1, learning_rate=0.1),),
        mixup=mixup or Mixup(alpha=0.0),
    )


def batches(table: Training, *, against: str | None = None, share: Share | None = None) -> Batches:
    """Clips whose frames say which clip and which frame they are."""
    frames = [np.stack([np.full(10 + i, i), np.arange(10 + i)], axis=1).astype(np.float32) for i in range(len(CLIPS))]
    return Batches(
        CLIPS,
        Corpus.of_clips(frames),
        StoredFeatures(FRAMES),
        {"machine": LabelSet(CLIPS, "machine")},
        table,
        seed=[0],
        against=against,
        share=share or Share(),
    )


def crops(of: Iterator[Batch]) -> list[tuple[int, int]]:
    return [(int(crop[0, 0]), int(crop[0, 1])) for batch in of for crop in batch.features]


def test_an_epoch_has_one_crop_of_every_clip_at_a_random_place_within_it() -> None:
    made = batches(training(batch=5))
    epochs = [crops(made.epoch(number)) for number in range(30)]
    for epoch in epochs:
        assert sorted(which for which, _ in epoch) == list(range(15))
        assert all(0 <= start <= 10 + which - FRAMES for which, start in epoch)
    assert {start for epoch in epochs for which, start in epoch if which == 0} == set(range(7))
    assert epochs[0] != epochs[1]
    assert made.count() == 3


def test_with_a_step_an_epoch_has_every_crop() -> None:
    found = crops(batches(training(every=3, batch=256)).epoch(0))
    expected = [(i, start) for i in range(15) for start in range(0, 10 + i - FRAMES + 1, 3)]
    assert sorted(found) == expected


def test_an_epoch_is_the_same_whatever_came_before() -> None:
    mixed = training(mixup=Mixup(alpha=1.0))
    one, other = batches(mixed), batches(mixed)
    list(one.epoch(0))
    for a, b in zip(one.epoch(7), other.epoch(7), strict=True):
        torch.testing.assert_close(a.features, b.features, rtol=0, atol=0)
        torch.testing.assert_close(a.targets["machine"], b.targets["machine"], rtol=0, atol=0)


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_every_batch_equally_and_nothing_twice(world: int) -> None:
    made = [batches(training(batch=6), share=Share(rank, world)) for rank in range(world)]
    sizes = [[len(batch.features) for batch in each.epoch(3)] for each in made]
    assert all(size == sizes[0] for size in sizes)
    assert min(sizes[0]) > 1
    assert len(sizes[0]) == made[0].count()
    found = [crop for each in made for crop in crops(each.epoch(3))]
    assert len(set(found)) == len(found) >= 12


def test_a_machine_that_is_told_from_all_others_is_half_of_every_batch() -> None:
    epoch = list(batches(training(batch=4), against="fan").epoch(0))
    assert [batch.machines.tolist().count(0) for batch in epoch] == [2, 2, 1]
    assert sorted(which for which, _ in crops(iter(epoch)) if which < 5) == list(range(5))


def test_targets_and_features_are_mixed_alike() -> None:
    made = batches(training(batch=15, mixup=Mixup(alpha=1.0, pairs="any")))
    (batch,) = made.epoch(0)
    assert batch.mixing is None
    share = batch.targets["machine"]
    torch.testing.assert_close(share.sum(dim=1), torch.ones(15))
    assert ((share > 0.0) & (share < 1.0)).any()
