"""Which layers stay in higher precision: measured on embeddings, one layer at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from ..heard import Embeds, Feed
from .calibration import find_ranges, tensors
from .plan import QuantisationPlan
from .quantise import written
from .view import GraphView

BUDGET = 0.005
"""Largest share of the variance within a machine that eight bits may add as noise. Scores of the default network
correlate with those of fp32, for the worst machine, by 0.985 at 0.012 and by 0.997 at 0.004; 0.99 is due."""

_NARROW, _NARROW_POINTWISE = 16, 8
# On fewer channels onnxruntime is slower in int8 than in fp32, and such layers weigh nothing. 1×1 kernels bear fewer.
_MOST_KEPT = 1 / 3  # of all multiplications: at full width a stream is then 1.6 times as fast as in fp32; 1.5 is due

Plans = dict[str, QuantisationPlan]


@dataclass(frozen=True)
class Sensitivity:
    """A layer: how many weights it has, the noise that it alone adds in int8, and the precision it was given."""

    part: str
    layer: str
    operator: str
    weights: int
    noise: float
    precision: str


@dataclass(frozen=True)
class Sweep:
    """What a sweep found: a plan for each graph, the noise of all in int8, as planned, and of each layer."""

    plans: Mapping[str, QuantisationPlan]
    unplanned: float
    noise: float
    layers: tuple[Sensitivity, ...]

    def table(self) -> str:
        """Return the sweep as text, the most sensitive layer first."""
        rows = [
            f"{each.part:<8} {each.layer:<24} {each.operator:<7} {each.weights:>9,} {each.noise:9.2e} {each.precision}"
            for each in sorted(self.layers, key=lambda each: -each.noise)
        ]
        noise = f"noise, of the variance within a machine: {self.unplanned:.2e} in int8, {self.noise:.2e} as planned"
        return "\n".join([noise, *rows])


def sweep(
    graphs: Mapping[str, bytes],
    feeds: Mapping[str, Sequence[Feed]],
    embeds: Embeds,
    *,
    budget: float = BUDGET,
) -> Sweep:
    """Choose the layers that stay in higher precision.

    Layers of few channels stay in float32, which is faster there. Then, while embeddings have more noise than the
    budget, the layer that alone adds the most keeps float32 activations, as long as such layers are a small part of the
    work. One that would be too much is passed over, and one whose noise is that of its weights, which stay int8. The
    same inputs always give the same plans.

    Args:
        graphs: all fp32 graphs between features and embeddings, as exported, by part.
        feeds: inputs that make the tensors of each what they are on training normals.
        embeds: embeds normals that the ranges were not taken from, several of each machine.
        budget: noise as a share of the variance within a machine (`noise_of`).
    """
    views = {part: GraphView(onnx.load_from_string(graph)) for part, graph in graphs.items()}
    ranges = {part: find_ranges(graph, feeds[part]) for part, graph in graphs.items()}
    exact = embeds(graphs)

    def noise(plans: Plans) -> float:
        return noise_of(embeds({part: written(graphs[part], ranges[part], plans[part]) for part in graphs}), exact)

    nothing = {part: QuantisationPlan(float32=tuple(node.name for node in view.layers)) for part, view in views.items()}
    plans = {part: unmeasured(graph) for part, graph in graphs.items()}
    narrow = {(part, name) for part, plan in plans.items() for name in plan.float32}
    weights = {(part, node.name): view.weights_of(node.name) for part, view in views.items() for node in view.layers}
    alone = {key: noise(nothing | {key[0]: _without(nothing[key[0]], key[1])}) for key in weights if key not in narrow}
    unplanned = left = noise(plans)
    work = {(part, name): count for part in graphs for name, count in _work(views[part], graphs[part], feeds[part])}
    spare = _MOST_KEPT * sum(work.values())
    for part, name in sorted(alone, key=lambda each: -alone[each]):
        if left <= budget:
            break
        if work[part, name] > spare:
            continue
        kept = QuantisationPlan(weights=(*plans[part].weights, name), float32=plans[part].float32)
        if (less := noise(plans | {part: kept})) < left:
            plans[part], left = kept, less
            spare -= work[part, name]
    layers = (
        Sensitivity(
            part,
            node.name,
            node.op_type,
            weights[part, node.name],
            alone.get((part, node.name), 0.0),
            _precision(plans[part], node.name),
        )
        for part, view in views.items()
        for node in view.layers
    )
    return Sweep(plans, unplanned, left, tuple(layers))


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


def _work(view: GraphView, graph: bytes, feeds: Sequence[Feed]) -> Iterator[tuple[str, int]]:
    """Yield each layer and how many multiplications it makes in one run."""
    sizes = {name: x.size for name, x in tensors(graph, feeds[:1])}
    for node in view.layers:
        weights = view.constant(node.input[1])
        assert weights is not None
        across = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
        outputs = weights.shape[0 if node.op_type == "Conv" or across else -1]
        yield node.name, sizes[node.output[0]] * weights.size // outputs


def _without(plan: QuantisationPlan, layer: str) -> QuantisationPlan:
    return QuantisationPlan(float32=tuple(name for name in plan.float32 if name != layer))


def _precision(plan: QuantisationPlan, layer: str) -> str:
    if layer in plan.weights:
        return "weights"
    return "float32" if layer in plan.float32 else "int8"


def noise_of(found: Sequence[NDArray[np.float32]], exact: Sequence[NDArray[np.float32]]) -> float:
    """Return Σ |d − mean d|² / Σ |e − mean e|², of the machine where it is largest.

    e: embeddings of the exact graphs; d: what the others add to them. Scores tell a machine's sounds from its own
    normals, so what counts is the variance within it, which is a small part of the variance over machines. A shift of
    all its embeddings is no noise: centres are those of the int8 graph and have it too.
    """
    differences = (np.asarray(ours, np.float64) - theirs for ours, theirs in zip(found, exact, strict=True))
    least = float(np.finfo(np.float64).tiny)  # of a machine whose embeddings are all the same
    return max(
        _squares(d) / max(_squares(np.asarray(e, np.float64)), least) for d, e in zip(differences, exact, strict=True)
    )


def _squares(x: NDArray[np.float64]) -> float:
    return float(np.square(x - x.mean(axis=0)).sum())
