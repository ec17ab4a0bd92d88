"""From a recipe to its network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..labels import coarser
from ..recipe.recipe import Recipe
from .ensemble import Ensemble
from .network import EmbeddingNetwork


def trained_network(recipe: Recipe, classes: Sequence[str]) -> EmbeddingNetwork:
    """Return what a training of the recipe on these joint classes leaves, with fresh weights."""
    return together([build_network(recipe, classes) for _ in range(recipe.members * recipe.snapshots)])


def together(networks: Sequence[EmbeddingNetwork]) -> EmbeddingNetwork:
    """Return the only network, or the ensemble of several."""
    return networks[0] if len(networks) == 1 else Ensemble(networks)


def build_network(recipe: Recipe, classes: Sequence[str]) -> EmbeddingNetwork:
    """Return one network of the recipe with fresh weights; the joint classes matter where the outputs are classes."""
    table, bands = recipe.network, recipe.front_end.bands
    size: dict[str, Any] = table.model_dump(exclude={"kind"})
    match table.kind:
        case "tf_resnet":
            from .tf_resnet import TFResNet

            return TFResNet(bands=bands, **size)
        case "compact_and_spectrum":
            from .compact_and_spectrum import CompactAndSpectrum

            return CompactAndSpectrum(bands=bands, **size)
        case "mean_spectrum":
            from .mean_spectrum import MeanSpectrum

            return MeanSpectrum(bands=bands)
        case "mobilenetv2":
            from .mobilenetv2 import MobileNetV2

            return MobileNetV2(bands=bands, **size)
        case "mobilenetv2_classifier":
            from .mobilenetv2_classifier import MobileNetV2Classifier

            return MobileNetV2Classifier(bands=bands, classes=_outputs(recipe, classes), **size)
        case "dense_autoencoder":
            from .dense_autoencoder import DenseAutoencoder

            return DenseAutoencoder(bands=bands, **size)
        case "subcluster_resnet":
            from .subcluster_resnet import SubclusterResNet

            return SubclusterResNet(bands=bands, **size)
        case "two_branch":
            from .two_branch import TwoBranch

            return TwoBranch(bands=bands, bins=recipe.spectrum_bins, **size)
        case "resnet18_flow":
            from .resnet18_flow import ResNet18Flow

            return ResNet18Flow(bands=bands, frames=recipe.segment.frames, **size)


def _outputs(recipe: Recipe, classes: Sequence[str]) -> int:
    """Return how many classes a network that gives log-odds has: those of the one loss it is trained by."""
    objective = recipe.training.objective
    (loss,) = objective.losses if objective.kind == "classify" else ()
    return len({coarser(name, loss.labels) for name in classes})
