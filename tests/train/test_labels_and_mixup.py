"""Which clips train, which calibrate, and who is mixed with whom."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from asd_edge.errors import DataError
from asd_train.labels import LabelSet, check_classes, class_of, training_set
from asd_train.mixup import Mixing, draw_mixing, partners_in_type
from asd_train.recipe.training import Mixup
from tests.train.clips import clip


def test_classes_are_machine_section_and_attributes_of_source_normals() -> None:
    clips = [
        *(clip(i, attributes="spd_1") for i in range(3)),
        *(clip(i, attributes="spd_2") for i in range(3)),
        *(clip(i, machine="pump") for i in range(3)),
        clip(9, domain="target", attributes="spd_3"),
        clip(10, split="test", attributes="spd_4"),
    ]
    chosen = training_set(clips, held_out=0.2, seed=0)
    assert chosen.classes == ("fan/00/source/spd_1", "fan/00/source/spd_2", "pump/00/source/spd_1")
    assert len(chosen.clips) == 9
    assert chosen.held_out == ()  # classes of three clips are too small to give one away


def test_only_clips_known_to_be_normal_and_recorded_for_training_are_learned() -> None:
    normal = [clip(i, attributes=f"spd_{i % 2}") for i in range(4)]
    others = [
        clip(10, anomalous=None),
        clip(11, anomalous=True),
        clip(12, domain="unknown"),
        clip(13, split="supplemental"),
    ]
    assert training_set([*normal, *others], held_out=0.0, seed=0) == training_set(normal, held_out=0.0, seed=0)


def test_held_out_clips_are_a_share_of_every_class_and_never_train() -> None:
    clips = [clip(i, attributes=f"spd_{i % 2}") for i in range(40)]
    chosen = training_set(clips, held_out=0.15, seed=1)
    assert not set(chosen.clips) & set(chosen.held_out)
    assert set(chosen.clips) | set(chosen.held_out) == set(clips)
    per_class = [sum(class_of(c) == name for c in chosen.held_out) for name in chosen.classes]
    assert per_class == [3, 3]
    assert training_set(clips, held_out=0.15, seed=1) == chosen
    assert training_set(clips, held_out=0.15, seed=2) != chosen


def test_one_class_alone_is_refused_and_told_what_to_do() -> None:
    with pytest.raises(DataError, match=r"(?s)1 class.*Add other machines.*give the clips attributes"):
        check_classes(LabelSet([clip(i) for i in range(5)], "attributes"), "attributes")


def test_nothing_to_learn_from_is_refused() -> None:
    with pytest.raises(DataError, match="no training normals"):
        training_set([clip(0, split="test")], held_out=0.1, seed=0)


def test_target_normals_are_learned_from_where_the_recipe_says_so_and_never_held_out() -> None:
    clips = [*(clip(i) for i in range(8)), *(clip(i, domain="target") for i in range(8, 16))]
    chosen = training_set(clips, held_out=0.25, seed=0, domains=("source", "target"))
    assert {c.domain for c in chosen.held_out} == {"source"}
    assert sum(c.domain == "target" for c in chosen.clips) == 8


def test_labels_are_as_fine_as_their_name_says() -> None:
    clips = [
        clip(0),
        clip(1, attributes="spd_2"),
        clip(2, attributes="spd_2", domain="target"),
        clip(3, section="01"),
        clip(4, machine="pump"),
    ]
    counts = {name: len(LabelSet(clips, name)) for name in ("machine", "section", "attributes", "joint")}
    assert counts == {"machine": 2, "section": 3, "attributes": 4, "joint": 5}
    targets = LabelSet(clips, "section").targets(np.array([4, 0, 1]))
    torch.testing.assert_close(targets, torch.tensor([[0.0, 0, 1], [1, 0, 0], [1, 0, 0]]))


def test_partners_are_a_permutation_within_each_machine_type() -> None:
    machines = np.array([0, 1, 0, 2, 1, 0, 0, 1])
    generator = np.random.default_rng(0)
    seen = np.zeros((8, 8), dtype=int)
    for _ in range(200):
        partners = partners_in_type(machines, generator)
        assert sorted(partners) == list(range(8))
        np.testing.assert_array_equal(machines[partners], machines)
        seen[np.arange(8), partners] += 1
    # every pair of one type occurs: four of type 0, three of type 1, one of type 2
    assert (seen > 0).sum() == 4**2 + 3**2 + 1


def test_mixing_is_the_same_convex_combination_of_features_and_labels() -> None:
    mixing = draw_mixing(np.zeros(4, np.int64), Mixup(alpha=1.0), np.random.default_rng(0))
    assert mixing is not None
    x = torch.arange(4.0)[:, None, None].expand(4, 3, 2)
    mixed_x, mixed_y = mixing.of(x), mixing.of(torch.eye(4))
    torch.testing.assert_close(mixed_y.sum(dim=1), torch.ones(4))
    # features were the class numbers, so the expected class number of the label is the feature
    torch.testing.assert_close(mixed_x[:, 0, 0], mixed_y @ torch.arange(4.0))
    assert not torch.equal(mixed_y, torch.eye(4))


def test_a_share_of_one_is_the_clip_itself_and_a_share_of_none_its_partner() -> None:
    x = torch.arange(6.0).reshape(3, 2)
    mixed = Mixing(torch.tensor([2, 0, 1]), torch.tensor([1.0, 0.0, 0.5])).of(x)
    torch.testing.assert_close(mixed, torch.tensor([[0.0, 1.0], [0.0, 1.0], [3.0, 4.0]]))


def test_mixup_is_as_frequent_as_the_recipe_says_and_alpha_0_is_none() -> None:
    generator, machines = np.random.default_rng(0), np.arange(4)
    drawn = [draw_mixing(machines, Mixup(alpha=1.0, probability=0.25), generator) for _ in range(400)]
    assert 70 < sum(mixing is not None for mixing in drawn) < 130  # 100 expected, deviation 8.7
    assert draw_mixing(machines, Mixup(alpha=0.0), generator) is None


def test_any_pairs_cross_machine_types_and_pairs_in_type_never_do() -> None:
    generator, machines = np.random.default_rng(0), np.array([0, 0, 1, 1])
    for pairs, crosses in (("in_type", False), ("any", True)):
        drawn = [draw_mixing(machines, Mixup(alpha=1.0, pairs=pairs), generator) for _ in range(30)]
        crossed = [machines[m.partners.numpy()] != machines for m in drawn if m is not None]
        assert np.any(crossed) == crosses
