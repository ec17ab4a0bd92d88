"""`[training]`: what is learned from, how it is varied, by which loss, optimiser and schedule."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .tables import Table

Labels = Literal["machine", "section", "attributes", "joint"]
"""What makes two clips one class: the machine; machine and section; these and the attributes; these and the domain."""


class Crops(Table):
    """What an epoch cuts from a clip: one crop of `frames` at a random place, or with `every` all at such a step."""

    frames: int = Field(ge=1)
    every: int = Field(ge=0, default=0)


class Phase(Table):
    """A stretch of training: a constant learning rate, or one that rises to it and falls again (`one_cycle`)."""

    epochs: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    shape: Literal["constant", "one_cycle"] = "constant"


class SGD(Table):
    """Stochastic gradient descent with momentum."""

    kind: Literal["sgd"]
    momentum: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)


class Adam(Table):
    """Adam; `weight_decay` adds to the gradient, as an L2 penalty of half of it would."""

    kind: Literal["adam"]
    weight_decay: float = Field(ge=0)


class AdamW(Table):
    """Adam with weight decay beside the gradient."""

    kind: Literal["adamw"]
    weight_decay: float = Field(ge=0)


class Mixup(Table):
    """Mixed pairs: x̃ = λ x_i + (1 − λ) x_j, labels likewise, λ ~ Beta(alpha, alpha); alpha = 0 switches it off.

    `pairs`: clips of one machine type, or any. `at`: the features, one hidden layer drawn a batch, or the waveform.
    `probability`: that a batch is mixed at all.
    """

    pairs: Literal["in_type", "any"] = "in_type"
    at: Literal["features", "hidden", "waveform"] = "features"
    alpha: float = Field(ge=0)
    probability: float = Field(ge=0, le=1, default=1.0)


class _ClassLoss(Table):
    labels: Labels
    weight: float = Field(gt=0, default=1.0)


class SoftmaxTable(_ClassLoss):
    """Cross-entropy of a linear layer on the unit embedding times `scale` (losses/softmax.py)."""

    kind: Literal["softmax"]
    scale: float = Field(gt=0)


class ArcFaceTable(_ClassLoss):
    """Additive angular margin (losses/arcface.py); `margin` in radians."""

    kind: Literal["arcface"]
    scale: float = Field(gt=0)
    margin: float = Field(ge=0)


class AdaCosTable(_ClassLoss):
    """Cosine softmax with an adaptive scale (losses/adacos.py)."""

    kind: Literal["adacos"]


class SubClusterAdaCosTable(_ClassLoss):
    """AdaCos with several centres a class (losses/sub_cluster_adacos.py), which are learned or stay as drawn.

    `sub_clusters`: how many, or how many in each member of an ensemble.
    """

    kind: Literal["sub_cluster_adacos"]
    sub_clusters: int | tuple[int, ...]
    trainable: bool

    def of_member(self, member: int) -> int:
        """Return the number of sub-clusters of a member."""
        each = self.sub_clusters
        return each if isinstance(each, int) else each[member % len(each)]


class LogOddsTable(_ClassLoss):
    """Cross-entropy of outputs that are log-odds already (losses/log_odds.py)."""

    kind: Literal["log_odds"]


ClassLossTable = Annotated[
    SoftmaxTable | ArcFaceTable | AdaCosTable | SubClusterAdaCosTable | LogOddsTable, Field(discriminator="kind")
]


class Classify(Table):
    """Tell classes apart: the weighted sum of some class losses (objectives/classify.py)."""

    kind: Literal["classify"]
    losses: tuple[ClassLossTable, ...] = Field(min_length=1)


class Reconstruct(Table):
    """Give stacks of frames back (objectives/reconstruct.py)."""

    kind: Literal["reconstruct"]


class OutlierExposure(Table):
    """Tell one machine from all others, with or without a flow beside it (objectives/outlier_exposure.py).

    `serial`: the machine's attributes are told apart too. `flow_weight`: of the flow's loss; the flow itself is the
    network's.
    """

    kind: Literal["outlier_exposure"]
    serial: bool
    attribute_weight: float = Field(ge=0)
    flow_weight: float = Field(ge=0)


class Nothing(Table):
    """The network has no parameters: its backend learns all there is to learn."""

    kind: Literal["none"]


ObjectiveTable = Annotated[Classify | Reconstruct | OutlierExposure | Nothing, Field(discriminator="kind")]


class Training(Table):
    """How a network learns.

    `domains`: whose training normals it learns from. `batch`: crops a step, over all devices together.
    `pseudo_labels`: where the clips of a machine, section and domain have no attributes, the largest number of clusters
    that stand in for them (features/pseudo_labels.py); 0 leaves them one class.
    """

    domains: tuple[Literal["source", "target"], ...] = Field(min_length=1)
    batch: int = Field(ge=2)
    crops: Crops
    objective: ObjectiveTable
    optimiser: Annotated[SGD | Adam | AdamW, Field(discriminator="kind")]
    schedule: tuple[Phase, ...] = Field(min_length=1)
    mixup: Mixup = Mixup(alpha=0.0)
    pseudo_labels: int = Field(ge=0, le=64, default=0)

    @property
    def epochs(self) -> int:
        """Passes over the training clips; none where there is nothing to learn."""
        return 0 if self.objective.kind == "none" else sum(phase.epochs for phase in self.schedule)

    @model_validator(mode="after")
    def _mixes_classes(self) -> Training:
        if self.objective.kind == "reconstruct" and self.mixup.alpha > 0.0:
            raise ValueError("mixup where there are no classes to mix")
        return self
