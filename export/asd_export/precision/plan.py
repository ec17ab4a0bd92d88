"""What of a graph is computed in int8, and how its ranges are found."""

from __future__ import annotations

from asd_edge.strict import Strict, Text

from .calibration import Method


class QuantisationPlan(Strict):
    """A layer is a convolution or a matrix product with constant weights, by the name of its node in the fp32 graph.

    `method`: how a tensor's range follows from what it held in calibration. `weights`: layers whose weights are int8
    and whose activations stay float32. `float32`: layers that stay as they are.
    """

    method: Method = "minmax"
    weights: tuple[Text, ...] = ()
    float32: tuple[Text, ...] = ()
