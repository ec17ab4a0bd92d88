"""`[network]`: which network, and its size."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .tables import Table


class TFResNetSize(Table):
    """The TF-attention ResNet (networks/tf_resnet.py)."""

    kind: Literal["tf_resnet"]
    width: float = Field(ge=1 / 16, le=2)  # of 16 channels in the first stage at least one is left
    pooling: Literal["attention", "average", "max"]
    heads: int = Field(ge=1)
    dims: int = Field(ge=2)


class CompactAndSpectrumSize(Table):
    """A TF-attention ResNet with strides in time, and the mean spectrum (networks/compact_and_spectrum.py)."""

    kind: Literal["compact_and_spectrum"]
    width: float = Field(ge=1 / 16, le=2)
    heads: int = Field(ge=1)
    dims: int = Field(ge=2)
    time_strides: int = Field(ge=0, le=5)
    bands_together: int = Field(ge=1)


class MeanSpectrumSize(Table):
    """The mean spectrum alone, which has nothing to learn (networks/mean_spectrum.py)."""

    kind: Literal["mean_spectrum"]


class MobileNetV2Size(Table):
    """MobileNetV2 as an embedder (networks/mobilenetv2.py)."""

    kind: Literal["mobilenetv2"]
    width: float = Field(ge=0.25, le=1.4)  # the paper's own end at 0.35 and 1.4
    dims: int = Field(ge=2)


class MobileNetV2ClassifierSize(Table):
    """MobileNetV2 whose outputs are the log-odds of its classes (networks/mobilenetv2_classifier.py)."""

    kind: Literal["mobilenetv2_classifier"]
    width: float = Field(ge=0.25, le=1.4)


class DenseAutoencoderSize(Table):
    """The autoencoder of stacked frames (networks/dense_autoencoder.py).

    `statistics`: what it gives of the residuals: their mean square `error`, or their `moments`.
    """

    kind: Literal["dense_autoencoder"]
    statistics: Literal["error", "moments"]


class SubclusterResNetSize(Table):
    """The ResNet of the sub-cluster AdaCos systems (networks/subcluster_resnet.py)."""

    kind: Literal["subcluster_resnet"]
    dims: int = Field(ge=2)


class TwoBranchSize(Table):
    """Spectrogram and spectrum branches (networks/two_branch.py); `bias`: with biases, an ablation."""

    kind: Literal["two_branch"]
    bias: bool


class ResNet18FlowSize(Table):
    """ResNet-18 and a normalising flow over its last map (networks/resnet18_flow.py).

    `width` multiplies the channels of the ResNet; `steps`: couplings of the flow; `latent`: "none" without a flow.
    """

    kind: Literal["resnet18_flow"]
    width: float = Field(ge=1 / 16, le=1)
    steps: int = Field(ge=1)
    latent: Literal["none", "standard", "domain_invariant"]


Network = Annotated[
    TFResNetSize
    | CompactAndSpectrumSize
    | MeanSpectrumSize
    | MobileNetV2Size
    | MobileNetV2ClassifierSize
    | DenseAutoencoderSize
    | SubclusterResNetSize
    | TwoBranchSize
    | ResNet18FlowSize,
    Field(discriminator="kind"),
]
"""Which network, and its size: `kind` decides which keys there are."""
