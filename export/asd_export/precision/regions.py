"""Which tensors of a graph are stored in eight bits, so that onnxruntime fuses what lies between and TensorRT reads it.

Both want symmetric scales, and onnxruntime's kernels on x86 want unsigned activations. From what its optimiser does:

1. A tensor that is never negative is uint8 with the zero point 0 and the scale of an int8, max/127. A ReLU becomes part
   of the convolution before it. TensorRT reads such a pair as int8, with the same values.
2. A signed tensor is int8, and its zero point is the one scalar that the onnxruntime engine knows how to make unsigned.
3. What a clip bounds on both sides, if a layer without padding takes it, is a signed tensor that runs from bound to
   bound: its type saturates where the clip would cut, and the layer's bias takes up the difference. Padding would put
   the middle where 0 is meant.
4. Concat, Slice and MaxPool only move numbers: what goes in and what comes out share one scale, and nothing is
   rescaled. A signed one is not moved in eight bits: the features, which are an input.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import onnx

from .calibration import Range
from .view import GraphView

_MOVING = ("Concat", "Slice", "MaxPool")
LEVELS = 127
"""Of an int8 on either side of 0; a uint8 of the same scale has twice as many."""
_LARGEST = 255
_NEVER_NEGATIVE = ("Relu", "Sigmoid", "Softmax", "Softplus", "Abs", "Sqrt", "Exp")


@dataclass
class Regions:
    """What is int8 in a graph.

    `layers`: names of int8 layers. `between`: names of the other nodes that work on int8 tensors. `rectifiers`: names
    of ReLUs and clips that belong to the node before them. `unsigned`, `signed`: the tensors stored in eight bits.
    `largest`: of a tensor, or of all that share its scale, the largest absolute value. `middle`: of a tensor between
    bounds, the number that its int8 0 stands for.
    """

    layers: Collection[str]
    between: set[str] = field(default_factory=set)
    rectifiers: set[str] = field(default_factory=set)
    unsigned: set[str] = field(default_factory=set)
    signed: set[str] = field(default_factory=set)
    largest: dict[str, float] = field(default_factory=dict)
    middle: dict[str, float] = field(default_factory=dict)

    def stored(self, tensor: str) -> bool:
        """Say whether a tensor is stored in eight bits."""
        return tensor in self.unsigned or tensor in self.signed


def find_regions(view: GraphView, layers: Collection[str], ranges: Mapping[str, Range]) -> Regions:
    """Return what of a graph is int8 if these layers are.

    Args:
        view: the fp32 graph.
        layers: names of the layers to compute in int8.
        ranges: of every float tensor that calibration has seen.
    """
    found = Regions(layers)
    groups = _sharing(view, ranges)
    for members in groups:
        largest = max(max(-low, high) for low, high in (ranges[name] for name in members))
        found.largest |= dict.fromkeys(members, largest)
        if _never_negative(view, members, ranges) and any(_touches(view, name, layers) for name in members):
            found.unsigned.update(members)
    for node in view.nodes:
        result = result_of(view, node)
        if node.name in layers and node.op_type == "Conv":
            _keep_result(found, view, node, result)
            _keep_between_bounds(found, view, result)
        elif node.op_type == "Add" and all(map(found.stored, node.input)):
            found.between.add(node.name)
            _keep_result(found, view, node, result)
        elif node.op_type in _MOVING and node.output[0] in found.unsigned:
            found.between.add(node.name)
    return found


def result_of(view: GraphView, node: onnx.NodeProto) -> str:
    """Return the tensor that a node makes together with its rectifier."""
    rectifier = view.rectifier(node) if node.op_type in ("Conv", "Add") else None
    return str((node if rectifier is None else rectifier).output[0])


def moved(node: onnx.NodeProto) -> list[str]:
    """Return the tensors that a moving node takes its numbers from."""
    return list(node.input if node.op_type == "Concat" else node.input[:1])


def _keep_result(found: Regions, view: GraphView, node: onnx.NodeProto, result: str) -> None:
    if result != node.output[0]:
        found.rectifiers.add(view.producer[result].name)
        found.unsigned.add(result)
    elif result not in found.unsigned:
        found.signed.add(result)


def bound_at_work(found: Regions, view: GraphView, tensor: str) -> float | None:
    """Return the upper bound of a clip if the tensor's uint8 reaches beyond it, else None: then it saturates before.

    Calibration need not have reached the bound: what is twice as loud as any normal does.
    """
    high = view.upper_bound(tensor)
    return None if high is None or round(high * LEVELS / found.largest[tensor]) >= _LARGEST else high


def _keep_between_bounds(found: Regions, view: GraphView, result: str) -> None:
    taker, high = view.only_consumer(result), bound_at_work(found, view, result)
    if high is None or taker is None or taker.op_type != "Conv" or taker.name not in found.layers:
        return
    if any(any(attribute.ints) for attribute in taker.attribute if attribute.name == "pads"):
        return
    found.unsigned.discard(result)
    found.signed.add(result)
    found.middle[result] = high * 128 / 255  # -128 stands for 0, and 127 for the bound
    found.largest[result] = high * 127 / 255


def _sharing(view: GraphView, ranges: Mapping[str, Range]) -> list[list[str]]:
    """Group the tensors that moving nodes tie together; all others are alone."""
    leader = {name: name for name in ranges}

    def lead(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    for node in view.nodes:
        if node.op_type in _MOVING and {node.output[0], *moved(node)} <= ranges.keys():
            for name in moved(node):
                leader[lead(name)] = lead(node.output[0])
    groups = defaultdict(list)
    for name in ranges:
        groups[lead(name)].append(name)
    return list(groups.values())


def _never_negative(view: GraphView, members: Collection[str], ranges: Mapping[str, Range]) -> bool:
    """Say whether no source of a group can be negative: by its operator, or as an input by what was seen."""
    for name in members:
        node = view.producer.get(name)
        if node is None:
            if ranges[name][0] < 0.0:
                return False
        elif node.op_type not in _MOVING or not set(moved(node)) <= set(members):
            before = view.producer.get(node.input[0]) if node.input else None
            if node.op_type not in _NEVER_NEGATIVE and not (before is not None and view.rectifier(before) is node):
                return False
    return True


def _touches(view: GraphView, name: str, layers: Collection[str]) -> bool:
    """Say whether an int8 layer takes a tensor, or makes it together with its rectifier."""
    if any(node.name in layers and node.input[0] == name for node in view.consumers.get(name, [])):
        return True
    node = view.producer.get(name)
    before = view.producer.get(node.input[0]) if node is not None and node.input else None
    makers = [each for each in (node, before) if each is not None and each.op_type == "Conv"]
    return any(each.name in layers and result_of(view, each) == name for each in makers)
