"""Which layers of a graph stay in higher precision: measured, one layer at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from asd_edge.engines.onnx_session import open_session

from ..heard import Feed
from .calibration import METHODS, Method, Range, observe, some
from .plan import QuantisationPlan
from .quantise import written
from .view import GraphView

BUDGET = 0.01
"""Largest share of the outputs' variance that eight bits may add as noise: scores then correlate by about 0.995."""

_COMPARED = 12  # feeds that are run through every candidate
_NARROW, _NARROW_POINTWISE = 16, 8
# On fewer channels onnxruntime is slower in int8 than in fp32, and such layers weigh nothing. 1×1 kernels bear fewer.
_MOST_KEPT = 0.25  # of all weights


@dataclass(frozen=True)
class Sensitivity:
    """A layer: how many weights it has, the noise that it alone adds in int8, and the precision it was given."""

    layer: str
    operator: str
    weights: int
    noise: float
    precision: str


@dataclass(frozen=True)
class Sweep:
    """What a sweep found: the plan, the noise of the graph by method, with the plan, and of each layer."""

    plan: QuantisationPlan
    methods: Mapping[Method, float]
    noise: float
    layers: tuple[Sensitivity, ...]

    def table(self) -> str:
        """Return the sweep as text, the most sensitive layer first."""
        head = [f"{method}: {noise:.2e} of the variance" for method, noise in self.methods.items()]
        rows = [
            f"{each.layer:<24} {each.operator:<7} {each.weights:>9,} {each.noise:9.2e} {each.precision}"
            for each in sorted(self.layers, key=lambda each: -each.noise)
        ]
        return "\n".join([*head, *rows, f"as planned: {self.noise:.2e}"])


def sweep(graph: bytes, feeds: Sequence[Feed], *, budget: float = BUDGET) -> Sweep:
    """Choose the layers that stay in higher precision, and compare the methods of calibration.

    Layers of few channels stay in float32, which is faster there. Ranges are those seen, whatever clipping them would
    gain on normals: an anomaly is what lies beyond. Then, while the graph adds more noise than the budget, the layer
    that alone adds the most keeps float32 activations, as long as such layers are a small part of the graph: the others
    are what int8 makes faster.
    The same graph and feeds always give the same plan.

    Args:
        graph: an fp32 graph as exported.
        feeds: inputs that make tensors what they are on training normals.
        budget: noise as a share of the outputs' variance.
    """
    view = GraphView(onnx.load_from_string(graph))
    narrow = unmeasured(graph).float32
    wide = [node for node in view.layers if node.name not in narrow]
    most = _MOST_KEPT * sum(view.weights_of(node.name) for node in view.layers)
    trial = _Trial(graph, some(feeds, _COMPARED))
    seen = observe(graph, feeds)
    ranges = {method: {name: each.range(method) for name, each in seen.items()} for method in METHODS}
    plan = QuantisationPlan(float32=narrow)
    noises = {method: trial.noise(ranges[method], plan) for method in METHODS}
    noise = noises[plan.method]
    alone: dict[str, float] = {}
    for node in wide:
        others = tuple(each.name for each in view.layers if each.name != node.name)
        alone[node.name] = trial.noise(ranges[plan.method], QuantisationPlan(float32=others))
    for name in sorted(alone, key=lambda each: -alone[each]):
        kept = (*plan.weights, name)
        if noise <= budget or sum(map(view.weights_of, kept)) > most:
            break
        plan = QuantisationPlan(weights=kept, float32=narrow)
        noise = trial.noise(ranges[plan.method], plan)
    chosen = dict.fromkeys(narrow, "float32") | dict.fromkeys(plan.weights, "weights")
    layers = (
        Sensitivity(
            node.name,
            node.op_type,
            view.weights_of(node.name),
            alone.get(node.name, 0.0),
            chosen.get(node.name, "int8"),
        )
        for node in view.layers
    )
    return Sweep(plan, noises, noise, tuple(layers))


def unmeasured(graph: bytes) -> QuantisationPlan:
    """Return the plan that speed alone asks for: layers of few channels in float32, all others in int8."""
    view = GraphView(onnx.load_from_string(graph))
    return QuantisationPlan(float32=tuple(node.name for node in view.layers if _is_narrow(view, node)))


def _is_narrow(view: GraphView, node: onnx.NodeProto) -> bool:
    """Say whether a convolution has few channels on one side; one of each channel by itself has a kernel of its own."""
    weights = view.constant(node.input[1])
    if weights is None or node.op_type != "Conv":
        return False
    outputs, inputs, *kernel = weights.shape
    groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
    least = _NARROW if max(kernel) > 1 else _NARROW_POINTWISE
    return min(inputs, outputs) < least and groups == 1


class _Trial:
    """Runs candidates for a graph beside it, on the same inputs."""

    def __init__(self, graph: bytes, feeds: Sequence[Feed]) -> None:
        self._graph, self._feeds = graph, feeds
        model = onnx.load_from_string(graph)
        self._inputs = [tensor.name for tensor in model.graph.input]
        self._outputs = [tensor.name for tensor in model.graph.output]
        # A past is an intermediate tensor: it counts by what becomes of it.
        self._compared = [name for name in self._outputs if not name.startswith("next_past")]
        self._expected = self._run(graph)

    def noise(self, ranges: Mapping[str, Range], plan: QuantisationPlan) -> float:
        """Return Σ (int8 − fp32)² / Σ (fp32 − mean)², of the output where it is largest."""
        found = self._run(written(self._graph, ranges, plan))
        return max(map(_share, found, self._expected))

    def _run(self, graph: bytes) -> list[NDArray[np.float64]]:
        session = open_session(graph, inputs=self._inputs, outputs=self._outputs, threads=1, arena=True)
        runs = [session.run(self._compared, feed) for feed in self._feeds]
        # A row is what one segment, or all frames of one feed, give.
        return [
            np.concatenate([part.reshape(-1, part.shape[-1]) for part in parts]).astype(np.float64)
            for parts in zip(*runs, strict=True)
        ]


def _share(found: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    variance = float(np.square(expected - expected.mean(axis=0)).sum())
    least = float(np.finfo(np.float64).tiny)  # of an output that is always the same
    return float(np.square(found - expected).sum()) / max(variance, least)
