"""What graphs are fed with to find the ranges of their tensors, and the ranges."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stdout

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization.calibrate import HistogramCollector

from asd_edge.dsp.front_end import Frames
from asd_edge.dsp.segments import SegmentSpec
from asd_edge.embedding.streamed import StreamedEmbedding
from asd_edge.engines.embedder import FrameFeatures, Pasts, StreamEmbedder
from asd_edge.engines.onnx_stream import OnnxStreamEmbedder, StreamTensors

from .plan import Method
from .regions import Range

Array = NDArray[np.float32]
Feed = Mapping[str, Array]
"""The inputs of one run of a graph, by name."""

_BINS, _LEVELS, _PERCENTILE = 2048, 128, 99.99


def find_ranges(graph: bytes, feeds: Iterable[Feed], method: Method) -> dict[str, Range]:
    """Return the range of every float tensor of a graph, as it runs with these inputs.

    minmax takes what was seen; percentile leaves out the largest ten-thousandth; entropy clips where the distribution
    on 128 levels diverges least from the one seen (Migacz: 8-bit inference with TensorRT, GTC 2017). The last two as
    onnxruntime computes them.
    """
    model = onnx.load_from_string(graph)
    outputs = {tensor.name for tensor in model.graph.output}
    names = [name for node in model.graph.node for name in node.output if name and name not in outputs]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # fused tensors are not seen
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    every = [tensor.name for tensor in session.get_outputs()]
    seen: dict[str, Range] = {}
    histograms = HistogramCollector(
        method=method, symmetric=True, num_bins=_BINS, num_quantized_bins=_LEVELS, percentile=_PERCENTILE, scenario="same"
    )
    for feed in feeds:
        values = dict(zip(every, session.run(every, dict(feed)), strict=True)) | dict(feed)
        floats = {name: x for name, x in values.items() if x.dtype == np.float32 and x.size}
        for name, x in floats.items():
            low, high = seen.get(name, (0.0, 0.0))
            seen[name] = min(low, float(x.min())), max(high, float(x.max()))
        if method != "minmax":
            histograms.collect_value(floats)
    if method == "minmax":
        return seen
    with redirect_stdout(io.StringIO()):  # it tells of every tensor
        bounds = histograms.compute_entropy() if method == "entropy" else histograms.compute_percentile()
    return {name: _within(ranges, float(bounds[name][1])) for name, ranges in seen.items()}


def _within(seen: Range, bound: float) -> Range:
    return max(seen[0], -bound), min(seen[1], bound)
