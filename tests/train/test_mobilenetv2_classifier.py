"""The section classifier: the paper's size, and log-odds that no rounding of the posterior spoils."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from asd_train.networks.mobilenetv2_classifier import MobileNetV2Classifier, against


def test_parameters_are_those_of_the_dcase_2021_baseline() -> None:
    network = MobileNetV2Classifier(classes=3)
    assert sum(p.numel() for p in network.parameters()) == 691_235
    assert network.dims == 3
    assert network.eval()(torch.zeros(2, 64, 128)).shape == (2, 3)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_log_odds_are_equation_4_of_the_softmax(classes: int) -> None:
    logits = torch.randn(5, classes, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3.0
    expected = []
    for row in logits.numpy():
        p = np.exp(row) / np.exp(row).sum()
        expected.append(np.log((1.0 - p) / p))
    np.testing.assert_allclose(against(logits).numpy(), expected, rtol=1e-9)


def test_log_odds_stay_exact_where_the_posterior_is_rounded_to_1() -> None:
    logits = torch.tensor([[60.0, 0.0, 10.0]], requires_grad=True)
    odds = against(logits)
    np.testing.assert_allclose(odds[0].detach().numpy(), [-50.0, 60.0, 50.0], atol=1e-3)
    torch.autograd.backward(odds.sum())
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def confident(logits: list[float]) -> MobileNetV2Classifier:
    network = MobileNetV2Classifier(width=0.25, classes=len(logits))
    with torch.no_grad():
        network.classifier.weight.zero_()
        network.classifier.bias.copy_(torch.tensor(logits))
    return network


def patches() -> Tensor:
    return torch.randn(2, 64, 128)


def test_a_device_sees_posteriors_between_1e_7_and_1_minus_1e_7() -> None:
    odds = confident([100.0, 0.0]).eval()(patches())
    bound = np.log((1 - 1e-7) / 1e-7)
    np.testing.assert_allclose(odds.detach().numpy(), [[-bound, bound]] * 2, rtol=1e-6)


def test_training_keeps_the_slope_beyond() -> None:
    network = confident([100.0, 0.0]).train()
    odds = network(patches())
    torch.testing.assert_close(odds, torch.tensor([[-100.0, 100.0]] * 2))
    torch.autograd.backward(odds[:, 1].sum())  # towards the class that is thought impossible
    assert network.classifier.bias.grad is not None
    assert network.classifier.bias.grad.abs().min() > 0.5


def test_a_single_class_is_certain() -> None:
    odds = confident([0.3]).eval()(patches())
    np.testing.assert_allclose(odds.detach().numpy(), [[-np.log((1 - 1e-7) / 1e-7)]] * 2, rtol=1e-6)
