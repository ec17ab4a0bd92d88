"""Every loss against its equation, written out a second time in loops over float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from asd_train.losses.adacos import AdaCos
from asd_train.losses.arcface import ArcFace
from asd_train.losses.bce_pair import BCEPair
from asd_train.losses.class_loss import ClassLoss
from asd_train.losses.cosine import cosines, glorot_centres
from asd_train.losses.log_odds import LogOdds
from asd_train.losses.softmax import Softmax
from asd_train.losses.sub_cluster_adacos import SubClusterAdaCos
from asd_train.networks.mobilenetv2_classifier import against

Array = NDArray[np.float64]

DIMS, CLASSES, BATCH = 6, 4, 8


def fixed_sub_cluster(dims: int, classes: int) -> ClassLoss:
    return SubClusterAdaCos(dims, classes, sub_clusters=3, trainable=False)


def trainable_sub_cluster(dims: int, classes: int) -> ClassLoss:
    return SubClusterAdaCos(dims, classes, sub_clusters=3)


CROSS_ENTROPIES: list[Callable[[int, int], ClassLoss]] = [
    Softmax,
    AdaCos,
    trainable_sub_cluster,
    fixed_sub_cluster,
    BCEPair,
]
LOSSES = [*CROSS_ENTROPIES, ArcFace]


def embeddings(seed: int = 0, batch: int = BATCH) -> Tensor:
    return torch.randn(batch, DIMS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def one_hot(seed: int = 1, batch: int = BATCH) -> Tensor:
    labels = torch.randint(CLASSES, (batch,), generator=torch.Generator().manual_seed(seed))
    return functional.one_hot(labels, CLASSES).double()


def mixed() -> Tensor:
    share = torch.linspace(0.0, 1.0, BATCH, dtype=torch.float64)[:, None]
    return share * one_hot(1) + (1.0 - share) * one_hot(2)


def made(kind: Callable[[int, int], ClassLoss], seed: int = 3) -> ClassLoss:
    torch.manual_seed(seed)
    return kind(DIMS, CLASSES).double()


def softmaxed(logits: Array) -> Array:
    return np.asarray(np.exp(logits) / np.exp(logits).sum())


def angle(x: Array, centre: Array) -> float:
    return math.acos(float(x @ centre / np.linalg.norm(x) / np.linalg.norm(centre)))


def cross_entropy(x: Array, y: Array, probabilities: Callable[[Array, Array], Array]) -> float:
    total = 0.0
    for item, label in zip(x, y, strict=True):
        p = probabilities(item, label)
        total -= sum(float(share) * math.log(value) for share, value in zip(label, p, strict=True))
    return total / len(x)


@pytest.mark.parametrize("target", [one_hot(), mixed()], ids=["one-hot", "mixed"])
def test_softmax_is_a_linear_classifier_of_the_scaled_embedding(target: Tensor) -> None:
    torch.manual_seed(3)
    loss = Softmax(DIMS, CLASSES, logit_scale=4.0).double()
    weight, bias = loss.linear.weight.detach().numpy(), loss.linear.bias.detach().numpy()
    expected = cross_entropy(
        embeddings().numpy(), target.numpy(), lambda x, _: softmaxed(np.array([4.0 * (w @ x) for w in weight]) + bias)
    )
    assert loss(embeddings(), target).item() == pytest.approx(expected, rel=1e-12)


def arcface_by_hand(x: Array, y: Array, centres: Array, scale: float, margin: float) -> Array:
    """Equation 3 with the angle itself; beyond π the line that the authors' code goes on with."""
    logits = []
    for centre, share in zip(centres, y, strict=True):
        theta, m = angle(x, centre), margin * share
        logits.append(math.cos(theta + m) if theta + m < math.pi else math.cos(theta) - m * math.sin(m))
    return softmaxed(scale * np.array(logits))


@pytest.mark.parametrize("target", [one_hot(), mixed()], ids=["one-hot", "mixed"])
@pytest.mark.parametrize("margin", [0.0, 0.5, 2.5])  # at 2.5 most angles pass π
def test_arcface_adds_the_margin_by_the_share_of_the_class(target: Tensor, margin: float) -> None:
    torch.manual_seed(3)
    loss = ArcFace(DIMS, CLASSES, scale=8.0, margin=margin).double()
    centres = loss.centres.detach().numpy()[:, 0]
    expected = cross_entropy(
        embeddings().numpy(), target.numpy(), lambda x, y: arcface_by_hand(x, y, centres, 8.0, margin)
    )
    assert loss(embeddings(), target).item() == pytest.approx(expected, rel=1e-9)


def test_arcface_falls_with_the_angle_to_the_true_class_all_the_way() -> None:
    loss = ArcFace(2, 2, scale=8.0, margin=0.5).double()
    with torch.no_grad():
        loss.centres.copy_(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]))
    # a turn towards −90°, where the other class lies opposite and stays so
    away = torch.linspace(0.05, math.pi - 0.01, 60, dtype=torch.float64)
    places = torch.stack([torch.cos(away), -torch.sin(away)], dim=1)
    logits = [loss(place[None], torch.tensor([[1.0, 0.0]], dtype=torch.float64)).item() for place in places]
    beyond = int((away > math.pi - 0.5).nonzero()[0])
    assert all(b > a for a, b in pairwise(logits[beyond:]))


@pytest.mark.parametrize("kind", LOSSES)
def test_the_loss_is_a_finite_number_with_finite_slopes(kind: Callable[[int, int], ClassLoss]) -> None:
    loss = made(kind)
    x = embeddings()
    centres = getattr(loss, "centres", None)
    if centres is not None:  # exactly on a centre, and exactly opposite
        x[0], x[1] = centres.detach()[0, 0], -centres.detach()[1, 0]
    x.requires_grad_()
    value = loss(x, mixed())
    torch.autograd.backward(value)
    assert value.shape == ()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert x.grad.abs().max() > 0
    for parameter in loss.parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.abs().max() > 0


@pytest.mark.parametrize("kind", CROSS_ENTROPIES)
def test_a_mixed_label_costs_the_mix_of_its_labels(kind: Callable[[int, int], ClassLoss]) -> None:
    loss = made(kind).eval()  # the adaptive scales rest
    one, other = loss(embeddings(), one_hot(1)).item(), loss(embeddings(), one_hot(2)).item()
    between = loss(embeddings(), 0.3 * one_hot(1) + 0.7 * one_hot(2)).item()
    assert between == pytest.approx(0.3 * one + 0.7 * other, rel=1e-12)
    assert abs(one - other) > 1e-3


@pytest.mark.parametrize("kind", LOSSES)
def test_embeddings_that_follow_the_slope_are_told_apart(kind: Callable[[int, int], ClassLoss]) -> None:
    loss, x, target = made(kind), embeddings().requires_grad_(), one_hot()
    optimiser = torch.optim.Adam([x, *loss.parameters()], lr=0.1)
    history = []
    for _ in range(40):
        optimiser.zero_grad()
        value = loss(x, target)
        torch.autograd.backward(value)
        optimiser.step()
        history.append(float(value.detach()))
    assert history[-1] < 0.5 * history[0]


@pytest.mark.parametrize("target", [one_hot(), mixed()], ids=["one-hot", "mixed"])
def test_log_odds_are_the_cross_entropy_of_the_logits_they_come_from(target: Tensor) -> None:
    logits = 5.0 * embeddings()[:, :CLASSES]
    loss = LogOdds(CLASSES, CLASSES)
    assert not list(loss.parameters())
    expected = float(functional.cross_entropy(logits, target))
    assert loss(against(logits), target).item() == pytest.approx(expected, rel=1e-12)


def test_log_odds_are_of_the_classes() -> None:
    with pytest.raises(ValueError, match="3 log-odds for 4 classes"):
        LogOdds(3, 4)


def binary(p: float, share: float) -> float:
    return -share * math.log(p) - (1.0 - share) * math.log(1.0 - p)


def test_the_bce_pair_is_equations_2_and_8() -> None:
    loss = made(BCEPair)
    assert isinstance(loss, BCEPair)
    weight, bias = loss.linear.weight.detach().numpy(), loss.linear.bias.detach().numpy()
    x, target = embeddings().numpy(), mixed().numpy()
    entropies = np.array(
        [
            [
                binary(1.0 / (1.0 + math.exp(-(w @ item + b))), share)
                for w, b, share in zip(weight, bias, row, strict=True)
            ]
            for item, row in zip(x, target, strict=True)
        ]
    )
    attributes = entropies[:, 1:].sum() / (3 * BATCH)  # K_att · M
    assert loss(embeddings(), mixed()).item() == pytest.approx(entropies[:, 0].mean() + 5.0 * attributes, rel=1e-12)


def test_the_machine_alone_has_no_attribute_term() -> None:
    torch.manual_seed(3)
    loss = BCEPair(DIMS, 1).double()
    logit = loss.linear(embeddings())[:, 0].detach()
    expected = functional.binary_cross_entropy_with_logits(logit, one_hot()[:, 0])
    assert loss(embeddings(), one_hot()[:, :1]).item() == pytest.approx(float(expected), rel=1e-12)


def test_centres_are_drawn_glorot_uniform() -> None:
    torch.manual_seed(0)
    centres = glorot_centres(30, 4, 128)
    limit = math.sqrt(6.0 / (128 + 120))
    assert centres.shape == (30, 4, 128)
    assert 0.99 * limit < centres.abs().max() <= limit
    assert float(centres.var()) == pytest.approx(limit**2 / 3.0, rel=0.02)  # 15,360 draws: 1 % is two deviations


def test_cosines_stay_exact_in_mixed_precision() -> None:
    torch.manual_seed(0)
    centres, x = glorot_centres(5, 2, 32), torch.randn(7, 32)
    expected = cosines(x, centres)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = cosines(x, centres)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
