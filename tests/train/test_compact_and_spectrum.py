"""Embedding and mean spectrum in one output."""

from __future__ import annotations

import torch

from asd_train.losses.softmax import Softmax
from asd_train.networks.build import build_network
from asd_train.networks.cost import cost
from asd_train.networks.tf_resnet import TFResNet
from asd_train.objectives.classify import Classify, WeightedLoss
from asd_train.objectives.objective import Batch
from asd_train.recipe import load_recipe


def test_output_is_a_unit_embedding_and_then_the_mean_spectrum_in_db() -> None:
    recipe = load_recipe("asd_edge")
    network = build_network(recipe, []).eval()
    features = -40.0 + 5.0 * torch.randn(2, 311, 320)
    with torch.inference_mode():
        found = network(features)
    assert (network.embedding_dims, network.dims, found.shape) == (128, 448, (2, 448))
    torch.testing.assert_close(found[:, :128].norm(dim=1), torch.ones(2))
    torch.testing.assert_close(found[:, 128:], features.sum(dim=1) / 311)


def test_size_and_cost() -> None:
    """Parameters by hand: a quarter of tf_resnet's convolutions at half width, four pooled bands instead of eight."""
    spent = cost(build_network(load_recipe("asd_edge"), []), (311, 320))
    half = cost(TFResNet(bands=64, width=0.5), (311, 64))
    assert spent.parameters == half.parameters == 389_946
    # Stem and all behind it at a half of the frames, all behind Trans1 at a quarter.
    assert spent.multiply_adds < 0.4 * half.multiply_adds


def test_bands_together_are_averages_of_standardised_bands() -> None:
    torch.manual_seed(0)
    fine, coarse = TFResNet(bands=64, width=0.25, bands_together=4), TFResNet(bands=16, width=0.25)
    coarse.load_state_dict({k: v for k, v in fine.state_dict().items() if "standardise" not in k}, strict=False)
    features = torch.randn(2, 20, 64)
    mean, deviation = torch.randn(64), 1.0 + torch.rand(64)
    fine.fit_standardisation(mean, deviation)
    averaged = torch.stack([((features - mean) / deviation)[..., 4 * i : 4 * i + 4].sum(-1) / 4 for i in range(16)], -1)
    with torch.inference_mode():
        torch.testing.assert_close(fine.eval()(features), coarse.eval()(averaged), rtol=1e-4, atol=1e-5)


def test_the_loss_does_not_hear_the_mean_spectrum() -> None:
    network = build_network(load_recipe("asd_edge"), []).eval()
    objective = Classify(network, [WeightedLoss("joint", 1.0, Softmax(network.embedding_dims, 3, logit_scale=4.0))])
    targets = {"joint": torch.eye(3)[:2]}
    batch = Batch(torch.randn(2, 64, 320), None, targets, torch.zeros(2, dtype=torch.int64))
    objective(batch).backward()  # it would not fit an embedding of 448
    assert all(parameter.grad is not None for parameter in network.parameters())
