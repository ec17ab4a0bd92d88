"""Outlier exposure with a normalizing flow: one machine type against the sound of all others."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor

from ..losses.bce_pair import BCEPair
from ..networks.fast_flow import log_normal
from ..networks.resnet18_flow import ResNet18Flow
from .objective import Batch, Objective

_SPACING = 5.0  # between the means of z_d of two neighbouring values, in standard deviations (section 4.2)
_PURE = 1.0 - 1e-6  # share of the machine from which a clip counts as unmixed with pseudo-anomalies


class OutlierExposure(Objective):
    """Fujimura, Kuroyanagi, Hayashi, Toda, DCASE 2023 report, equations 2 and 6 to 8 and table 1.

        L = L_machine + λ_section · L_att + λ_flow · L_flow,    L_flow = −mean log p(f(x))
        log p(h) = log N(z_d; k·v, 1) + log N(z_c; 0, 1) + log|det J|,    z = flow(h)

    | variant | serial | latent of the network |
    |---|---|---|
    | OE | no | none |
    | OE-Flow | no | standard |
    | OE-DFlow | no | domain_invariant |
    | SerialOE-Flow | yes | standard |
    | SerialOE-DFlow | yes | domain_invariant |

    A clip of the machine has t = 1, all others are pseudo-anomalies with t = 0; mixup makes t and the attribute's
    labels soft. Clips with a part of a pseudo-anomaly stay out of L_flow. v is the value of the dominant attribute;
    k puts neighbouring values 5 standard deviations apart. One value has no neighbour and needs no place: k = 0 [ours].

    Args:
        network: ResNet-18 and, unless its latent is "none", the flow.
        machine: column of the machine in targets["machine"].
        attributes: v of each of the machine's columns in targets["attributes"] (`attribute_values`).
        serial: with L_att, else λ_section = 0.
        attribute_weight: λ_section.
        flow_weight: λ_flow.

    Raises:
        ValueError: a domain-invariant latent or L_att without an attribute.
    """

    network: ResNet18Flow
    columns: Tensor
    places: Tensor

    def __init__(
        self,
        network: ResNet18Flow,
        *,
        machine: int,
        attributes: Mapping[int, float],
        serial: bool,
        attribute_weight: float = 5.0,
        flow_weight: float = 1e-7,
    ) -> None:
        super().__init__()
        if not attributes and (serial or network.latent == "domain_invariant"):
            raise ValueError("no attribute for L_att or the domain-invariant latent")
        self.network, self.machine, self.serial, self.flow_weight = network, machine, serial, flow_weight
        classes = 1 + (len(attributes) if serial else 0)
        self.loss = BCEPair(network.pooled, classes, attribute_weight=attribute_weight)
        self.register_buffer("columns", torch.tensor(list(attributes), dtype=torch.int64))
        values = list(attributes.values())
        self.register_buffer("places", torch.tensor([_spread(values) * v for v in values], dtype=torch.float32))

    def forward(self, batch: Batch) -> Tensor:
        """See `Objective`; needs the labels "machine" and "attributes"."""
        x = self.network.feature_map(batch.features)
        machine = batch.targets["machine"][:, self.machine]
        attributes = batch.targets["attributes"].index_select(1, self.columns)  # zero for pseudo-anomalies
        target = torch.cat([machine[:, None], attributes], dim=1) if self.serial else machine[:, None]
        loss: Tensor = self.loss(x.mean(dim=(2, 3)), target)
        if self.network.flow is None:
            return loss
        # All go through the flow, whatever their number that counts: each process then has gradients for its weights.
        pure = (machine >= _PURE).to(x.dtype)
        surprise = -(pure * self._log_likelihood(x, attributes)).sum() / pure.sum().clamp_min(1.0)
        return loss + self.flow_weight * surprise

    def _log_likelihood(self, x: Tensor, attributes: Tensor) -> Tensor:
        assert self.network.flow is not None
        z, log_det = self.network.flow(x)
        split = self.network.domain_channels
        log_p: Tensor = log_normal(z[:, split:]) + log_det  # [batch]
        if split:
            place = self.places[attributes.argmax(dim=1)][:, None, None, None]
            log_p = log_p + log_normal(z[:, :split], place)
        return log_p


def _spread(values: list[float]) -> float:
    """k = 5 / the smallest distance between two values."""
    return _SPACING / min((b - a for a, b in pairwise(sorted(set(values)))), default=float("inf"))
