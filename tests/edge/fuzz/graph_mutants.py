"""Graphs that were valid until something in their structure changed: a generator of attacks that nobody thought of."""

from __future__ import annotations

import struct
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from asd_edge.bundle.operators import OPERATORS

NUMBERS = [0, 1, -1, 2, 3, 7, 16, 17, 64, 128, 255, 4096, 65_536, 1 << 31, -(1 << 31), (1 << 31) - 1, 1 << 40]
NUMBERS += [(1 << 62) + 1, (1 << 63) - 1, -(1 << 63)]
FLOATS = [0.0, -0.0, 1e-45, 1e38, -1e38, float("nan"), float("inf"), float("-inf")]
FOREIGN = ["Loop", "If", "Scan", "ConstantOfShape", "Tile", "Pad", "Range", "Resize", "OneHot", "TopK", "Relu6"]
SCHEMAS = {name: onnx.defs.get_schema(name, 18, "") for name in OPERATORS}

Mutation = Callable[[Random, onnx.GraphProto], None]


def mutated(random: Random, graph: bytes) -> bytes:
    """Return the graph with one to four changes of its structure."""
    model = onnx.load_from_string(graph)
    for _ in range(random.choice([1, 1, 2, 4])):
        if model.graph.node:
            random.choice(MUTATIONS)(random, model.graph)
    return bytes(model.SerializeToString())


def _tensors(graph: onnx.GraphProto) -> list[str]:
    made = [name for node in graph.node for name in node.output]
    return [value.name for value in graph.input] + [tensor.name for tensor in graph.initializer] + made


def _numbers(random: Random, most: int = 5) -> list[int]:
    small = random.random() < 0.5
    return [random.randint(-1, 9) if small else random.choice(NUMBERS) for _ in range(random.randint(0, most))]


def operator(random: Random, graph: onnx.GraphProto) -> None:
    random.choice(graph.node).op_type = random.choice([*OPERATORS, *FOREIGN])


def attribute(random: Random, graph: onnx.GraphProto) -> None:
    node = random.choice(graph.node)
    names = list(SCHEMAS[node.op_type].attributes) if node.op_type in SCHEMAS else []
    name = random.choice([*names, "axis", "to", "unheard_of"])
    kept = [one for one in node.attribute if one.name != name or random.random() < 0.1]
    del node.attribute[:]
    node.attribute.extend([*kept, _attribute(random, name, node.op_type)])


def _attribute(random: Random, name: str, operator: str) -> onnx.AttributeProto:
    """An attribute of the type that the operator wants, mostly, and of any value."""
    values: dict[str, Any] = {
        "INT": random.choice([random.randint(-3, 9), random.choice(NUMBERS)]),
        "INTS": _numbers(random) or [1],
        "FLOAT": random.choice(FLOATS),
        "STRING": random.choice(["NOTSET", "SAME_UPPER", "x"]),
    }
    known = SCHEMAS[operator].attributes if operator in SCHEMAS else {}
    kind = known[name].type.name if name in known and random.random() < 0.9 else random.choice(list(values))
    made = helper.make_attribute(name, values.get(kind, 1))
    if random.random() < 0.02:
        made.type = random.choice(list(onnx.AttributeProto.AttributeType.values()))
    return made


def rewired(random: Random, graph: onnx.GraphProto) -> None:
    node = random.choice(graph.node)
    names = [*_tensors(graph), "", "nowhere"]
    if node.input and random.random() < 0.8:
        node.input[random.randrange(len(node.input))] = random.choice(names)
    elif random.random() < 0.5:
        node.input.append(random.choice(names))
    else:
        node.output[random.randrange(len(node.output))] = random.choice(names)


def removed(random: Random, graph: onnx.GraphProto) -> None:
    parts = random.choice([graph.node, graph.initializer, graph.input, graph.output])
    if len(parts):
        del parts[random.randrange(len(parts))]


def repeated(random: Random, graph: onnx.GraphProto) -> None:
    parts = random.choice([graph.node, graph.initializer, graph.input, graph.output])
    if len(parts):
        parts.append(random.choice(parts))


def reordered(random: Random, graph: onnx.GraphProto) -> None:
    nodes = list(graph.node)
    random.shuffle(nodes)
    del graph.node[:]
    graph.node.extend(nodes)


def inserted(random: Random, graph: onnx.GraphProto) -> None:
    """A node anywhere, with inputs as its operator wants them, from which a later node takes its result."""
    name = random.choice(list(OPERATORS))
    schema, number, at = SCHEMAS[name], len(graph.node), random.randint(0, len(graph.node))
    before = [value.name for value in graph.input] + [one for node in graph.node[:at] for one in node.output]
    inputs = []
    for index in range(random.randint(schema.min_input, min(schema.max_input, 5))):
        if index == 0 or random.random() < 0.4:
            inputs.append(random.choice(before or ["nowhere"]))
        else:
            inputs.append(f"constant_{number}_{index}")
            graph.initializer.append(numpy_helper.from_array(_constant(random), inputs[-1]))
    node = helper.make_node(name, inputs, [f"inserted_{number}"], name=f"inserted_{number}")
    for attribute_name in schema.attributes:
        if random.random() < 0.4:
            node.attribute.append(_attribute(random, attribute_name, name))
    nodes = [*graph.node[:at], node, *graph.node[at:]]
    if at + 1 < len(nodes):
        later = random.choice(nodes[at + 1 :])
        if later.input:
            later.input[random.randrange(len(later.input))] = node.output[0]
    del graph.node[:]
    graph.node.extend(nodes)


def _constant(random: Random) -> np.ndarray[Any, Any]:
    if random.random() < 0.6:
        return np.array(_numbers(random, 4), np.int64)
    shape = [random.choice([1, 1, 2, 16, 64, 128]) for _ in range(random.randint(0, 3))]
    if random.random() < 0.3:
        return np.full(shape, random.randint(-128, 127), random.choice([np.int8, np.int32]))
    return np.full(shape, random.choice([1.0, *FLOATS]), np.float32)


def constant(random: Random, graph: onnx.GraphProto) -> None:
    if not graph.initializer:
        return
    tensor = random.choice(graph.initializer)
    match random.randrange(6):
        case 0:
            tensor.dims[:] = [random.choice(NUMBERS) for _ in range(random.randint(0, 9))]
        case 1:
            tensor.data_type = random.randint(-1, 24)
        case 2:
            tensor.raw_data = tensor.raw_data[: random.randrange(len(tensor.raw_data) + 1)]
        case 3:
            tensor.CopyFrom(numpy_helper.from_array(_constant(random), tensor.name))
        case 4:
            raw = bytearray(tensor.raw_data)
            if len(raw) >= 8:
                place = random.randrange(len(raw) // 8) * 8
                whole = tensor.data_type == TensorProto.INT64
                struct.pack_into("<q" if whole else "<f", raw, place, random.choice(NUMBERS if whole else FLOATS))
                tensor.raw_data = bytes(raw)
        case 5:
            tensor.dims[:] = random.sample(list(tensor.dims), len(tensor.dims))


def value(random: Random, graph: onnx.GraphProto) -> None:
    values = [*graph.input, *graph.output]
    if not values:
        return
    tensor = random.choice(values).type.tensor_type
    dims = tensor.shape.dim
    match random.randrange(4):
        case 0:
            tensor.elem_type = random.randint(0, 20)
        case 1 if dims:
            random.choice(dims).dim_value = random.choice(NUMBERS)
        case 2 if dims:
            random.choice(dims).dim_param = random.choice(["batch", "frames", "other", ""])
        case _:
            dims.add(dim_value=random.choice(NUMBERS))


def named(random: Random, graph: onnx.GraphProto) -> None:
    name = random.choice(["", "a\0b", "../../x", "\u202e", "x" * 5000, random.choice(_tensors(graph))])
    thing = random.choice([*graph.node, *graph.initializer, *graph.input, *graph.output])
    thing.name = name


def linked(random: Random, graph: onnx.GraphProto) -> None:
    """Numbers that are in another file."""
    if graph.initializer:
        tensor: TensorProto = random.choice(graph.initializer)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        location = random.choice(["weights.bin", "./weights.bin", "../secret/weights.bin", "/etc/hostname", ""])
        tensor.external_data.add(key="location", value=location)


MUTATIONS: list[Mutation] = [
    *[inserted] * 8,
    *[attribute, constant] * 4,
    *[rewired, value, operator] * 2,
    *[removed, repeated, reordered, named, linked],
]
"""The more often, the deeper they get."""
