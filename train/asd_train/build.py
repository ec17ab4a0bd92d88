"""From a recipe to its network and its objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .labels import LabelSet, coarser
from .losses.adacos import AdaCos
from .losses.arcface import ArcFace
from .losses.class_loss import ClassLoss
from .losses.log_odds import LogOdds
from .losses.softmax import Softmax
from .losses.sub_cluster_adacos import SubClusterAdaCos
from .networks.ensemble import Ensemble
from .networks.network import EmbeddingNetwork
from .objectives.classify import Classify, WeightedLoss
from .objectives.objective import Objective
from .recipe.recipe import Recipe
from .recipe.training import (
    AdaCosTable,
    ArcFaceTable,
    ClassLossTable,
    Labels,
    LogOddsTable,
    OutlierExposure,
    SoftmaxTable,
    SubClusterAdaCosTable,
)


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
            from .networks.tf_resnet import TFResNet

            return TFResNet(bands=bands, **size)
        case "compact_and_spectrum":
            from .networks.compact_and_spectrum import CompactAndSpectrum

            return CompactAndSpectrum(bands=bands, **size)
        case "mean_spectrum":
            from .networks.mean_spectrum import MeanSpectrum

            return MeanSpectrum(bands=bands)
        case "mobilenetv2":
            from .networks.mobilenetv2 import MobileNetV2

            return MobileNetV2(bands=bands, **size)
        case "mobilenetv2_classifier":
            from .networks.mobilenetv2_classifier import MobileNetV2Classifier

            return MobileNetV2Classifier(bands=bands, classes=_outputs(recipe, classes), **size)
        case "dense_autoencoder":
            from .networks.dense_autoencoder import DenseAutoencoder

            return DenseAutoencoder(bands=bands, **size)
        case "subcluster_resnet":
            from .networks.subcluster_resnet import SubclusterResNet

            return SubclusterResNet(bands=bands, **size)
        case "two_branch":
            from .networks.two_branch import TwoBranch

            return TwoBranch(bands=bands, bins=recipe.spectrum_bins, **size)
        case "resnet18_flow":
            from .networks.resnet18_flow import ResNet18Flow

            return ResNet18Flow(bands=bands, frames=recipe.segment.frames, **size)


def build_objective(
    recipe: Recipe,
    network: EmbeddingNetwork,
    labels: Mapping[Labels, LabelSet],
    *,
    context: int,
    member: int,
    machine: str | None,
) -> Objective:
    """Return what trains a network: member number `member` of the recipe's ensemble, for one machine or for all."""
    table = recipe.training.objective
    if table.kind == "classify":
        terms = [
            WeightedLoss(
                loss.labels, loss.weight, _class_loss(loss, network.embedding_dims, len(labels[loss.labels]), member)
            )
            for loss in table.losses
        ]
        return Classify(network, terms, context=context)
    if table.kind == "reconstruct":
        from .networks.dense_autoencoder import DenseAutoencoder
        from .objectives.reconstruct import Reconstruct

        assert isinstance(network, DenseAutoencoder)  # the recipe refuses any other
        return Reconstruct(network)
    assert table.kind == "outlier_exposure"  # without an objective nothing is trained
    assert machine is not None  # the recipe refuses one network for all
    return _outlier_exposure(table, network, labels, machine)


def _outlier_exposure(
    table: OutlierExposure, network: EmbeddingNetwork, labels: Mapping[Labels, LabelSet], machine: str
) -> Objective:
    from .networks.resnet18_flow import ResNet18Flow
    from .objectives import outlier_exposure
    from .objectives.attribute_values import attribute_values

    assert isinstance(network, ResNet18Flow)  # the recipe refuses any other
    own = [i for i, name in enumerate(labels["attributes"].names) if name.startswith(f"{machine}/")]
    values = attribute_values([labels["attributes"].names[i].split("/", 2)[2] for i in own])
    return outlier_exposure.OutlierExposure(
        network,
        machine=labels["machine"].names.index(machine),
        attributes=dict(zip(own, values, strict=True)),
        serial=table.serial,
        attribute_weight=table.attribute_weight,
        flow_weight=table.flow_weight,
    )


def _outputs(recipe: Recipe, classes: Sequence[str]) -> int:
    """Return how many classes a network that gives log-odds has: those of the one loss it is trained by."""
    objective = recipe.training.objective
    (loss,) = objective.losses if objective.kind == "classify" else ()
    return len({coarser(name, loss.labels) for name in classes})


def _class_loss(table: ClassLossTable, dims: int, classes: int, member: int) -> ClassLoss:
    match table:
        case SoftmaxTable():
            return Softmax(dims, classes, logit_scale=table.scale)
        case ArcFaceTable():
            return ArcFace(dims, classes, scale=table.scale, margin=table.margin)
        case AdaCosTable():
            return AdaCos(dims, classes)
        case SubClusterAdaCosTable():
            count = table.of_member(member)
            return SubClusterAdaCos(dims, classes, sub_clusters=count, trainable=table.trainable)
        case LogOddsTable():
            return LogOdds(dims, classes)
