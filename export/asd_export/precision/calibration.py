"""The range of each tensor of a graph, from what it holds when the graph hears training normals."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization.calibrate import HistogramCollector

from ..heard import Feed
from .regions import Range
from .view import GraphView

Method = Literal["minmax", "percentile", "entropy"]
METHODS: tuple[Method, ...] = ("minmax", "percentile", "entropy")

_BINS, _LEVELS, _PERCENTILE = 2048, 128, 99.99
_MOST = 64  # feeds are enough: a range changes little, and a stream makes hundreds


def some(feeds: Sequence[Feed], most: int) -> list[Feed]:
    """Choose feeds evenly from first to last."""
    if len(feeds) <= most:
        return list(feeds)
    return [feeds[round(i)] for i in np.linspace(0, len(feeds) - 1, most)]


def find_ranges(graph: bytes, feeds: Sequence[Feed], method: Method) -> dict[str, Range]:
    """Return the range of every float tensor that a node of a graph takes or makes.

    minmax takes what was seen; percentile leaves out the largest ten-thousandth; entropy clips where the distribution
    on 128 levels diverges least from the one seen (Migacz: 8-bit inference with TensorRT, GTC 2017). The last two as
    onnxruntime computes them, for the tensors around layers only: they take their time.
    """
    model = onnx.load_from_string(graph)
    around = _around_layers(GraphView(model))
    outputs = {tensor.name for tensor in model.graph.output}
    names = [name for node in model.graph.node for name in node.output if name and name not in outputs]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = _session(model)
    every = [tensor.name for tensor in session.get_outputs()]
    seen: dict[str, Range] = {}
    histograms = HistogramCollector(
        method=method,
        symmetric=True,
        num_bins=_BINS,
        num_quantized_bins=_LEVELS,
        percentile=_PERCENTILE,
        scenario="same",
    )
    for feed in some(feeds, _MOST):
        values: Mapping[str, NDArray[Any]] = dict(zip(every, session.run(every, feed), strict=True)) | feed
        floats = {name: x for name, x in values.items() if x.dtype == np.float32 and x.size}
        for name, x in floats.items():
            low, high = seen.get(name, (0.0, 0.0))
            seen[name] = min(low, float(x.min())), max(high, float(x.max()))
        if method != "minmax":
            histograms.collect_value({name: x for name, x in floats.items() if name in around})
    if method == "minmax":
        return seen
    with redirect_stdout(io.StringIO()):  # it tells of every tensor
        bounds = histograms.compute_entropy() if method == "entropy" else histograms.compute_percentile()
    return {name: _within(each, float(bounds[name][1])) if name in bounds else each for name, each in seen.items()}


def _within(seen: Range, bound: float) -> Range:
    return max(seen[0], -bound), min(seen[1], bound)


def _around_layers(view: GraphView) -> set[str]:
    """Return the tensors that may get a scale."""
    taken = {
        name for node in view.nodes if node.op_type in ("Add", "Concat", "Slice", "MaxPool") for name in node.input
    }
    made = {(view.rectifier(node) or node).output[0] for node in view.nodes if node.op_type in ("Conv", "Add")}
    return taken | made | {node.input[0] for node in view.layers}


def _session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # fused tensors are not seen
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
