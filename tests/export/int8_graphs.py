"""Small fp32 graphs with what int8 has to deal with, and what they hear."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from asd_export.heard import Feed

CHANNELS = 16


class Graph:
    """Writes a graph of random weights."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def add(self, operator: str, inputs: list[str], **attributes: int | list[int]) -> str:
        name = f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [name], name=f"node_{name}", **attributes))
        return name

    def constant(self, value: NDArray[np.generic]) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(value, name))
        return name

    def weights(self, *shape: int) -> str:
        """Weights whose output channels are of very different sizes: one scale for all would show."""
        inputs = int(np.prod(shape[1:]))
        sizes = 2.0 ** self._random.uniform(-3.0, 1.0, (shape[0], *[1] * (len(shape) - 1)))
        return self.constant((self._random.normal(0.0, inputs**-0.5, shape) * sizes).astype(np.float32))

    def convolution(self, x: str, *shape: int, group: int = 1, pads: tuple[int, ...] = (1, 1, 1, 1)) -> str:
        bias = self.constant(self._random.normal(0.0, 0.2, shape[0]).astype(np.float32))
        return self.add("Conv", [x, self.weights(*shape), bias], group=group, pads=list(pads))

    def clip(self, x: str, high: float) -> str:
        return self.add("Clip", [x, *(self.constant(np.array(bound, np.float32)) for bound in (0.0, high))])

    def finish(self, outputs: dict[str, str], inputs: dict[str, list[int | str]]) -> bytes:
        """Serialise; `outputs`: tensors by the names they leave the graph with."""
        for name, tensor in outputs.items():
            self._nodes.append(helper.make_node("Identity", [tensor], [name], name=f"out_{name}"))
        given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
        made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self._nodes, "small", given, made, self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        return bytes(onnx.shape_inference.infer_shapes(model).SerializeToString())


def inverted_residuals(*, high: float = 1.0) -> bytes:
    """MobileNetV2 in small: clips that are at work, depthwise, linear bottlenecks that two nodes take, an embedding."""
    graph = Graph(0)
    x = graph.clip(graph.convolution("features", CHANNELS, 1, 3, 3), high)
    x = graph.convolution(x, CHANNELS, CHANNELS, 1, 1, pads=(0, 0, 0, 0))
    for _ in range(2):
        y = graph.clip(graph.convolution(x, 64, CHANNELS, 1, 1, pads=(0, 0, 0, 0)), high)
        y = graph.clip(graph.convolution(y, 64, 1, 3, 3, group=64), high)
        y = graph.convolution(y, CHANNELS, 64, 1, 1, pads=(0, 0, 0, 0))
        x = graph.add("Add", [x, y])
    pooled = graph.add("GlobalAveragePool", [x])
    flat = graph.add("Flatten", [pooled])
    bias = graph.constant(np.linspace(-0.1, 0.1, 32, dtype=np.float32))
    embedding = graph.add("Gemm", [flat, graph.weights(32, CHANNELS), bias], transB=1)
    return graph.finish({"embedding": embedding}, {"features": ["batch", 1, 12, 12]})


def stream() -> bytes:
    """A residual block of a stream graph: the past in front, the next past cut off, the shortcut delayed."""
    graph = Graph(1)
    x = graph.add("Relu", [graph.convolution("features", CHANNELS, 1, 3, 3)])
    joined = graph.add("Concat", ["past_00", x], axis=2)
    y = graph.convolution(joined, CHANNELS, CHANNELS, 3, 3, pads=(0, 1, 0, 1))
    frames = graph.add("Shape", [x], start=2, end=3)
    start, end, axis = (graph.constant(np.array([value], np.int64)) for value in (0, 2**62, 2))
    delayed = graph.add("Slice", [joined, start, frames, axis])
    y = graph.add("Relu", [graph.add("Add", [delayed, y])])
    last = graph.add("Slice", [joined, graph.constant(np.array([-2], np.int64)), end, axis])
    inputs: dict[str, list[int | str]] = {
        "features": ["batch", 1, "frames", 12],
        "past_00": ["batch", CHANNELS, 2, 12],
    }
    return graph.finish({"frame_features": y, "next_past_00": last}, inputs)


def feeds(graph: bytes, *, count: int = 6, seed: int = 0) -> list[Feed]:
    """Inputs of a batch of two; a past is never negative, as behind a ReLU."""
    random = np.random.default_rng(seed)
    made: list[Feed] = []
    for _ in range(count):
        feed: Feed = {}
        for tensor in onnx.load_from_string(graph).graph.input:
            sizes = [
                dim.dim_value or {"batch": 2, "frames": 9}[dim.dim_param] for dim in tensor.type.tensor_type.shape.dim
            ]
            loud = random.uniform(0.2, 4.0, (2, 1, 1, 1))  # segments that differ, as sounds do
            x = (loud * random.standard_normal(sizes)).astype(np.float32)
            feed[tensor.name] = np.maximum(x, 0.0) if tensor.name.startswith("past") else x
        made.append(feed)
    return made
