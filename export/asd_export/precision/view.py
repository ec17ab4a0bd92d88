"""An ONNX graph as this room reads it: who makes a tensor, who takes it, which are constant."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

_LEAST_WEIGHTS = 2  # dimensions of a layer's weights: a scale along one axis is no layer


class GraphView:
    """Lookups in a parsed model, which must not change meanwhile."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.nodes: list[onnx.NodeProto] = list(model.graph.node)
        self.inputs = [tensor.name for tensor in model.graph.input]
        self.outputs = [tensor.name for tensor in model.graph.output]
        self._initializers = {tensor.name: tensor for tensor in model.graph.initializer}

    @cached_property
    def producer(self) -> dict[str, onnx.NodeProto]:
        """The node that makes a tensor."""
        return {name: node for node in self.nodes for name in node.output}

    @cached_property
    def consumers(self) -> dict[str, list[onnx.NodeProto]]:
        """The nodes that take a tensor, once for every input."""
        takers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                takers[name].append(node)
        return takers

    def constant(self, name: str) -> NDArray[np.generic] | None:
        """Return the value of an initialiser, else None."""
        tensor = self._initializers.get(name)
        return None if tensor is None else np.asarray(numpy_helper.to_array(tensor))

    def is_constant(self, name: str) -> bool:
        """Say whether a tensor is an initialiser."""
        return name in self._initializers

    def only_consumer(self, name: str) -> onnx.NodeProto | None:
        """Return the node that alone takes a tensor which is no output of the graph, else None."""
        takers = self.consumers.get(name, [])
        return takers[0] if len(takers) == 1 and name not in self.outputs else None

    def rectifier(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        """Return the ReLU, or the clip from 0 up, that alone takes what a node makes."""
        after = self.only_consumer(node.output[0])
        if after is None:
            return None
        if after.op_type == "Relu":
            return after
        if after.op_type == "Clip" and len(after.input) > 1:
            low = self.constant(after.input[1])
            return after if low is not None and float(low) == 0.0 else None
        return None

    def upper_bound(self, name: str) -> float | None:
        """Return the upper bound of the clip that makes a tensor, else None."""
        node = self.producer.get(name)
        if node is None or node.op_type != "Clip" or len(node.input) < 3:
            return None
        high = self.constant(node.input[2])
        return None if high is None else float(high)

    @cached_property
    def layers(self) -> list[onnx.NodeProto]:
        """The convolutions and matrix products with constant weights, in order."""
        return [node for node in self.nodes if self._is_layer(node)]

    def _is_layer(self, node: onnx.NodeProto) -> bool:
        if node.op_type not in ("Conv", "Gemm", "MatMul") or self.is_constant(node.input[0]):
            return False
        weights = self._initializers.get(node.input[1])
        if weights is None or weights.data_type != onnx.TensorProto.FLOAT or len(weights.dims) < _LEAST_WEIGHTS:
            return False
        attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        plain = attributes.get("alpha", 1.0) == attributes.get("beta", 1.0) == 1.0 and not attributes.get("transA", 0)
        return node.op_type != "Gemm" or plain

    def weights_of(self, layer: str) -> int:
        """Return how many weights a layer has."""
        (node,) = (node for node in self.layers if node.name == layer)
        return int(np.prod(self._initializers[node.input[1]].dims))
