"""What a run of a graph costs, found by shape inference alone: no tensor is made.

Shapes are inferred for every batch and every number of frames that the runtime feeds, and not for the largest alone: a
size that is computed from sizes need not grow with them. Weights are left out before, since no shape depends on them;
an inference then takes half a millisecond.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import TYPE_CHECKING, TypedDict

from asd_edge.bundle.graph_tensors import INT64, ITEM_BYTES, MOST_DIMS, GraphTensors
from asd_edge.bundle.limits import GraphLimits
from asd_edge.engines.embedder import LARGEST_BATCH, LARGEST_STEP
from asd_edge.strict import RefusalError

if TYPE_CHECKING:
    import onnx

_SHAPE_NUMBERS = 64  # constants of more whole numbers are data
_FOLDS = 8  # how often sizes may depend on computed sizes; the exported graphs need one
_BATCH = "batch"

Dims = tuple["int | str | None", ...]
"""Of a tensor: a number, the batch, or None where it cannot be found out."""

Shapes = Mapping[str, tuple[int, Dims]]
"""Data type and dimensions by name."""


class Costs(TypedDict):
    """The fields of GraphLimits that are found from sizes."""

    intermediate_bytes: int
    run_bytes: int
    multiplications: int


def costs_of(model: onnx.ModelProto, tensors: GraphTensors, limits: GraphLimits) -> Costs:
    """Return the largest costs of a run of a graph whose nodes, constants and wiring have been checked.

    Raises:
        RefusalError: a tensor above the limits, one whose size cannot be found out, or outputs of other shapes than
            declared.
    """
    import onnx

    skeleton = _without_weights(model)
    try:
        onnx.checker.check_model(skeleton)
    except onnx.checker.ValidationError as error:
        raise RefusalError(f"a graph that is not valid: {_first_line(error)}", "an ONNX graph") from None
    costs = Costs(intermediate_bytes=1, run_bytes=1, multiplications=0)
    for open_sizes in _points(tensors):
        shapes = _inferred(skeleton, tensors, open_sizes)
        _check_outputs(shapes, tensors, open_sizes)
        _add_up(model.graph, shapes, tensors, limits, costs)
    return costs


def _points(tensors: GraphTensors) -> Iterator[tuple[int | str, ...]]:
    """Yield what the open dimensions may be.

    The batch of a graph with frames stays a symbol, which inference must carry to the end of every tensor: nothing in
    a stream reshapes it, and every pair of batch and frames would be 512 inferences.
    """
    if any(shape.count(-1) > 1 for shape in tensors.inputs.values()):
        yield from ((_BATCH, frames) for frames in range(1, LARGEST_STEP + 1))
    else:
        yield from ((batch,) for batch in range(1, LARGEST_BATCH + 1))


def _filled(shape: tuple[int, ...], open_sizes: tuple[int | str, ...]) -> Dims:
    sizes = iter(open_sizes)
    return tuple(next(sizes) if size == -1 else size for size in shape)


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with constants behind its inputs, but for those that may be shapes, and outputs of any size."""
    import onnx

    skeleton = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph = skeleton.graph
    graph.name = "graph"
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    for tensor in model.graph.initializer:
        if tensor.data_type == INT64 and prod(tensor.dims) <= _SHAPE_NUMBERS:
            graph.initializer.append(tensor)
        else:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    for value in model.graph.output:
        kind, rank = value.type.tensor_type.elem_type, len(value.type.tensor_type.shape.dim)
        graph.output.append(onnx.helper.make_tensor_value_info(value.name, kind, [None] * rank))
    return skeleton


def _inferred(skeleton: onnx.ModelProto, tensors: GraphTensors, open_sizes: tuple[int | str, ...]) -> Shapes:
    """Infer every tensor of the graph; inference alone does not look through Shape, so that is folded as it is known.

    Raises:
        RefusalError: a tensor whose dimensions are not all found.
    """
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(skeleton)
    for value in model.graph.input[: len(tensors.inputs)]:
        sizes = _filled(tensors.inputs[value.name], open_sizes)
        kind = value.type.tensor_type.elem_type
        value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, kind, sizes))
    shapes = _read(model.graph)
    for _ in range(_FOLDS):
        _fold(model.graph, shapes)
        try:
            shapes = _read(onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph)
        except Exception as error:  # it raises half a dozen classes
            raise RefusalError(f"sizes that do not fit: {_first_line(error)}", "nodes whose inputs fit") from None
        unknown = _first_unknown(model.graph, shapes)
        if unknown is None:
            return shapes
    raise RefusalError(f"{unknown} whose size cannot be found out", "sizes that follow from the declared inputs")


def _fold(graph: onnx.GraphProto, shapes: Shapes) -> None:
    """Put constants in the place of Shape nodes whose result is known."""
    for node in [node for node in graph.node if node.op_type == "Shape"]:
        bounds = {attribute.name: attribute.i for attribute in node.attribute}
        _, dims = shapes.get(node.input[0], (0, (None,)))
        known = dims[bounds.get("start", 0) : bounds.get("end")]
        if all(isinstance(size, int) for size in known):
            graph.initializer.add(name=node.output[0], data_type=INT64, dims=[len(known)], int64_data=known)
            graph.node.remove(node)


def _read(graph: onnx.GraphProto) -> dict[str, tuple[int, Dims]]:
    """Return the shapes that stand in a graph; of constants, those that it carries."""
    found: dict[str, tuple[int, Dims]] = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape"):
            dims = (
                dim.dim_value if dim.HasField("dim_value") else _BATCH if dim.dim_param == _BATCH else None
                for dim in tensor.shape.dim
            )
            found[value.name] = (tensor.elem_type, tuple(dims))
    return found | {tensor.name: (tensor.data_type, tuple(tensor.dims)) for tensor in graph.initializer}


def _first_unknown(graph: onnx.GraphProto, shapes: Shapes) -> str | None:
    for node in graph.node:
        for name in filter(None, node.output):
            if name not in shapes or None in shapes[name][1]:
                return f"{called(node)} that makes {shown(name)}"
    return None


def _check_outputs(shapes: Shapes, tensors: GraphTensors, open_sizes: tuple[int | str, ...]) -> None:
    for name, shape in tensors.outputs.items():
        found, expected = shapes[name][1], _filled(shape, open_sizes)
        if found != expected:
            raise RefusalError(f"the output {shown(name)} of the shape {list(found)[:20]}", f"{list(expected)}")


def _add_up(graph: onnx.GraphProto, shapes: Shapes, tensors: GraphTensors, limits: GraphLimits, costs: Costs) -> None:
    """Raise `costs` to those of a run with these shapes.

    Raises:
        RefusalError: at the input or node with which the run exceeds the limits.
    """
    run_bytes = multiplications = 0
    made: list[tuple[str, onnx.NodeProto | None]] = [(name, None) for name in tensors.inputs]
    made += [(name, node) for node in graph.node for name in node.output if name]
    for name, node in made:
        kind, dims = shapes[name]
        count = _count(dims)
        size = count * ITEM_BYTES.get(kind, 0)
        if node is not None:
            run_bytes += size
            multiplications += _multiplications(node, shapes, count)
        if kind not in ITEM_BYTES or len(dims) > MOST_DIMS or any(_number(size) < 0 for size in dims):
            raise RefusalError(
                f"{_maker(name, node)} of type {kind} and shape {list(dims)[:20]}", "a tensor of numbers"
            )
        costs["intermediate_bytes"] = max(costs["intermediate_bytes"], size)
        for found, unit, most in (
            (size, "bytes in one tensor", limits.intermediate_bytes),
            (run_bytes, "bytes in one run", limits.run_bytes),
            (multiplications, "multiplications", limits.multiplications),
        ):
            if found > most:
                raise RefusalError(f"{_maker(name, node)} with which there are {found} {unit}", f"at most {most}")
    costs["run_bytes"] = max(costs["run_bytes"], run_bytes)
    costs["multiplications"] = max(costs["multiplications"], multiplications)


def _maker(name: str, node: onnx.NodeProto | None) -> str:
    return f"the input {shown(name)}" if node is None else called(node)


def _multiplications(node: onnx.NodeProto, shapes: Shapes, outputs: int) -> int:
    """Return outputs × what is summed for each; 0 for operators that do a few operations for each number."""
    match node.op_type:
        case "Conv":  # weights [outputs, inputs / groups, *kernel]
            return outputs * _count(shapes[node.input[1]][1][1:])
        case "MatMul":
            return outputs * _number(shapes[node.input[0]][1][-1])
        case "Gemm":  # [rows, summed] or the transpose
            return _count(shapes[node.input[0]][1]) * _number(shapes[node.output[0]][1][1])
        case "MaxPool":
            kernel: list[int] = [size for part in node.attribute if part.name == "kernel_shape" for size in part.ints]
            return outputs * prod(kernel)
    return 0


def _number(size: int | str | None) -> int:
    return size if isinstance(size, int) else LARGEST_BATCH


def _count(dims: Dims) -> int:
    return prod(map(_number, dims))


def _first_line(error: Exception) -> str:
    return ascii(" ".join(str(error).split())[:300])


def called(node: onnx.NodeProto) -> str:
    """Return what a node is called in a refusal: its name, or that of what it makes."""
    return f"the node {shown(node.name or next(iter(node.output), ''))}"


def shown(name: str) -> str:
    """Write a name that somebody else chose so that it cannot reach into a terminal."""
    return ascii(name[:80])
