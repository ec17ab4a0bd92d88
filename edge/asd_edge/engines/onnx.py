"""The onnxruntime engine for graphs of whole segments."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asd_edge.engines.embedder import LARGEST_BATCH
from asd_edge.engines.onnx_session import fixed_dims, open_session, run


class OnnxEmbedder:
    """An ONNX graph on the CPU: segments float32 [batch, frames, bands] in, float32 [batch, dims] out.

    Args:
        graph: the serialised model, given as bytes and not as a path.
        input_name, output_name: tensor names, from the manifest.
        spectrum_name: of the second input, float32 [batch, bins], where the graph has one.
        threads: intra-op threads.

    Raises:
        EngineError: onnxruntime cannot load the graph, or its tensors are not those named.
    """

    def __init__(
        self, graph: bytes, *, input_name: str, output_name: str, spectrum_name: str | None = None, threads: int = 1
    ) -> None:
        self._inputs = [input_name] if spectrum_name is None else [input_name, spectrum_name]
        self._session = open_session(graph, inputs=self._inputs, outputs=[output_name], threads=threads, arena=False)
        self._output = output_name
        self._dims = fixed_dims(self._session, output_name)

    @property
    def dims(self) -> int:
        """Length of an embedding."""
        return self._dims

    def embed(self, features: NDArray[np.float32], spectra: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Embed a batch of segments.

        float32 [segments, frames, bands], and [segments, bins] for a graph of two inputs -> float32 [segments, dims].

        Raises:
            ValueError: spectra for a graph that has no input for them, or none for one that has.
        """
        given = [features] if spectra is None else [features, spectra]
        whole = dict(zip(self._inputs, given, strict=True))
        if len(features) == 0:
            return np.empty((0, self._dims), dtype=np.float32)
        parts = [
            run(self._session, [self._output], {name: x[i : i + LARGEST_BATCH] for name, x in whole.items()})[0]
            for i in range(0, len(features), LARGEST_BATCH)
        ]
        return np.concatenate(parts) if len(parts) > 1 else np.asarray(parts[0])
