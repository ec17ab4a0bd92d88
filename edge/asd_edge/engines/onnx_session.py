"""An onnxruntime session whose tensors are those that the manifest names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from asd_edge.engines.onnx_unsigned import unsigned
from asd_edge.errors import EngineError

if TYPE_CHECKING:
    import onnxruntime


def open_session(
    graph: bytes, *, inputs: Sequence[str], outputs: Sequence[str], threads: int, arena: bool
) -> onnxruntime.InferenceSession:
    """Load a serialised graph on the CPU; it must take and give exactly the named tensors.

    `arena` keeps the memory of the largest run for the next one: right where runs are small and many.

    Raises:
        EngineError: onnxruntime cannot load the graph, or its tensors are not those named.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # an idle box stays cool
    options.enable_cpu_mem_arena = arena
    options.enable_mem_pattern = False  # a plan is kept for every batch size that has occurred, and gains nothing
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(unsigned(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises half a dozen unrelated classes
        raise EngineError(
            "onnxruntime cannot load the graph",
            found=first_line(error),
            expected="an ONNX graph of standard operators",
            remedy="Export the bundle again, or update onnxruntime.",
        ) from error
    found = [tensor.name for tensor in session.get_inputs()], [tensor.name for tensor in session.get_outputs()]
    if (sorted(found[0]), sorted(found[1])) != (sorted(inputs), sorted(outputs)):
        raise EngineError(
            "The graph does not have the tensors its manifest names",
            found=f"inputs {sorted(found[0])}, outputs {sorted(found[1])}",
            expected=f"inputs {sorted(inputs)}, outputs {sorted(outputs)}",
            remedy="Export the bundle again.",
        )
    return session


def run(
    session: onnxruntime.InferenceSession, outputs: Sequence[str], given: Mapping[str, NDArray[Any]]
) -> list[NDArray[Any]]:
    """Run a graph once.

    Raises:
        EngineError: it cannot compute these inputs.
    """
    try:
        return list(session.run(list(outputs), dict(given)))
    except Exception as error:  # onnxruntime raises half a dozen unrelated classes
        raise EngineError(
            "onnxruntime cannot run the graph",
            found=first_line(error),
            expected="a graph that computes its declared inputs",
            remedy="Export the bundle again.",
        ) from error


def fixed_dims(session: onnxruntime.InferenceSession, output: str) -> int:
    """Return the length of the embeddings that an output gives.

    Raises:
        EngineError: the output is not a batch of embeddings.
    """
    shape = {tensor.name: tensor.shape for tensor in session.get_outputs()}[output]
    if len(shape) != 2 or not isinstance(shape[1], int):
        raise EngineError(
            "The graph's output is not a batch of embeddings",
            found=f"{output} of shape {shape}",
            expected="[batch, dims] with a fixed number of dims",
            remedy="Export the bundle again.",
        )
    return shape[1]


def first_line(error: Exception) -> str:
    """Return what an error says in one line; some say nothing but what they are."""
    return (str(error).splitlines() or [type(error).__name__])[0][:500]
