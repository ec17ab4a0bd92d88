"""Graphs that somebody made to harm a device, each with what its refusal must name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.golden.make_tiny_embedder import tiny_embedder

ATTACKS: dict[str, tuple[Callable[[], bytes], str]] = {}
"""Serialised graphs with the tensors of the tiny segment graph, and a pattern of what is found in them."""

Attack = Callable[[], "bytes | onnx.ModelProto"]


def refused_for(pattern: str) -> Callable[[Attack], Attack]:
    def register(attack: Attack) -> Attack:
        def made() -> bytes:
            graph = attack()
            return graph if isinstance(graph, bytes) else graph.SerializeToString()

        ATTACKS[attack.__name__] = (made, pattern)
        return attack

    return register


def with_nodes(nodes: Sequence[onnx.NodeProto], /, **constants: NDArray[np.generic] | Sequence[int]) -> onnx.ModelProto:
    """The tiny graph with these nodes before its own, and these constants; lists are int64."""
    model = tiny_embedder()
    own = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *own])
    for name, value in constants.items():
        array = value if isinstance(value, np.ndarray) else np.array(value, dtype=np.int64)
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model


def node(operator: str, inputs: str, **attributes: object) -> onnx.NodeProto:
    """A node called `bad`, which makes `poison`; inputs in one text."""
    return helper.make_node(operator, inputs.split(), ["poison"], name="bad", **attributes)


def outside(location: str) -> onnx.TensorProto:
    """A constant whose numbers are in another file."""
    tensor = TensorProto(name="leak", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, "offset": "0", "length": "16"}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def identity_graph() -> onnx.GraphProto:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    return helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "body", values[:1], values[1:])


# files of the host


@refused_for(r"external_data of the tensor 'leak'|data_location of the tensor 'leak'")
def absolute_path() -> onnx.ModelProto:
    model = tiny_embedder()
    model.graph.initializer.append(outside("/etc/hostname"))
    return model


@refused_for(r"the tensor 'leak'")
def path_upwards() -> onnx.ModelProto:
    model = tiny_embedder()
    model.graph.initializer.append(outside("../../../../../../etc/hostname"))
    return model


@refused_for(r"the tensor 'leak'")
def weights_elsewhere() -> onnx.ModelProto:
    model = tiny_embedder()
    model.graph.initializer[1].CopyFrom(outside("weights.bin"))
    return model


@refused_for(r"the field t, a tensor of the attribute 'value' of the node 'bad'")
def file_in_a_constant() -> onnx.ModelProto:
    return with_nodes([node("Constant", "", value=outside("/etc/hostname"))])


@refused_for(r"sparse_initializer")
def file_in_a_sparse_initialiser() -> onnx.ModelProto:
    model = tiny_embedder()
    indices = numpy_helper.from_array(np.zeros(4, np.int64), "indices")
    model.graph.sparse_initializer.append(onnx.SparseTensorProto(values=outside("/etc/hostname"), indices=indices))
    return model


@refused_for(r"g, a graph of the attribute '(then|else)_branch' of the node 'bad'")
def file_in_a_subgraph() -> onnx.ModelProto:
    body = identity_graph()
    body.initializer.append(outside("/etc/hostname"))
    return with_nodes([node("If", "yes", then_branch=body, else_branch=body)], yes=np.array(True))


@refused_for(r"the field functions of the model")
def file_in_a_function() -> onnx.ModelProto:
    inner = helper.make_node("Constant", [], ["y"], value=outside("/etc/hostname"))
    model = with_nodes([helper.make_node("F", [], ["poison"], name="bad", domain="own")])
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.functions.append(helper.make_function("own", "F", [], ["y"], [inner], [helper.make_opsetid("", 18)]))
    return model


# code and control


@refused_for(r"g, a graph of the attribute 'body' of the node 'bad'")
def loop_for_ever() -> onnx.ModelProto:
    return with_nodes([node("Loop", "much yes", body=identity_graph())], much=[1 << 30], yes=np.array(True))


@refused_for(r"g, a graph of the attribute 'body'")
def scan() -> onnx.ModelProto:
    return with_nodes([node("Scan", "features", body=identity_graph(), num_scan_inputs=1)])


@refused_for(r"the node 'bad' of the domain 'com\.microsoft'")
def contributed_operator() -> onnx.ModelProto:
    return with_nodes([node("Gelu", "features", domain="com.microsoft")])


@refused_for(r"operator sets")
def another_operator_set_beside() -> onnx.ModelProto:
    model = tiny_embedder()
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    return model


@refused_for(r"operator sets .*17")
def older_operator_set() -> onnx.ModelProto:
    model = tiny_embedder()
    model.opset_import[0].version = 17
    return model


@refused_for(r"IR version 99")
def newer_file_format() -> onnx.ModelProto:
    model = tiny_embedder()
    model.ir_version = 99
    return model


@refused_for(r"training_info")
def training() -> onnx.ModelProto:
    model = tiny_embedder()
    model.training_info.add()
    return model


@refused_for(r"the node 'bad' with the operator 'RandomNormal'")
def operator_that_no_recipe_needs() -> onnx.ModelProto:
    return with_nodes([node("RandomNormal", "", shape=[4])])


@refused_for(r"the node 'bad\\x1b\[2J' with the operator")
def name_that_clears_the_screen() -> onnx.ModelProto:
    return with_nodes([helper.make_node("Loopy", [], ["poison"], name="bad\x1b[2J")])


@refused_for(r"op_type of the node .* that is no text")
def name_that_is_no_text() -> bytes:
    """Python's protobuf gives bytes for it, where everybody expects a text."""
    return tiny_embedder().SerializeToString().replace(b"ReduceMean", b"Reduce\xff\xfe\xfd\xfc")


# 640 GB


@refused_for(r"the node 'bad' with the operator 'ConstantOfShape'")
def constant_of_640_gb() -> onnx.ModelProto:
    return with_nodes(
        [helper.make_node("ConstantOfShape", ["size"], ["poison"], name="bad")], size=[16_000, 10_000, 1_000]
    )


@refused_for(r"160000000000 in the initialiser 'size'")
def expanded_to_640_gb() -> onnx.ModelProto:
    return with_nodes([node("Expand", "one size")], one=np.ones(1, np.float32), size=[160_000_000_000])


@refused_for(r"the node 'bad' with which there are 640000000000 bytes in one tensor")
def expanded_in_three_dimensions() -> onnx.ModelProto:
    return with_nodes([node("Expand", "one size")], one=np.ones(1, np.float32), size=[16_000, 10_000, 1_000])


@refused_for(r"the node 'bad' with which there are \d+ bytes in one tensor")
def product_of_a_column_and_a_row() -> onnx.ModelProto:
    long = np.ones((400_000, 1), np.float32)
    return with_nodes([node("MatMul", "column row")], column=long, row=long.T.copy())


@refused_for(r"the node 'bad' with which there are \d+ bytes in one tensor")
def sum_of_a_column_and_a_row() -> onnx.ModelProto:
    long = np.ones((400_000, 1), np.float32)
    return with_nodes([node("Add", "column row")], column=long, row=long.T.copy())


@refused_for(r"the node 'double_\d+' with which there are \d+ bytes in one")
def doubled_forty_times() -> onnx.ModelProto:
    names = ["features", *(f"double_{i}" for i in range(40))]
    return with_nodes([helper.make_node("Concat", [x, x], [y], name=y, axis=2) for x, y in pairwise(names)])


@refused_for(r"the node 'bad' with which there are \d+ bytes in one tensor")
def gathered_over_and_over() -> onnx.ModelProto:
    return with_nodes([node("Gather", "features often", axis=2)], often=np.zeros(1_000_000, np.int64))


@refused_for(r"pads = 100000 in the node 'bad'")
def padded_without_end() -> onnx.ModelProto:
    return with_nodes([node("Conv", "features kernel", pads=[100_000] * 2)], kernel=np.ones((1, 64, 1), np.float32))


@refused_for(r"the node 'bad' with which there are \d+ bytes in one tensor")
def padded_a_lot() -> onnx.ModelProto:
    image, pads = np.ones((1, 1, 1, 1), np.float32), [4_096] * 4
    return with_nodes([node("Conv", "image image", kernel_shape=[1, 1], pads=pads)], image=image)


@refused_for(r"dilations = \d+ in the node 'bad'")
def dilated_beyond_64_bits() -> onnx.ModelProto:
    kernel = np.ones((1, 64, 3), np.float32)
    return with_nodes([node("Conv", "features kernel", dilations=[1 << 62])], kernel=kernel)


@refused_for(r"strides = 0 in the node 'bad'")
def division_by_zero() -> onnx.ModelProto:
    return with_nodes([node("Conv", "features kernel", strides=[0])], kernel=np.ones((1, 64, 1), np.float32))


@refused_for(r"with which there are \d+ multiplications")
def work_without_end() -> onnx.ModelProto:
    """Small tensors, little memory, a day of work."""
    steps = [helper.make_node("MatMul", [f"x{i}", "square"], [f"x{i + 1}"], name=f"work_{i}") for i in range(200)]
    first = helper.make_node("MatMul", ["square", "square"], ["x0"], name="work")
    return with_nodes([first, *steps], square=np.ones((2_000, 2_000), np.float32))


@refused_for(r"the node 'grow' with which there are \d+ bytes in one tensor")
def large_for_one_batch_only() -> onnx.ModelProto:
    """(batch - 1) (16 - batch) · 1,000,000 + 1 numbers: one for the smallest batch and for the largest."""
    nodes = [
        helper.make_node("Shape", ["features"], ["batch"], start=0, end=1),
        helper.make_node("Sub", ["batch", "one"], ["above"]),
        helper.make_node("Sub", ["sixteen", "batch"], ["below"]),
        helper.make_node("Mul", ["above", "below"], ["between"]),
        helper.make_node("Mul", ["between", "million"], ["many"]),
        helper.make_node("Add", ["many", "one"], ["size"]),
        helper.make_node("Expand", ["number", "size"], ["poison"], name="grow"),
    ]
    number = np.ones(1, np.float32)
    return with_nodes(nodes, one=[1], sixteen=[16], million=[2_000_000], number=number)


@refused_for(r"the node 'bad' that makes 'poison' whose size cannot be found out|sizes that do not fit")
def size_in_the_sound() -> onnx.ModelProto:
    """The sound itself says how much memory it wants."""
    nodes = [
        helper.make_node("Reshape", ["features", "flat"], ["numbers"]),
        helper.make_node("Cast", ["numbers"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Slice", ["whole", "zero", "three"], ["size"]),
        node("Expand", "number size"),
    ]
    return with_nodes(nodes, flat=[-1], zero=[0], three=[3], number=np.ones(1, np.float32))


@refused_for(r"the node 'bad' of type 1 and shape \[1, 64, 128, 1, 1")
def sixty_dimensions() -> onnx.ModelProto:
    return with_nodes([node("Unsqueeze", "features axes")], axes=list(range(3, 60)))


@refused_for(r"the node 'bad'|node name: bad")
def product_that_wraps_to_zero() -> onnx.ModelProto:
    """65,536 to the power of four is 2^64: a division by zero, if it is not seen."""
    return with_nodes([node("Reshape", "features size")], size=[65_536] * 4 + [-1])


@refused_for(r"the initialiser 'huge' of \d+ bytes")
def initialiser_that_is_not_there() -> onnx.ModelProto:
    model = tiny_embedder()
    model.graph.initializer.append(TensorProto(name="huge", data_type=TensorProto.FLOAT, dims=[400_000, 400_000]))
    return model


@refused_for(r"the initialiser 'short' with other numbers than its shape has room for")
def initialiser_that_is_short() -> onnx.ModelProto:
    model = tiny_embedder()
    tensor = TensorProto(name="short", data_type=TensorProto.FLOAT, dims=[1000], raw_data=bytes(4))
    model.graph.initializer.append(tensor)
    return model


@refused_for(r"the initialiser 'less' of the shape \[-4\]")
def negative_length() -> onnx.ModelProto:
    model = tiny_embedder()
    model.graph.initializer.append(TensorProto(name="less", data_type=TensorProto.FLOAT, dims=[-4]))
    return model


@refused_for(r"the initialiser 'words' of the data type 8|string_data")
def constant_of_another_type() -> onnx.ModelProto:
    model = tiny_embedder()
    model.graph.initializer.append(helper.make_tensor("words", TensorProto.STRING, [1], [b"x"]))
    return model


@refused_for(r"the node 'bad' of type 11 and shape")
def intermediate_of_another_type() -> onnx.ModelProto:
    return with_nodes([node("Cast", "features", to=TensorProto.DOUBLE)])


# names and wires


@refused_for(r"two tensors named 'mean'")
def tensor_made_twice() -> onnx.ModelProto:
    return with_nodes([helper.make_node("Relu", ["features"], ["mean"], name="bad")])


@refused_for(r"the node 'bad' twice")
def node_twice() -> onnx.ModelProto:
    return with_nodes([node("Relu", "features"), helper.make_node("Relu", ["features"], ["other"], name="bad")])


@refused_for(r"the node 'bad' that takes 'poison'")
def circle() -> onnx.ModelProto:
    return with_nodes([node("Relu", "poison")])


@refused_for(r"the node 'bad' that takes 'nowhere'")
def input_from_nowhere() -> onnx.ModelProto:
    return with_nodes([node("Relu", "nowhere")])


@refused_for(r"the inputs 'features', 'more'")
def input_more() -> onnx.ModelProto:
    model = tiny_embedder()
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))
    return model


@refused_for(r"the outputs 'embedding', 'mean'")
def output_more() -> onnx.ModelProto:
    model = tiny_embedder()
    model.graph.output.append(helper.make_tensor_value_info("mean", TensorProto.FLOAT, ["batch", 128]))
    return model


@refused_for(r"the input 'features' of the shape \[-1, -1, 128\]")
def dimension_that_was_not_declared() -> onnx.ModelProto:
    model = tiny_embedder()
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "frames"
    return model


@refused_for(r"the input 'features' of the data type 11")
def input_of_another_type() -> onnx.ModelProto:
    model = tiny_embedder()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    return model


@refused_for(r"the output 'embedding' of the shape \[1, 128\]")
def output_of_another_shape() -> onnx.ModelProto:
    """The declared shape is right, and the computed one is not."""
    model = tiny_embedder()
    model.graph.node[2].input[0] = "mean"
    return model


@refused_for(r"value_info of the model")
def shapes_that_lie() -> onnx.ModelProto:
    model = tiny_embedder()
    model.graph.value_info.append(helper.make_tensor_value_info("mean", TensorProto.FLOAT, ["batch", 1]))
    return model


# the protobuf


@refused_for(r"more than 200000 fields")
def a_million_empty_nodes() -> bytes:
    """Two bytes each here, some hundred in a parser: 2 MB that want to be 200."""
    inner = b"\x0a\x00" * 1_000_000
    return tiny_embedder().SerializeToString() + b"\x3a" + _varint(len(inner)) + inner


@refused_for(r"more than 8388608 bytes beside raw_data")
def numbers_that_swell() -> bytes:
    """One byte each here, eight in a parser."""
    tensor = b"\x3a" + _varint(9 << 20) + bytes(9 << 20)
    inner = b"\x2a" + _varint(len(tensor)) + tensor
    return tiny_embedder().SerializeToString() + b"\x3a" + _varint(len(inner)) + inner


@refused_for(r"the field g, a graph")
def ten_thousand_graphs_deep() -> bytes:
    data = b""
    for _ in range(10_000):
        attribute = b"\x32" + _varint(len(data)) + data
        inner = b"\x2a" + _varint(len(attribute)) + attribute
        data = b"\x0a" + _varint(len(inner)) + inner
    return tiny_embedder().SerializeToString() + b"\x3a" + _varint(len(data)) + data


@refused_for(r"not a protobuf")
def length_beyond_the_end() -> bytes:
    return tiny_embedder().SerializeToString() + b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"


@refused_for(r"the field number 777 of the model")
def field_that_nobody_knows() -> bytes:
    return tiny_embedder().SerializeToString() + _varint(777 << 3) + b"\x01"


@refused_for(r"0 nodes|operator sets")
def nothing() -> bytes:
    return b""


def _varint(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*data, value])
