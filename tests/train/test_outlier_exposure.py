"""The five variants of outlier exposure against their equations, in loops over the network's own maps."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from asd_train.networks.resnet18_flow import Latent, ResNet18Flow
from asd_train.objectives.attribute_values import attribute_values
from asd_train.objectives.objective import Batch
from asd_train.objectives.outlier_exposure import OutlierExposure

# Three machines, of which the second is trained for; five attribute classes, of which three are its own.
MACHINE = 1
OWN = {1: 6.0, 2: 9.0, 4: 7.5}  # smallest distance 1.5: k = 5 / 1.5
SPREAD = 5.0 / 1.5
VARIANTS: list[tuple[bool, Latent]] = [
    (False, "none"),
    (False, "standard"),
    (False, "domain_invariant"),
    (True, "standard"),
    (True, "domain_invariant"),
]


def objective(serial: bool, latent: Latent, *, flow_weight: float = 1e-3) -> OutlierExposure:
    """In double precision and evaluation mode: a clip's maps do not depend on its batch."""
    torch.manual_seed(0)
    network = ResNet18Flow(frames=40, bands=32, width=1 / 16, steps=2, latent=latent)
    if network.flow is not None:
        for parameter in network.flow.parameters():
            nn.init.normal_(parameter, std=0.1)
    made = OutlierExposure(network, machine=MACHINE, attributes=OWN, serial=serial, flow_weight=flow_weight)
    return made.double().eval()


def batch() -> Batch:
    """Two pure clips, two of one machine mixed, one mixed with a pseudo-anomaly, one pseudo-anomaly."""
    machine = torch.tensor([[0, 1, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0], [0.4, 0.6, 0], [0, 0, 1]], dtype=torch.float64)
    attributes = torch.tensor(
        [
            [0, 1, 0, 0, 0],
            [0, 0, 0, 0, 1],
            [0, 0.3, 0.7, 0, 0],
            [0, 0.8, 0, 0, 0.2],
            [0.4, 0.6, 0, 0, 0],
            [0, 0, 0, 1, 0],
        ],
        dtype=torch.float64,
    )
    features = torch.randn(6, 40, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return Batch(features, None, {"machine": machine, "attributes": attributes}, torch.tensor([1, 1, 1, 1, 1, 2]))


DOMINANT = [6.0, 7.5, 9.0, 6.0]  # v of the four clips without a pseudo-anomalous part


def binary(logit: Tensor, share: Tensor) -> float:
    p = 1.0 / (1.0 + math.exp(-logit.item()))
    return -share.item() * math.log(p) - (1.0 - share.item()) * math.log(1.0 - p)


def log_gauss(z: Tensor, mean: float) -> float:
    return sum(-0.5 * (value - mean) ** 2 - 0.5 * math.log(2.0 * math.pi) for value in z.flatten().tolist())


@pytest.mark.parametrize(("serial", "latent"), VARIANTS)
def test_the_loss_is_its_equations(serial: bool, latent: Latent) -> None:
    made, given = objective(serial, latent), batch()
    with torch.no_grad():
        found = made(given).item()
        x = made.network.feature_map(given.features)
        logits = made.loss.linear(x.mean(dim=(2, 3)))
    machine, attributes = given.targets["machine"], given.targets["attributes"]
    expected = sum(binary(logits[i, 0], machine[i, MACHINE]) for i in range(6)) / 6
    if serial:
        terms = [binary(logits[i, 1 + n], attributes[i, k]) for i in range(6) for n, k in enumerate(OWN)]
        expected += 5.0 * sum(terms) / (3 * 6)
    else:
        assert logits.shape == (6, 1)
    if made.network.flow is not None:
        with torch.no_grad():
            z, log_det = made.network.flow(x)
        split = 8 if latent == "domain_invariant" else 0
        densities = [
            log_gauss(z[i, split:], 0.0) + log_gauss(z[i, :split], SPREAD * v) + log_det[i].item()
            for i, v in enumerate(DOMINANT)
        ]
        expected -= 1e-3 * sum(densities) / 4
    assert found == pytest.approx(expected, rel=1e-6)  # the places of z_d are float32


def test_clips_with_a_pseudo_anomalous_part_stay_out_of_the_flow() -> None:
    given = batch()
    louder = given._replace(features=torch.cat([given.features[:4], 3.0 * given.features[4:]]))
    heavy, none = objective(False, "standard", flow_weight=1.0), objective(False, "standard", flow_weight=0.0)

    def flow_loss(of: Batch) -> float:
        with torch.no_grad():
            return (heavy(of) - none(of)).item()

    assert flow_loss(louder) == pytest.approx(flow_loss(given), rel=1e-12)
    with torch.no_grad():
        assert none(louder) != none(given)  # but they are heard


@pytest.mark.parametrize(("serial", "latent"), VARIANTS)
def test_every_weight_gets_a_slope_even_from_a_batch_of_pseudo_anomalies(serial: bool, latent: Latent) -> None:
    made, given = objective(serial, latent), batch()
    targets = {kind: torch.zeros_like(labels) for kind, labels in given.targets.items()}
    for of in (given, given._replace(targets=targets)):
        made.zero_grad(set_to_none=True)
        torch.autograd.backward(made(of))
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in made.parameters())


@pytest.mark.parametrize(("serial", "latent"), VARIANTS)
def test_learning_lowers_the_loss(serial: bool, latent: Latent) -> None:
    made, given = objective(serial, latent, flow_weight=1e-7).train(), batch()
    optimiser = torch.optim.AdamW(made.parameters(), lr=1e-3)
    history = []
    for _ in range(15):
        optimiser.zero_grad()
        loss = made(given)
        torch.autograd.backward(loss)
        optimiser.step()
        history.append(loss.item())
    assert history[-1] < 0.9 * history[0]


def test_a_single_value_needs_no_place_apart() -> None:
    network = ResNet18Flow(frames=40, bands=32, width=1 / 16, steps=1, latent="domain_invariant")
    made = OutlierExposure(network, machine=0, attributes={3: 28.0}, serial=False)
    assert made.places.tolist() == [0.0]


@pytest.mark.parametrize(("serial", "latent"), [(True, "standard"), (False, "domain_invariant")])
def test_what_needs_attributes_is_refused_without(serial: bool, latent: Latent) -> None:
    network = ResNet18Flow(frames=40, bands=32, width=1 / 16, steps=1, latent=latent)
    with pytest.raises(ValueError, match="no attribute"):
        OutlierExposure(network, machine=0, attributes={}, serial=serial)


@pytest.mark.parametrize(
    ("names", "values"),
    [
        (["vel_9", "vel_6", "vel_10.5"], [9.0, 6.0, 10.5]),
        (["m-n_B", "m-n_A", "m-n_C"], [1.0, 0.0, 2.0]),
        (["vel_9_loc_A", "vel_6_loc_B", "vel_9_loc_A"], [1.0, 0.0, 1.0]),
        (["vel_9", "spd_9"], [1.0, 0.0]),  # two items: no scale in common
        (["vel_9", "noAttribute"], [1.0, 0.0]),
        ([], []),
    ],
)
def test_numbers_are_values_as_they_are_and_categories_integers(names: list[str], values: list[float]) -> None:
    assert attribute_values(names) == values
