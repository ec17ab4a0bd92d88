"""The two-branch network against the paper's tables 1 and 2, written out a second time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from asd_train.networks.two_branch import SpectrumBranch, TwoBranch


def derived(*, bias: bool) -> tuple[int, int]:
    """Parameters of both branches, from the tables alone; a batch norm has two a channel whatever `bias`."""
    one = int(bias)

    def layer(weights: int, outputs: int) -> int:
        return weights + one * outputs

    spectrogram = 2 * 513 + layer(49 * 16, 16) + 2 * 16
    d = 16
    for stage, channels in enumerate((16, 32, 64, 128)):
        for block in range(2):
            spectrogram += 2 * d if (stage, block) != (0, 0) else 0  # the very first block lacks its batch norm
            spectrogram += layer(9 * d * channels, channels) + 2 * channels + layer(9 * channels**2, channels)
            spectrogram += layer(d * channels, channels) if d != channels else 0  # 1×1 on the shortcut
            d = channels
    spectrogram += 2 * 2048 + layer(2048 * 128, 128)
    convolutions = layer(256 * 128, 128) + layer(64 * 128**2, 128) + layer(16 * 128**2, 128)
    hidden = layer(1280 * 128, 128) + 3 * layer(128**2, 128) + 4 * 2 * 128
    return spectrogram, convolutions + hidden + layer(128**2, 128)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("bias", [False, True])
def test_size_is_that_of_the_tables(bias: bool) -> None:
    network = TwoBranch(bins=80_000, bias=bias)
    assert (count(network.spectrogram), count(network.spectrum)) == derived(bias=bias)
    for layer in network.modules():
        if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Linear)):
            assert (layer.bias is not None) == bias


def test_the_published_and_documented_sizes_are_the_derived_ones() -> None:
    parts = derived(bias=False)
    assert (*parts, sum(parts)) == (967_090, 1_573_888, 2_540_978)
    assert count(TwoBranch()) == 2_540_978  # with the 79,872 bins of a segment, too
    assert "2,540,978" in (TwoBranch.__doc__ or "")


def shapes(network: nn.Module, layers: list[nn.Module], *inputs: Tensor) -> list[tuple[int, ...]]:
    """What these layers give for a batch of one, without the batch."""
    seen: list[tuple[int, ...]] = []
    hooks = [m.register_forward_hook(lambda _, __, out: seen.append(tuple(out.shape[1:]))) for m in layers]
    with torch.no_grad():
        network.eval()(*inputs)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize(("bins", "places"), [(80_000, (1250, 40, 10)), (79_872, (1248, 39, 10))])
def test_every_layer_has_the_shape_and_the_work_of_the_tables(bins: int, places: tuple[int, ...]) -> None:
    network = TwoBranch(bins=bins)
    convolution, *_, pool = network.spectrogram.stem
    layers = [convolution, pool, *network.spectrogram.stages, network.spectrogram.head[0]]
    layers += [layer for layer in network.spectrum if isinstance(layer, nn.Conv1d)]
    counter = FlopCounterMode(display=False)
    with counter:
        seen = shapes(network, layers, torch.zeros(1, 311, 513), torch.zeros(1, bins))
    ways = [(16, 156, 257), (16, 77, 128), (16, 77, 128), (32, 39, 64), (64, 20, 32), (128, 10, 16), (2048,)]
    assert seen == ways + [(128, place) for place in places]
    assert counter.get_total_flops() / 2e6 == pytest.approx(372 + 86, abs=2)  # million multiply-adds


# "Same" padding of the paper's framework: (⌈n / s⌉ − 1)·s + k − n zeros, the smaller half in front.
@pytest.mark.parametrize(
    ("bins", "zeros"), [(80_000, [(96, 96), (31, 31), (6, 6)]), (79_872, [(96, 96), (16, 16), (6, 7)])]
)
def test_the_long_convolutions_are_padded_as_published(bins: int, zeros: list[tuple[int, int]]) -> None:
    assert [m.padding for m in SpectrumBranch(bins, bias=False) if isinstance(m, nn.ConstantPad1d)] == zeros


@pytest.fixture
def network() -> TwoBranch:
    torch.manual_seed(0)
    return TwoBranch(bands=33, bins=300).eval()


def test_the_embedding_is_both_branches_and_each_hears_its_own_input(network: TwoBranch) -> None:
    features, spectrum = torch.rand(3, 40, 33), torch.rand(3, 300)
    with torch.no_grad():
        both = network(features, spectrum)
        other = network(torch.rand(3, 40, 33), spectrum), network(features, torch.rand(3, 300))
    assert both.shape == (3, network.dims) == (3, 256)
    assert network.hears_spectrum
    assert [torch.equal(x[:, :128], both[:, :128]) for x in other] == [False, True]
    assert [torch.equal(x[:, 128:], both[:, 128:]) for x in other] == [True, False]


def test_what_stays_the_same_over_a_segment_is_not_heard(network: TwoBranch) -> None:
    features, offset = torch.rand(2, 40, 33), 10 * torch.rand(1, 1, 33)
    with torch.no_grad():
        plain, raised = network.spectrogram(features), network.spectrogram(features + offset)
        changed = network.spectrogram(features * torch.linspace(0.5, 1.5, 40)[:, None])
    torch.testing.assert_close(raised, plain, rtol=0.0, atol=1e-4)  # single precision, of values ten times as large
    assert (changed - plain).abs().max() > 1e-2


def test_all_of_it_learns() -> None:
    torch.manual_seed(0)
    network = TwoBranch(bands=33, bins=300, bias=True).train()
    network(torch.rand(4, 40, 33), torch.rand(4, 300)).square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []
