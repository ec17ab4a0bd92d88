"""The network under sub-cluster AdaCos against the paper's table 1; and ensembles of networks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from asd_train.networks.ensemble import Ensemble
from asd_train.networks.network import EmbeddingNetwork
from asd_train.networks.residual_stages import ResidualBlock, staged_size
from asd_train.networks.subcluster_resnet import SubclusterResNet
from asd_train.networks.two_branch import TwoBranch


def derived() -> int:
    """Parameters from the table alone: every convolution has a bias, a batch norm two numbers a channel."""
    total = 49 * 16 + 16 + 2 * 16
    d = 16
    for channels in (16, 32, 64, 128):
        for _ in range(2):
            total += 9 * d * channels + channels + 9 * channels**2 + channels + 2 * 2 * channels
            total += d * channels + channels if d != channels else 0
            d = channels
    return total + 512 * 128 + 128


def test_size_is_that_of_the_table() -> None:
    assert sum(p.numel() for p in SubclusterResNet().parameters()) == derived() == 766_944
    assert "766,944" in (SubclusterResNet.__doc__ or "")


@pytest.mark.parametrize(("frames", "stem"), [(313, (157, 78)), (311, (156, 77))])  # the paper's clip, and ours
def test_every_stage_has_the_shape_and_the_work_of_the_table(frames: int, stem: tuple[int, int]) -> None:
    network = SubclusterResNet().eval()
    convolution, *_, pool = network.stem
    seen: list[tuple[int, ...]] = []
    for layer in (convolution, pool, *network.stages):
        layer.register_forward_hook(lambda _, __, out: seen.append((*out.shape[2:], out.shape[1])))
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network(torch.zeros(1, frames, 128))
    first, pooled = stem
    assert seen == [(first, 64, 16), (pooled, 31, 16), (pooled, 31, 16), (39, 16, 32), (20, 8, 64), (10, 4, 128)]
    assert counter.get_total_flops() / 2e6 == pytest.approx(92.6, rel=0.01)  # million multiply-adds


@pytest.mark.parametrize("size", range(31, 44))
def test_what_stem_and_stages_leave_is_worked_out_as_it_is(size: int) -> None:
    network = SubclusterResNet(bands=size, dims=2).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 40, size)).shape == (1, 2 + size)
    assert network.embedding.in_features == 128 * staged_size(size)


def test_the_order_inside_a_block_is_the_authors() -> None:
    block = SubclusterResNet().stages[1][0]
    assert isinstance(block, ResidualBlock)
    order = [type(m).__name__ for m in block.modules() if not list(m.children())]
    assert order == [
        *("LeakyReLU", "Conv2d", "LeakyReLU", "BatchNorm2d", "Conv2d"),
        *("MaxPool2d", "Conv2d"),  # the shortcut
        "BatchNorm2d",  # after the sum
    ]
    assert {m.negative_slope for m in block.modules() if isinstance(m, nn.LeakyReLU)} == {0.1}


def test_behind_the_embedding_stands_the_temporal_maximum_as_it_came() -> None:
    torch.manual_seed(0)
    network = SubclusterResNet(bands=40, dims=8).eval()
    network.fit_standardisation(torch.full((40,), -40.0), torch.full((40,), 12.0))
    features = torch.randn(3, 50, 40) * 12 - 40
    with torch.no_grad():
        given = network(features)
    assert (network.dims, network.embedding_dims) == (48, 8)
    assert torch.equal(given[:, 8:], features.max(dim=1).values)
    assert (given[:, :8] - given[0, :8]).abs().max() > 1e-3  # of their own for each segment


class Counting(EmbeddingNetwork):
    """Gives the mean of each band, times a number."""

    def __init__(self, factor: float, *, bands: int = 4) -> None:
        super().__init__()
        self.bands = self.dims = bands
        self.factor = factor

    def forward(self, features: Tensor) -> Tensor:
        return self.factor * features.mean(dim=1)


def test_an_ensemble_gives_what_each_member_gives_one_behind_the_other() -> None:
    ensemble = Ensemble([Counting(1.0), Counting(-2.0)])
    features = torch.rand(3, 7, 4)
    assert (ensemble.bands, ensemble.dims, ensemble.hears_spectrum) == (4, 8, False)
    torch.testing.assert_close(ensemble(features), torch.cat([features.mean(1), -2 * features.mean(1)], dim=1))


def test_an_ensemble_hears_and_standardises_what_its_members_do() -> None:
    both = Ensemble([TwoBranch(bands=33, bins=300), TwoBranch(bands=33, bins=300)]).eval()
    assert both.hears_spectrum
    assert both(torch.rand(1, 40, 33), torch.rand(1, 300)).shape == (1, 512)
    members = [SubclusterResNet(bands=33), SubclusterResNet(bands=33)]
    Ensemble(members).fit_standardisation(torch.full((33,), 3.0), torch.full((33,), 2.0))
    assert [(m.standardise.mean[0].item(), m.standardise.scale[0].item()) for m in members] == [(3.0, 0.5)] * 2


@pytest.mark.parametrize(
    "members", [[], [Counting(1.0), Counting(1.0, bands=5)], [Counting(1.0, bands=33), TwoBranch(bands=33, bins=300)]]
)
def test_an_ensemble_of_different_inputs_is_refused(members: list[EmbeddingNetwork]) -> None:
    with pytest.raises(ValueError, match="different inputs"):
        Ensemble(members)
