"""The network without parameters."""

from __future__ import annotations

import torch

from asd_train.networks.mean_spectrum import MeanSpectrum


def test_a_segment_becomes_the_mean_of_its_frames_whatever_their_number() -> None:
    network = MeanSpectrum(bands=5)
    features = torch.arange(30.0).reshape(2, 3, 5)
    torch.testing.assert_close(network(features), torch.stack([features[0].sum(0) / 3, features[1].sum(0) / 3]))
    assert network(torch.zeros(1, 311, 5)).shape == (1, network.dims)
    assert list(network.parameters()) == []
