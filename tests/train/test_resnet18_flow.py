"""ResNet-18 with a flow: sizes of the papers, and what the device is told of the latent map."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from asd_train.networks.resnet18 import ResNet18, strided
from asd_train.networks.resnet18_flow import Latent, ResNet18Flow


def small(latent: Latent) -> ResNet18Flow:
    """32 channels at the end; batch norms and flow as after training, so that nothing is the identity."""
    torch.manual_seed(0)
    network = ResNet18Flow(frames=70, bands=48, width=1 / 16, steps=2, latent=latent)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_var is not None
            module.running_var.uniform_(0.5, 1.5)
    if network.flow is not None:
        for parameter in network.flow.parameters():
            nn.init.normal_(parameter, std=0.1)
    return network.eval()


def test_resnet18_has_its_layers_and_parameters() -> None:
    network = ResNet18()
    assert (
        sum(p.numel() for p in network.parameters()) == 11_170_240
    )  # torchvision's 11,689,512 − fc − two input channels
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 1 + 16 + 3  # stem, blocks, shortcuts
    assert all(m.bias is None for m in convolutions)
    assert network.channels == 512


def test_every_stage_has_the_shape_of_table_1() -> None:
    x, shapes = torch.zeros(1, 1, 313, 224), []
    for layer in ResNet18(width=1 / 16).eval():
        x = layer(x)
        if not shapes or x.shape[1:] != shapes[-1]:
            shapes.append(x.shape[1:])
    assert [tuple(shape) for shape in shapes] == [
        (4, 157, 112),
        (4, 79, 56),
        (8, 40, 28),
        (16, 20, 14),
        (32, 10, 7),
    ]


@pytest.mark.parametrize("length", [1, 31, 32, 33, 64, 65, 224, 311, 313])
def test_lengths_of_the_last_map_are_foretold(length: int) -> None:
    assert ResNet18(width=1 / 16).eval()(torch.zeros(1, 1, length, 32)).shape[2] == strided(length)


@pytest.mark.parametrize(
    ("latent", "dims", "parameters"),
    [("none", 512, 11_170_240), ("standard", 512 + 10, 19_040_704), ("domain_invariant", 512 + 10, 19_040_704)],
)
def test_full_size(latent: Latent, dims: int, parameters: int) -> None:
    network = ResNet18Flow(frames=313, latent=latent)
    assert network.dims == dims
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize(("latent", "first"), [("standard", 0), ("domain_invariant", 8)])
def test_output_is_the_pooled_map_and_half_the_square_of_the_judged_latent(latent: Latent, first: int) -> None:
    network = small(latent)
    features = torch.randn(3, 70, 48)
    assert network.flow is not None
    with torch.no_grad():
        found = network(features).numpy()
        x = network.feature_map(features)
        z = network.flow(x)[0].numpy()
    assert found.shape == (3, network.dims) == (3, 32 + 3)
    np.testing.assert_allclose(found[:, :32], x.numpy().mean(axis=(2, 3)), atol=1e-6)
    for item, row in enumerate(found[:, 32:]):
        for step, density in enumerate(row):
            squares = [z[item, c, step, b] ** 2 for c in range(first, 32) for b in range(z.shape[3])]
            assert density == pytest.approx(0.5 * np.mean(squares), rel=1e-5)


def test_without_a_flow_the_pooled_map_is_all() -> None:
    network = small("none")
    features = torch.randn(3, 70, 48)
    with torch.no_grad():
        torch.testing.assert_close(network(features), network.feature_map(features).mean(dim=(2, 3)))
