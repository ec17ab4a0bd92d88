"""From a recipe to its objective."""

from __future__ import annotations

from collections.abc import Mapping

from ..labels import LabelSet
from ..losses.adacos import AdaCos
from ..losses.arcface import ArcFace
from ..losses.class_loss import ClassLoss
from ..losses.log_odds import LogOdds
from ..losses.softmax import Softmax
from ..losses.sub_cluster_adacos import SubClusterAdaCos
from ..networks.network import EmbeddingNetwork
from ..recipe.recipe import Recipe
from ..recipe.training import (
    AdaCosTable,
    ArcFaceTable,
    ClassLossTable,
    Labels,
    LogOddsTable,
    OutlierExposure,
    SoftmaxTable,
    SubClusterAdaCosTable,
)
from .classify import Classify, WeightedLoss
from .objective import Objective


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
        from ..networks.dense_autoencoder import DenseAutoencoder
        from .reconstruct import Reconstruct

        assert isinstance(network, DenseAutoencoder)  # the recipe refuses any other
        return Reconstruct(network)
    assert table.kind == "outlier_exposure"  # without an objective nothing is trained
    assert machine is not None  # the recipe refuses one network for all
    return _outlier_exposure(table, network, labels, machine)


def _outlier_exposure(
    table: OutlierExposure, network: EmbeddingNetwork, labels: Mapping[Labels, LabelSet], machine: str
) -> Objective:
    from ..networks.resnet18_flow import ResNet18Flow
    from . import outlier_exposure
    from .attribute_values import attribute_values

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
