"""The autoencoder against section 4.1 of its paper, and its statistics against all residual rows, one by one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from asd_train.networks.dense_autoencoder import DenseAutoencoder, Statistics
from asd_train.objectives.objective import Batch
from asd_train.objectives.reconstruct import Reconstruct

BANDS, FRAMES = 6, 9


def settled(statistics: Statistics) -> DenseAutoencoder:
    """A small network whose batch norms have statistics of their own."""
    torch.manual_seed(0)
    network = DenseAutoencoder(bands=BANDS, statistics=statistics)
    network.standardise.fit(torch.linspace(-50.0, -30.0, BANDS), torch.linspace(5.0, 15.0, BANDS))
    with torch.no_grad():
        for _ in range(20):
            network.reconstruct(network.stacks(segments(8)).flatten(0, 1))
    return network.eval()


def segments(batch: int) -> Tensor:
    return torch.randn(batch, FRAMES, BANDS) * 12.0 - 40.0


def residual_rows(network: DenseAutoencoder, segment: NDArray[np.float32]) -> NDArray[np.float64]:
    """Stack by stack: five frames in, what is not reconstructed out, as rows of one frame. [5 · stacks, bands]."""
    rows = []
    for first in range(len(segment) - 4):
        stack = np.concatenate([segment[first + i] for i in range(5)])
        with torch.no_grad():
            found = network.reconstruct(torch.from_numpy(stack)[None])[0].numpy()
        rows.append((stack.astype(np.float64) - found).reshape(5, BANDS))
    return np.concatenate(rows)


def test_layers_and_parameters_are_the_papers() -> None:
    network = DenseAutoencoder()
    widths = [(layer.in_features, layer.out_features) for layer in network.layers if isinstance(layer, nn.Linear)]
    chain = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640]
    assert widths == list(pairwise(chain))
    assert [type(layer) for layer in network.layers] == [nn.Linear, nn.BatchNorm1d, nn.ReLU] * 9 + [nn.Linear]
    assert sum(p.numel() for p in network.parameters()) == 267_928


@pytest.mark.parametrize(("statistics", "dims"), [("error", 1), ("moments", 128 + 8256)])
def test_output_has_one_row_a_segment(statistics: Statistics, dims: int) -> None:
    network = DenseAutoencoder(statistics=statistics).eval()
    assert network.dims == dims
    for frames in (5, 64):
        assert network(torch.zeros(2, frames, 128)).shape == (2, dims)


def test_the_error_is_the_mean_square_over_all_stacks() -> None:
    network, sound = settled("error"), segments(3)
    with torch.no_grad():
        found = network(sound)[:, 0].numpy()
    expected = [np.mean(residual_rows(network, segment) ** 2) for segment in sound.numpy()]
    np.testing.assert_allclose(found, expected, rtol=1e-5)  # float32 sums in another order


def test_moments_are_the_mean_and_the_upper_triangle_over_all_rows() -> None:
    network, sound = settled("moments"), segments(3)
    with torch.no_grad():
        found = network(sound).numpy()
    for got, segment in zip(found, sound.numpy(), strict=True):
        rows = residual_rows(network, segment)
        second = np.zeros((BANDS, BANDS))
        for row in rows:
            second += np.outer(row, row) / len(rows)
        np.testing.assert_allclose(got[:BANDS], rows.mean(axis=0), atol=1e-4)
        np.testing.assert_allclose(got[BANDS:], second[np.triu_indices(BANDS)], rtol=1e-5, atol=1e-3)


def test_both_readings_of_the_mahalanobis_score_follow_from_the_moments() -> None:
    network, sound = settled("moments"), segments(1)
    rows = residual_rows(network, sound.numpy()[0])
    inverse = np.linalg.inv(np.cov(rows.T) + np.eye(BANDS))
    with torch.no_grad():
        found = network(sound).numpy()[0].astype(np.float64)
    mean, second = found[:BANDS], np.zeros((BANDS, BANDS))
    second[np.triu_indices(BANDS)] = found[BANDS:]
    second = np.triu(second) + np.triu(second, 1).T
    of_rows = np.mean([row @ inverse @ row for row in rows])
    of_pairs = np.mean([one @ inverse @ other for one in rows for other in rows])
    assert np.trace(inverse @ second) == pytest.approx(of_rows, rel=1e-5)
    assert mean @ inverse @ mean == pytest.approx(of_pairs, rel=1e-4)


def test_an_untrained_network_starts_from_the_mean_sound() -> None:
    torch.manual_seed(0)
    network = DenseAutoencoder().eval()
    network.standardise.fit(torch.full((128,), -40.0), torch.full((128,), 12.0))
    with torch.no_grad():
        found = network.reconstruct(torch.randn(16, 640) * 12.0 - 40.0)
    assert (found + 40.0).abs().max() < 12.0


def test_fewer_frames_than_a_stack_are_refused() -> None:
    with pytest.raises(ValueError, match="4 frames"):
        DenseAutoencoder()(torch.zeros(2, 4, 128))


def test_the_objective_is_the_mean_error_and_learning_lowers_it() -> None:
    network = settled("error")
    objective = Reconstruct(network)
    batch = Batch(segments(16), None, {}, torch.zeros(16, dtype=torch.int64))
    with torch.no_grad():
        assert objective(batch).item() == pytest.approx(network(batch.features).mean().item(), rel=1e-5)
    objective.train()
    optimiser = torch.optim.Adam(objective.parameters(), lr=1e-2)
    history = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = objective(batch)
        torch.autograd.backward(loss)
        optimiser.step()
        history.append(loss.item())
    assert history[-1] < 0.8 * history[0]
