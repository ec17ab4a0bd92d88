"""A graph that could harm a device is refused by the name of what is wrong with it, before any runtime sees it."""

from __future__ import annotations

import tracemalloc

import onnx
import pytest

from asd_edge.bundle.graph_check.check import check_graph, limits_of
from asd_edge.bundle.graph_check.limits import CAPS, GraphLimits
from asd_edge.bundle.graph_check.operators import OPERATORS
from asd_edge.bundle.graph_check.tensors import GraphTensors
from asd_edge.bundle.graphs import Graphs
from asd_edge.strict import RefusalError
from tests.edge.graph_attacks import ATTACKS
from tests.edge.tiny_bundle import GOLDEN, GRAPHS, SEGMENT, STREAM

DESCRIBED = Graphs(segment=SEGMENT, stream=STREAM)
TINY = {member: (GOLDEN / name).read_bytes() for member, name in GRAPHS.items()}
TENSORS = {member: GraphTensors.of(DESCRIBED, member) for member in TINY}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused_by_name_and_makes_nothing_large(name: str) -> None:
    make, pattern = ATTACKS[name]
    graph = make()
    tracemalloc.start()
    with pytest.raises(RefusalError, match=pattern) as caught:
        check_graph(graph, TENSORS["segment"], CAPS)
    grown = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.expected
    assert caught.value.found.isprintable()
    assert grown < len(graph) + (4 << 20)  # of Python; the fuzz test bounds the whole process


@pytest.mark.parametrize("member", TINY)
def test_the_tiny_graphs_pass_with_what_they_need_and_not_with_less(member: str) -> None:
    graph, tensors = TINY[member], TENSORS[member]
    needs = limits_of(graph, tensors)
    check_graph(graph, tensors, needs)
    for field, need in needs:
        with pytest.raises(RefusalError, match=r"the node|the in|nodes"):
            check_graph(graph, tensors, needs.model_copy(update={field: need - 1}))


def test_needs_are_those_of_the_largest_batch() -> None:
    assert limits_of(TINY["segment"], TENSORS["segment"]) == GraphLimits(
        nodes=3,
        initialiser_bytes=128 * 16 * 4,  # the projection
        intermediate_bytes=16 * 64 * 128 * 4,  # the largest batch that goes in
        run_bytes=16 * (128 + 16 + 16) * 4,
        multiplications=16 * 128 * 16,
    )


@pytest.mark.parametrize("field", GraphLimits.model_fields)
def test_no_manifest_can_exceed_the_caps(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        GraphLimits(**CAPS.model_dump() | {field: getattr(CAPS, field) + 1})


def test_a_verdict_is_of_these_bytes_tensors_and_limits_alone() -> None:
    graph, tensors = TINY["head"], TENSORS["head"]
    check_graph(graph, tensors, CAPS)
    for altered in ((graph[:-1], tensors, CAPS), (graph, TENSORS["segment"], CAPS)):
        with pytest.raises(RefusalError):
            check_graph(*altered)


@pytest.mark.parametrize("kind", [onnx.TensorProto.INT8, onnx.TensorProto.FLOAT16])
def test_every_input_and_output_is_float32(kind: int) -> None:
    """Also what a stream remembers, whatever it computes in: the runtime keeps pasts as float32."""
    count = len(onnx.load_from_string(TINY["stream"]).graph.input)
    for at in range(count):
        model = onnx.load_from_string(TINY["stream"])
        value = model.graph.input[at]
        value.type.tensor_type.elem_type = kind
        with pytest.raises(RefusalError, match=f"the input '{value.name}' of the data type {kind}"):
            check_graph(model.SerializeToString(), TENSORS["stream"], CAPS)
    model = onnx.load_from_string(TINY["stream"])
    value = next(value for value in model.graph.output if value.name == "next_past_0")
    value.type.tensor_type.elem_type = kind
    with pytest.raises(RefusalError, match=f"the output 'next_past_0' of the data type {kind}"):
        check_graph(model.SerializeToString(), TENSORS["stream"], CAPS)


def test_operators_are_of_the_pinned_set_and_hold_no_graphs() -> None:
    for name in OPERATORS:
        schema = onnx.defs.get_schema(name, 18, "")
        kinds = {attribute.type for attribute in schema.attributes.values()}
        assert onnx.defs.OpSchema.AttrType.GRAPH not in kinds
        assert schema.support_level == onnx.defs.OpSchema.SupportType.COMMON
