"""AdaCos and sub-cluster AdaCos: the scale by hand, the loss by loops, and what a checkpoint carries."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from asd_train.losses.adacos import AdaCos
from asd_train.losses.sub_cluster_adacos import Angle, SubClusterAdaCos

EVEN = torch.full((1, 4), 0.5)  # 60° from each of four axes
FIRST = torch.tensor([[1.0, 0.0, 0.0, 0.0]])


def on_axes(loss: AdaCos | SubClusterAdaCos) -> None:
    """Put the four centres of a loss on the four axes."""
    with torch.no_grad():
        loss.centres.copy_(torch.eye(4).view(loss.centres.shape))


def one_hot(label: int, classes: int) -> Tensor:
    return torch.eye(classes)[[label]]


def test_the_scale_of_adacos_is_equations_12_to_15_by_hand() -> None:
    loss = AdaCos(4, 4)
    on_axes(loss)
    assert float(loss.scale) == pytest.approx(1.5537, abs=1e-4)  # √2 ln 3
    loss(EVEN, one_hot(0, 4))  # θ = 60° counts as 45°: (ln 3 + 1.5537/2) · √2
    assert float(loss.scale) == pytest.approx(2.6523, abs=1e-4)
    loss(FIRST, one_hot(0, 4))  # θ = 0, the three others at 90°: ln 3
    assert float(loss.scale) == pytest.approx(1.0986, abs=1e-4)


@pytest.mark.parametrize(
    ("angle", "place", "expected"),
    [
        ("summed", EVEN, 3.0591),  # ln B = ln 4 + 1.5537/2 = 2.1631; 60° or 120° count as 45°
        ("nearest", EVEN, 3.0591),
        ("summed", FIRST, 2.8921),  # ln B = ln(e^1.5537 + 3) = 2.0450; 0° + 90° count as 45°
        ("nearest", FIRST, 2.0450),  # 0°
    ],
)
def test_the_scale_of_sub_clusters_by_hand(angle: Angle, place: Tensor, expected: float) -> None:
    loss = SubClusterAdaCos(4, 2, sub_clusters=2, angle=angle)
    on_axes(loss)
    assert float(loss.scale) == pytest.approx(1.5537, abs=1e-4)  # √2 ln(4 − 1)
    loss(place, one_hot(0, 2))
    assert float(loss.scale) == pytest.approx(expected, abs=1e-4)


def test_the_median_clip_of_a_batch_decides_and_labels_weigh_the_angle() -> None:
    loss = AdaCos(4, 4)
    on_axes(loss)
    wide, narrow = math.radians(30.0), math.radians(10.0)
    places = torch.tensor([[math.cos(a), 0.0, 0.0, math.sin(a)] for a in (narrow, wide, 0.0)])
    labels = torch.stack([one_hot(0, 4)[0], one_hot(0, 4)[0], 0.5 * (one_hot(0, 4) + one_hot(3, 4))[0]])
    s = float(loss.scale)
    b = [
        2.0 + math.exp(s * math.sin(narrow)),
        2.0 + math.exp(s * math.sin(wide)),
        2.0 + 0.5 * math.exp(s) + 0.5,  # half of class 0 at 0° and half of class 3 at 90° are others
    ]
    loss(places, labels)
    # the angles to the labels are 10°, 30° and (0° + 90°)/2 = 45°
    assert float(loss.scale) == pytest.approx(math.log(sum(b) / 3) / math.cos(wide), rel=1e-5)


def test_two_classes_start_with_a_scale_that_can_be_learned_with() -> None:
    for loss in (AdaCos(4, 2), SubClusterAdaCos(4, 2, sub_clusters=1)):
        for _ in range(5):
            loss(torch.randn(8, 4), torch.eye(2)[torch.arange(8) % 2])
        assert float(loss.scale) > 0.9


def by_loops(
    x: NDArray[np.float64], y: NDArray[np.float64], centres: NDArray[np.float64], scale: float, angle: Angle
) -> tuple[float, float]:
    """Return the renewed scale and the loss with it. centres: [classes, sub-clusters, dims]."""
    classes, sub_clusters, _ = centres.shape
    cosine = np.empty((len(x), classes, sub_clusters))
    for i, j, k in np.ndindex(cosine.shape):
        cosine[i, j, k] = x[i] @ centres[j, k] / np.linalg.norm(x[i]) / np.linalg.norm(centres[j, k])
    spread = np.mean([sum(math.exp(scale * c) for c in row.ravel()) for row in cosine])
    to_class = [
        [(sum if angle == "summed" else min)(math.acos(c) for c in of_class) for of_class in row] for row in cosine
    ]
    median = float(
        np.median([sum(s * t for s, t in zip(*pair, strict=True)) for pair in zip(y, to_class, strict=True)])
    )
    renewed = math.log(spread) / math.cos(min(math.pi / 4, median))
    loss = 0.0
    for row, label in zip(cosine, y, strict=True):
        total = sum(math.exp(renewed * c) for c in row.ravel())
        for of_class, share in zip(row, label, strict=True):
            loss -= share * math.log(sum(math.exp(renewed * c) for c in of_class) / total)
    return renewed, loss / len(x)


@pytest.mark.parametrize("angle", ["summed", "nearest"])
@pytest.mark.parametrize("sub_clusters", [1, 3])
@pytest.mark.parametrize("trainable", [True, False])
def test_sub_cluster_adacos_is_its_equations(angle: Angle, sub_clusters: int, trainable: bool) -> None:
    torch.manual_seed(0)
    loss = SubClusterAdaCos(6, 5, sub_clusters=sub_clusters, trainable=trainable, angle=angle).double()
    scale = float(loss.scale)
    for _ in range(3):  # the scale is renewed from the one before
        x = torch.randn(9, 6, dtype=torch.float64)
        share = torch.rand(9, 1, dtype=torch.float64)
        y = share * torch.eye(5).double()[torch.randint(5, (9,))]
        y = y + (1.0 - share) * torch.eye(5).double()[torch.randint(5, (9,))]
        scale, expected = by_loops(x.numpy(), y.numpy(), loss.centres.detach().numpy(), scale, angle)
        assert loss(x, y).item() == pytest.approx(expected, rel=1e-9)
        assert float(loss.scale) == pytest.approx(scale, rel=1e-9)


def test_fixed_centres_are_no_parameters_and_stay_where_they_were_drawn() -> None:
    torch.manual_seed(0)
    loss = SubClusterAdaCos(6, 5, sub_clusters=4, trainable=False)
    assert not list(loss.parameters())
    before = loss.centres.clone()
    x = torch.randn(8, 6, requires_grad=True)
    torch.autograd.backward(loss(x, torch.eye(5)[torch.randint(5, (8,))]))
    assert loss.centres.grad is None
    assert torch.equal(loss.centres, before)
    assert len(list(SubClusterAdaCos(6, 5, sub_clusters=4).parameters())) == 1


@pytest.mark.parametrize("trainable", [True, False])
def test_a_resumed_loss_goes_on_as_if_never_stopped(trainable: bool) -> None:
    torch.manual_seed(0)
    loss = SubClusterAdaCos(6, 5, sub_clusters=4, trainable=trainable)
    batches = [(torch.randn(8, 6), torch.eye(5)[torch.randint(5, (8,))]) for _ in range(6)]
    for batch in batches[:3]:
        loss(*batch)
    resumed = SubClusterAdaCos(6, 5, sub_clusters=4, trainable=trainable)
    resumed.load_state_dict(loss.state_dict())
    for batch in batches[3:]:
        assert torch.equal(loss(*batch), resumed(*batch))
    assert torch.equal(loss.scale, resumed.scale)


def test_the_scale_rests_in_evaluation_and_no_slope_runs_through_it() -> None:
    loss = AdaCos(6, 5).eval()
    before = loss.scale.clone()
    loss(torch.randn(8, 6), torch.eye(5)[torch.randint(5, (8,))])
    assert torch.equal(loss.scale, before)
    assert not loss.scale.requires_grad


@pytest.mark.parametrize("loss", [AdaCos(6, 5), SubClusterAdaCos(6, 5)])
def test_a_scale_whose_exponential_overflows_gives_finite_numbers(loss: AdaCos | SubClusterAdaCos) -> None:
    loss.scale.fill_(1e4)
    x = torch.randn(8, 6, requires_grad=True)
    value = loss(x, torch.eye(5)[torch.randint(5, (8,))])
    torch.autograd.backward(value)
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(loss.scale)
