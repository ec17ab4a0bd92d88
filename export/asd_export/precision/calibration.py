"""The range of each tensor of a graph, from what it holds when the graph hears training normals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from ..heard import Feed
from .view import GraphView

Method = Literal["minmax", "percentile", "entropy"]
METHODS: tuple[Method, ...] = ("minmax", "percentile", "entropy")

Range = tuple[float, float]
"""Least and largest value of a tensor; 0 lies between them."""

_BINS, _LEVELS = 2048, 128
_PERCENTILE = 0.9999
_CANDIDATES = 8  # every eighth bin may be the bound that entropy chooses: a scale need not be finer than 0.4 %
_MOST = 24  # feeds are enough: a range changes little, and a stream makes hundreds


@dataclass
class Seen:
    """What a tensor held: its extremes, and counts of its absolute values in equal bins up to the largest."""

    low: float
    high: float
    counts: NDArray[np.int64]

    def range(self, method: Method) -> Range:
        """Return the range to quantise.

        minmax: what was seen. percentile: without the largest ten-thousandth of the absolute values. entropy: up to
        where 128 levels diverge least from what was seen.
        """
        if method == "minmax":
            return self.low, self.high
        bins = _percentile(self.counts) if method == "percentile" else _entropy(self.counts)
        bound = max(-self.low, self.high) * bins / len(self.counts)
        return max(self.low, -bound), min(self.high, bound)


def find_ranges(graph: bytes, feeds: Sequence[Feed], method: Method) -> dict[str, Range]:
    """Return the range of every float tensor of a graph, as it is with these inputs."""
    return {name: seen.range(method) for name, seen in observe(graph, feeds).items()}


def observe(graph: bytes, feeds: Sequence[Feed]) -> dict[str, Seen]:
    """Return what every float tensor of a graph holds with these inputs. It runs twice: bins need the extremes."""
    session, chosen = _session(graph), some(feeds, _MOST)
    seen: dict[str, Seen] = {}
    for name, x in _floats(session, chosen):
        known = seen.setdefault(name, Seen(0.0, 0.0, np.zeros(_BINS, np.int64)))
        known.low, known.high = min(known.low, float(x.min())), max(known.high, float(x.max()))
    for name, x in _floats(session, chosen):
        largest = max(-seen[name].low, seen[name].high)
        if largest > 0.0:
            seen[name].counts += np.histogram(np.abs(x), _BINS, (0.0, largest))[0]
    return seen


def some(feeds: Sequence[Feed], most: int) -> list[Feed]:
    """Choose feeds evenly from first to last."""
    if len(feeds) <= most:
        return list(feeds)
    return [feeds[round(i)] for i in np.linspace(0, len(feeds) - 1, most)]


def _percentile(counts: NDArray[np.int64]) -> int:
    return int(np.searchsorted(np.cumsum(counts), _PERCENTILE * counts.sum())) + 1


def _entropy(counts: NDArray[np.int64]) -> int:
    """Return the number of bins whose distribution, on 128 levels, has the least relative entropy.

    Migacz: 8-bit inference with TensorRT, GTC 2017, slide 38: P is what was seen with all that is beyond the bound in
    the last bin; Q spreads each level's count evenly over those of its bins that are not empty; KL(P‖Q) is compared.
    The first bin counts as the second: what a ReLU has set to 0 costs nothing at any scale, and would outweigh the rest
    (so does pytorch-quantization).
    """
    best, least = _BINS, np.inf
    counts = np.concatenate((counts[1:2], counts[1:]))
    for bins in range(_LEVELS, _BINS + 1, _CANDIDATES):
        p = counts[:bins].astype(np.float64)
        starts = np.linspace(0, bins, _LEVELS, endpoint=False).astype(np.intp)
        level = np.repeat(np.arange(_LEVELS), np.diff(starts, append=bins))
        filled = p > 0.0
        share = np.add.reduceat(p, starts) / np.maximum(np.add.reduceat(filled, starts, dtype=np.int64), 1)
        q = np.where(filled, share[level], 0.0)
        p[-1] += counts[bins:].sum()
        both = (p > 0.0) & (q > 0.0)
        if not both.any() or (p[~both] > 0.0).any():
            continue  # no level is left for what was clipped: an infinite divergence
        p, q = p / p.sum(), q / q.sum()
        divergence = float(np.sum(p[both] * np.log(p[both] / q[both])))
        if divergence < least:
            best, least = bins, divergence
    return best


def _floats(session: onnxruntime.InferenceSession, feeds: Sequence[Feed]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    names = [tensor.name for tensor in session.get_outputs()]
    for feed in feeds:
        for name, x in (*zip(names, session.run(names, feed), strict=True), *feed.items()):
            if x.dtype == np.float32 and x.size:
                yield name, x


def _session(graph: bytes) -> onnxruntime.InferenceSession:
    """Load a graph that gives out all that may get a scale."""
    model = onnx.load_from_string(graph)
    view = GraphView(model)
    wanted = {node.input[0] for node in view.layers} | {name for node in view.layers for name in node.output}
    for node in view.nodes:
        if node.op_type in ("Add", "Relu", "Clip", "Concat", "Slice", "MaxPool"):
            wanted |= {name for name in (*node.input, *node.output) if not view.is_constant(name)}
    named = {name for node in view.nodes for name in node.output} & wanted
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(named - set(view.outputs)))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # fused tensors are not seen
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
