"""The network against the paper's table 1 and equation 2, written out a second time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from asd_train.networks.tf_resnet import AttentionPooling, TFResNet


def parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("width", "count"), [(1.0, 1_555_698), (0.5, 521_018)])
def test_parameter_count_is_the_papers_network(width: float, count: int) -> None:
    assert parameters(TFResNet(width=width)) == count


def test_every_layer_has_the_shape_of_table_1() -> None:
    network = TFResNet()
    shapes = [(1, 64, 128)]
    x = torch.zeros(1, 1, 64, 128)
    for layer in network.trunk:
        x = layer(x)
        if (shape := (x.shape[1], x.shape[2], x.shape[3])) != shapes[-1]:
            shapes.append(shape)
    assert shapes[1:] == [(16, 64, 128), (32, 64, 64), (64, 64, 32), (128, 64, 16), (128, 64, 8)]
    assert len(network.trunk) == 1 + 4 * 3  # Conv1; two blocks and a transition, four times
    assert network.embedding.in_features == 4096
    assert network(torch.zeros(2, 64, 128)).shape == (2, 128)


def test_embeddings_have_unit_length_for_any_number_of_frames() -> None:
    network = TFResNet(width=0.25).eval()
    for frames in (16, 64, 311):
        lengths = network(torch.randn(3, frames, 128) * 10 - 40).norm(dim=1)
        torch.testing.assert_close(lengths, torch.ones(3))


def pooled_by_hand(
    x: NDArray[np.float64], weight: NDArray[np.float64], bias: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Equation 2, band by band, in float64. x: [channels, frames, bands]; weight: [heads, channels]."""
    parts = []
    for band in range(x.shape[2]):
        frames = x[:, :, band].T  # X = [T, D]
        logits = frames @ weight.T + bias
        attention = np.exp(logits - logits.max(axis=0))
        attention /= attention.sum(axis=0)
        m = frames.T @ attention
        v = (frames**2).T @ attention - m**2
        for moment in (m, v):
            root = np.sign(moment) * np.sqrt(np.abs(moment))
            parts.append((root / np.linalg.norm(root)).ravel())
    return np.concatenate(parts)


def test_attention_pooling_is_equation_2() -> None:
    torch.manual_seed(0)
    pooling = AttentionPooling(channels=6, heads=2).double()
    x = torch.rand(2, 6, 11, 3, dtype=torch.float64)
    weight = pooling.attention.weight.detach().numpy()[:, :, 0, 0]
    bias = pooling.attention.bias
    assert bias is not None
    expected = [pooled_by_hand(item, weight, bias.detach().numpy()) for item in x.numpy()]
    # the constant under the root changes a moment of 1e-2 by 5e-7
    np.testing.assert_allclose(pooling(x).detach().numpy(), expected, atol=1e-5)


def test_gradients_stay_finite_on_silence() -> None:
    network = TFResNet(width=0.25)
    torch.autograd.backward(network(torch.full((4, 32, 128), -100.0)).sum())
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_time_is_never_strided_receptive_field_is_23_frames_each_way() -> None:
    trunk = TFResNet(width=0.25).eval().trunk.double()
    for weight in trunk.parameters():
        weight.data.abs_()  # nothing cancels and no ReLU closes, so that every path shows
    x = torch.rand(1, 1, 101, 128, dtype=torch.float64)
    changed = x.clone()
    changed[:, :, 50] += 1.0
    with torch.no_grad():
        touched = (trunk(x) - trunk(changed)).abs().amax(dim=(0, 1, 3)) > 0
    frames = torch.nonzero(touched).ravel()
    assert (int(frames.min()), int(frames.max())) == (50 - 23, 50 + 23)


@pytest.mark.parametrize("pooling", ["average", "max"])
def test_pooling_variants_of_table_4(pooling: str) -> None:
    network = TFResNet(pooling=pooling)
    assert network.embedding.in_features == 8 * 128
    assert network(torch.zeros(2, 64, 128)).shape == (2, 128)


@pytest.mark.parametrize("bands", [100, 513])
def test_bands_that_sixteen_does_not_divide_are_pooled_too(bands: int) -> None:
    assert TFResNet(bands=bands, width=0.25)(torch.zeros(2, 16, bands)).shape == (2, 128)


def test_a_segment_in_its_context_is_what_a_long_sound_holds_there() -> None:
    """With `reach` frames around it a segment feels no padding: the interior of the sound, whatever its length."""
    torch.manual_seed(1)
    network = TFResNet(width=0.25).eval()
    assert network.reach == 23
    sound = torch.randn(1, 200, 128) * 3.0
    with torch.no_grad():
        inner = network.trunk(network.standardise(sound).unsqueeze(1))[:, :, 60:124]
        assert network.attention is not None
        expected = torch.nn.functional.normalize(network.embedding(network.attention(inner)), dim=-1)
        found = network(sound[:, 60 - 23 : 124 + 23], context=23)
        padded = network(sound[:, 60:124])
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0.0)
    assert (padded - expected).norm() > 100 * (found - expected).norm()
