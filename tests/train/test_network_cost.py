"""What networks cost, against the figures derived from their papers' tables."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from asd_train.networks.cost import Cost, cost
from asd_train.networks.mobilenetv2_classifier import MobileNetV2Classifier
from asd_train.networks.resnet18_flow import ResNet18Flow
from asd_train.networks.tf_resnet import TFResNet

STEM_OF_3_CHANNELS = 2 * 9 * 16 * 32 * 64  # the baseline copies its input to 3 channels: two more than ours


@pytest.mark.parametrize(
    ("network", "shape", "parameters", "millions"),
    [
        (TFResNet(), (64, 128), 1_555_698, 1350),
        (TFResNet(), (311, 128), 1_555_698, 6540),
        (MobileNetV2Classifier(classes=3), (64, 128), 691_235, 15.7 - STEM_OF_3_CHANNELS / 1e6),
        # 2.47 G of ResNet-18, and 7.87 M weights of the flow at each of 70 places
        (ResNet18Flow(frames=313), (313, 224), 19_040_704, 2470 + 7.87 * 70),
    ],
)
def test_figures_of_the_papers_networks(
    network: nn.Module, shape: tuple[int, int], parameters: int, millions: float
) -> None:
    found = cost(network, shape)
    assert found.parameters == parameters
    assert found.multiply_adds / 1e6 == pytest.approx(millions, rel=4e-3)  # they are printed with three digits


def test_a_small_network_by_hand() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(1, 3, 3, stride=2, bias=False)
            self.dense = nn.Linear(5, 2)

        def forward(self, features: torch.Tensor, spectrum: torch.Tensor) -> torch.Tensor:
            return self.convolution(features.unsqueeze(1)).sum() + self.dense(spectrum).sum()

    network = Both()
    found = cost(network, (7, 9), (5,))
    assert found == Cost(3 * 9 + 5 * 2 + 2, 3 * 9 * (3 * 4) + 5 * 2)
    assert network.training
