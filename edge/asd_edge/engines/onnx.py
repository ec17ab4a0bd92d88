"""The onnxruntime engine for graphs of whole segments."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asd_edge.engines.onnx_session import fixed_dims, open_session

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
        self._session = open_session(graph, inputs=[input_name], outputs=[output_name], threads=threads, arena=False)
        self._input = input_name
        self._output = output_name
        self._dims = fixed_dims(self._session, output_name)

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
