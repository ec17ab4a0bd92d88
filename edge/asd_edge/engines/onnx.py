"""The onnxruntime engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from asd_edge.errors import EngineError

if TYPE_CHECKING:
    import onnxruntime

_LARGEST_BATCH = 16  # bounds the memory of one run; more segments go in several


class OnnxEmbedder:
    """An ONNX graph on the CPU: one input float32 [batch, frames, bands], one output float32 [batch, dims].

    Args:
        graph: the serialised model, given as bytes and not as a path.
        input_name, output_name: tensor names, from the manifest.
        threads: intra-op threads.

    Raises:
        EngineError: onnxruntime cannot load the graph, or its tensors are not those named.
    """

    def __init__(self, graph: bytes, *, input_name: str, output_name: str, threads: int = 1) -> None:
        self._session = _session(graph, threads)
        self._input = input_name
        self._output = output_name
        inputs = {tensor.name: tensor.shape for tensor in self._session.get_inputs()}
        outputs = {tensor.name: tensor.shape for tensor in self._session.get_outputs()}
        if set(inputs) != {input_name} or output_name not in outputs:
            raise EngineError(
                "The graph does not have the tensors its manifest names",
                found=f"inputs {sorted(inputs)}, outputs {sorted(outputs)}",
                expected=f"input {input_name!r}, output {output_name!r}",
                remedy="Export the bundle again.",
            )
        shape = outputs[output_name]
        if len(shape) != 2 or not isinstance(shape[1], int):
            raise EngineError(
                "The graph's output is not a batch of embeddings",
                found=f"{output_name} of shape {shape}",
                expected="[batch, dims] with a fixed number of dims",
                remedy="Export the bundle again.",
            )
        self._dims = shape[1]

    @property
    def dims(self) -> int:
        """Length of an embedding."""
        return self._dims

    def embed(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed a batch of segments. float32 [segments, frames, bands] -> float32 [segments, dims]."""
        if len(features) == 0:
            return np.empty((0, self._dims), dtype=np.float32)
        parts = [
            self._session.run([self._output], {self._input: features[i : i + _LARGEST_BATCH]})[0]
            for i in range(0, len(features), _LARGEST_BATCH)
        ]
        return np.concatenate(parts) if len(parts) > 1 else np.asarray(parts[0])


def _session(graph: bytes, threads: int) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # an idle box stays cool
    options.enable_cpu_mem_arena = False  # the arena keeps the largest batch's memory for ever
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises half a dozen unrelated classes
        raise EngineError(
            "onnxruntime cannot load the graph",
            found=str(error).splitlines()[0],
            expected="an ONNX graph of standard operators",
            remedy="Export the bundle again, or update onnxruntime.",
        ) from error
