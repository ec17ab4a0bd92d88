"""The network against the paper's tables 1 and 2, written out a second time; then trained, written and read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from asd_train.data.dcase import read_datasets
from asd_train.embedder import TorchEmbedder
from asd_train.networks.mobilenetv2 import InvertedResidual, MobileNetV2, scaled
from asd_train.progress import Progress
from asd_train.recipe import Recipe, load_recipe
from asd_train.run import Run, load_run, save_run
from asd_train.training.fit import fit

# Table 2 line by line: stem, seven stages (expansion, blocks, stride of the first), last convolution. The channels of
# half width are rounded by hand: 12 is midway between 8 and 16 and goes up.
STAGES = ((1, 1, 1), (6, 2, 2), (6, 3, 2), (6, 4, 2), (6, 3, 1), (6, 3, 2), (6, 1, 1))
CHANNELS = {
    1.0: (32, 16, 24, 32, 64, 96, 160, 320, 1280),
    0.5: (16, 8, 16, 16, 32, 48, 80, 160, 1280),
}


def derived(width: float, *, head: int, heard: int = 1, frames: int = 64, bands: int = 128) -> tuple[int, int]:
    """Parameters and multiply-adds of one segment in `heard` input channels, from the tables alone.

    A k×k convolution of d to d' channels in g groups has k²·d·d'/g weights, each used once a place of its output; batch
    norm has two parameters a channel and no operation of its own, for it is folded into the convolution.
    """
    stem, *stages, last = CHANNELS[width]
    places = (frames // 2) * (bands // 2)
    parameters = 9 * heard * stem + 2 * stem
    operations = 9 * heard * stem * places
    d = stem
    for (t, blocks, first), channels in zip(STAGES, stages, strict=True):
        for block in range(blocks):
            stride = first if block == 0 else 1
            if t > 1:
                parameters += d * t * d + 2 * t * d
                operations += d * t * d * places
            places //= stride**2
            parameters += 9 * t * d + 2 * t * d + t * d * channels + 2 * channels
            operations += (9 * t * d + t * d * channels) * places
            d = channels
    parameters += d * last + 2 * last + last * head + head
    operations += d * last * places + last * head
    return parameters, operations


def counted(network: MobileNetV2, *, frames: int = 64) -> tuple[int, int]:
    """Parameters, and multiply-adds as its convolutions and linear layers really run on one segment."""
    operations = 0

    def count(layer: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal operations
        weight = layer.weight
        assert isinstance(weight, Tensor)
        operations += weight[0].numel() * output.numel()

    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    network.eval()(torch.zeros(1, frames, network.bands))
    for hook in hooks:
        hook.remove()
    return sum(p.numel() for p in network.parameters()), operations


def test_the_derivation_gives_the_section_classifier_of_dcase_2021() -> None:
    assert derived(0.5, head=3)[0] == 691_235  # three sections
    assert round(derived(0.5, head=3, heard=3)[1] / 1e6, 1) == 15.7  # as it runs: the input is copied to 3 channels


@pytest.mark.parametrize("width", [0.5, 1.0])
def test_size_and_work_are_the_papers_with_an_embedding_for_a_classifier(width: float) -> None:
    assert counted(MobileNetV2(width=width)) == derived(width, head=128)


def test_the_documented_sizes_are_the_derived_ones() -> None:
    assert (derived(1.0, head=128)[0], derived(0.5, head=128)[0]) == (2_387_264, 851_360)
    for count in ("2,387,264", "851,360"):
        assert count in (MobileNetV2.__doc__ or "")


@pytest.mark.parametrize(
    ("channels", "width", "rounded"),
    [
        (24, 0.5, 16),  # 12: midway goes up
        (32, 0.35, 16),  # 11.2: 8 would be more than a tenth too few
        (24, 0.75, 24),  # 18: so would 16
        (160, 0.75, 120),
        (16, 0.25, 8),  # never fewer than 8
        (96, 1.4, 136),  # 134.4
    ],
)
def test_channels_are_rounded_as_in_the_authors_code(channels: int, width: float, rounded: int) -> None:
    assert scaled(channels, width) == rounded


@pytest.mark.parametrize(("width", "last"), [(0.25, 1280), (1.0, 1280), (1.4, 1792)])
def test_the_last_convolution_never_shrinks(width: float, last: int) -> None:
    assert MobileNetV2(width=width).embedding.in_features == last


def test_every_stage_has_the_shape_of_table_2() -> None:
    x = torch.zeros(1, 1, 64, 128)
    shapes = [(1, 64, 128)]
    network = MobileNetV2()
    for layer in network.trunk:
        x = layer(x)
        if (shape := (x.shape[1], x.shape[2], x.shape[3])) != shapes[-1]:
            shapes.append(shape)
    assert shapes[1:] == [
        (32, 32, 64),
        (16, 32, 64),
        (24, 16, 32),
        (32, 8, 16),
        (64, 4, 8),
        (96, 4, 8),
        (160, 2, 4),
        (320, 2, 4),
        (1280, 2, 4),
    ]
    assert len(network.trunk) == 1 + 17 + 1


@pytest.mark.parametrize(
    ("outputs", "stride", "expected"), [(8, 1, True), (16, 1, False), (8, 2, False), (16, 2, False)]
)
def test_a_block_has_a_shortcut_where_stride_and_channels_let_it(outputs: int, stride: int, expected: bool) -> None:
    block = InvertedResidual(8, outputs, expansion=6, stride=stride).eval()
    for parameter in block.parameters():
        nn.init.zeros_(parameter)  # the path gives nothing: what comes out is the shortcut
    x = torch.randn(2, 8, 6, 10)
    through = block(x)
    assert through.shape == (2, outputs, 6 // stride, 10 // stride)
    assert torch.equal(through, x) if expected else not through.any()


def test_bottlenecks_are_linear_and_what_lies_between_ends_at_6() -> None:
    torch.manual_seed(0)
    block = InvertedResidual(8, 16, expansion=6, stride=1)
    assert (block(torch.randn(4, 8, 6, 10)) < 0).any()
    expand, filtered, _ = block.path
    loud = expand(torch.randn(4, 8, 6, 10) * torch.tensor([1e4] + [1.0] * 9))  # a band far outside its batch's scale
    assert loud.max() <= 6.0
    assert filtered(loud).min() >= 0.0


@pytest.mark.parametrize("width", [0.25, 0.5])
def test_embeddings_have_unit_length_for_any_number_of_frames(width: float) -> None:
    network = MobileNetV2(width=width, dims=48).eval()
    for frames in (1, 16, 63, 64, 311):
        embeddings = network(torch.randn(3, frames, 128) * 10 - 40)
        assert embeddings.shape == (3, 48)
        torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(3))


@pytest.mark.parametrize("bands", [100, 513])
def test_any_number_of_bands_is_pooled(bands: int) -> None:
    assert MobileNetV2(bands=bands, width=0.25)(torch.zeros(2, 64, bands)).shape == (2, 128)


def settled(network: MobileNetV2) -> MobileNetV2:
    """Give the batch norms statistics of their own, and take from the embeddings what all have in common.

    Fresh weights put all segments all but in one place, where a difference between two of them would not show.
    """
    network.standardise.fit(torch.full((network.bands,), -40.0), torch.full((network.bands,), 12.0))
    network.train()
    with torch.no_grad():
        for _ in range(20):
            network(torch.randn(8, 64, network.bands) * 12 - 40)
        network.eval()
        common = network.trunk(torch.randn(32, 1, 64, network.bands)).mean(dim=(0, 2, 3))
        network.embedding.bias.copy_(-network.embedding.weight @ common)
    return network


def test_a_segments_embedding_does_not_depend_on_its_batch() -> None:
    torch.manual_seed(1)
    network = settled(MobileNetV2(width=0.25))
    segments = torch.randn(5, 64, 128) * 12 - 40
    with torch.no_grad():
        together = network(segments)
        alone = torch.cat([network(segment[None]) for segment in segments])
    assert (together[0] - together[1]).abs().max() > 0.1  # different segments are told apart
    torch.testing.assert_close(together, alone, atol=2e-4, rtol=0)  # float32 sums in another order, 53 layers deep


def test_the_input_is_standardised_inside_the_network() -> None:
    torch.manual_seed(2)
    network = settled(MobileNetV2(width=0.25))
    segments = torch.randn(2, 64, 128) * 12 - 40
    with torch.no_grad():
        expected = network(segments)
        network.standardise.fit(torch.zeros(128), torch.ones(128))
        torch.testing.assert_close(network((segments + 40) / 12), expected, atol=2e-4, rtol=0)


def test_gradients_stay_finite_on_silence() -> None:
    network = MobileNetV2(width=0.25)
    torch.autograd.backward(network(torch.full((4, 64, 128), -100.0)).sum())
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.fixture(scope="module")
def run(small_data: Path) -> Run:
    values = load_recipe("mobilenetv2_embed", fast=True).model_dump()
    values["network"]["width"] = 0.25
    values["training"]["schedule"] = [{"epochs": 24, "learning_rate": 0.05}]
    values["training"]["batch"] = 8
    datasets = [str(small_data)]
    return fit(
        Recipe.model_validate(values),
        read_datasets(datasets),
        datasets=datasets,
        seed=0,
        progress=Progress(enabled=False),
    )


def test_training_lowers_the_loss(run: Run) -> None:
    assert isinstance(run.network, MobileNetV2)
    assert len(run.history) == 24
    assert run.history[-1] < run.history[0] - 0.2


def test_a_run_reads_back_with_the_same_embeddings(run: Run, tmp_path: Path) -> None:
    save_run(run, tmp_path / "run")
    back = load_run(tmp_path / "run")
    assert back.recipe == run.recipe
    assert isinstance(back.network, MobileNetV2)
    probe = np.random.default_rng(0).normal(-40, 10, (3, 64, 128)).astype(np.float32)
    embeddings = TorchEmbedder(run.network).embed(probe)
    assert embeddings.shape == (3, 128)
    np.testing.assert_array_equal(TorchEmbedder(back.network).embed(probe), embeddings)
