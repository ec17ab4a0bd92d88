"""What of a graph is computed in int8."""

from __future__ import annotations

from asd_edge.strict import Strict, Text


class QuantisationPlan(Strict):
    """A layer is a convolution or a matrix product with constant weights, by the name of its node in the fp32 graph.

    `weights`: layers whose weights are int8 and whose activations stay float32. `float32`: layers that stay as they
    are.
    """

    weights: tuple[Text, ...] = ()
    float32: tuple[Text, ...] = ()
