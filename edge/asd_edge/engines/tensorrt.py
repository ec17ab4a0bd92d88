"""The TensorRT engine behind the protocols: for graphs of whole segments, and for stream graphs with their head.

A stream's pasts go to the GPU and come back with every step, as host arrays like on the CPU: the protocol lets channels
leave a batch and join another. For the shipped network that is 0.17 MB each way for a channel; kept on the device they
would cost nothing, and a step would be its kernels and the frames. It waits for a device to measure it on.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from asd_edge.engines.embedder import FrameFeatures, Pasts
from asd_edge.engines.onnx_stream import StreamTensors
from asd_edge.engines.tensorrt_engine import TensorRTEngine
from asd_edge.errors import EngineError


class TensorRTEmbedder:
    """An engine of a segment graph: float32 [batch, frames, bands] in, float32 [batch, dims] out.

    Args:
        engine: serialised, from `engine_from_onnx`.
        input_name, output_name: tensor names, from the manifest.
        spectrum_name: of the second input, float32 [batch, bins], where the graph has one.

    Raises:
        EngineError: no TensorRT or GPU, the engine cannot be loaded here, or its tensors are not those named.
    """

    def __init__(self, engine: bytes, *, input_name: str, output_name: str, spectrum_name: str | None = None) -> None:
        self._inputs = [input_name] if spectrum_name is None else [input_name, spectrum_name]
        self._engine = TensorRTEngine(engine, inputs=self._inputs, outputs=[output_name])
        self._output = output_name
        self._dims = _dims(self._engine, output_name)

    @property
    def dims(self) -> int:
        """Length of an embedding."""
        return self._dims

    def embed(self, features: NDArray[np.float32], spectra: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Embed a batch of segments.

        float32 [segments, frames, bands], and [segments, bins] for a graph of two inputs -> float32 [segments, dims].

        Raises:
            EngineError: the GPU failed.
            ValueError: spectra for a graph that has no input for them, or none for one that has.
        """
        given = [features] if spectra is None else [features, spectra]
        return _in_batches(self._engine, dict(zip(self._inputs, given, strict=True)), self._output, self._dims)


class TensorRTStreamEmbedder:
    """Two engines: of the stream graph with its memory as inputs and outputs, and of the head.

    Args:
        stream, head: serialised, from `engine_from_onnx`.
        tensors: names and shapes, from the manifest.
        bands: features of a frame.
        pooled_shape: (bands, heads, depth) of what the network gives for a frame.
        reach: frames of context on either side.

    Raises:
        EngineError: no TensorRT or GPU, an engine cannot be loaded here, or its tensors are not those named.
    """

    def __init__(
        self,
        stream: bytes,
        head: bytes,
        *,
        tensors: StreamTensors,
        bands: int,
        pooled_shape: tuple[int, int, int],
        reach: int,
    ) -> None:
        pasts = tensors.pasts
        inputs = [tensors.features, *(past.input for past in pasts)]
        outputs = [tensors.frame_features, tensors.logits, *(past.output for past in pasts)]
        moments = [tensors.mean, tensors.variance]
        self._stream = TensorRTEngine(stream, inputs=inputs, outputs=outputs)
        self._head = TensorRTEngine(head, inputs=moments, outputs=[tensors.embedding])
        pooled_bands, heads, depth = pooled_shape
        _check_shapes(
            self._stream,
            {
                tensors.features: (-1, -1, bands),
                tensors.frame_features: (-1, -1, pooled_bands, depth),
                tensors.logits: (-1, -1, pooled_bands, heads),
            }
            | {name: (-1, *past.shape) for past in pasts for name in (past.input, past.output)},
        )
        _check_shapes(self._head, dict.fromkeys(moments, (-1, *pooled_shape)))
        self._tensors, self._reach, self._pooled_shape = tensors, reach, pooled_shape
        self._dims = _dims(self._head, tensors.embedding)

    @property
    def dims(self) -> int:
        """Length of an embedding."""
        return self._dims

    @property
    def reach(self) -> int:
        """Frames of context that a frame needs on either side."""
        return self._reach

    @property
    def pooled_shape(self) -> tuple[int, int, int]:
        """(bands, heads, depth) of what the network gives for a frame."""
        return self._pooled_shape

    def initial_pasts(self) -> Pasts:
        """Return the memory of a channel that has heard nothing: zeros, of the types that the engine has."""
        return [np.zeros(past.shape, self._stream.dtype(past.input)) for past in self._tensors.pasts]

    def advance(self, features: NDArray[np.float32], pasts: Pasts) -> tuple[FrameFeatures, Pasts]:
        """Continue channels with new frames. float32 [channels, frames, bands] -> frame features, next pasts.

        Raises:
            EngineError: the GPU failed.
        """
        largest, _, _ = self._stream.largest(self._tensors.features)
        parts = [
            self._advance(features[start : start + largest], [past[start : start + largest] for past in pasts])
            for start in range(0, len(features), largest)
        ]
        if len(parts) == 1:
            return parts[0]
        heard = FrameFeatures(
            np.concatenate([heard.features for heard, _ in parts]), np.concatenate([heard.logits for heard, _ in parts])
        )
        return heard, [np.concatenate(following) for following in zip(*(after for _, after in parts), strict=True)]

    def _advance(self, features: NDArray[np.float32], pasts: Pasts) -> tuple[FrameFeatures, Pasts]:
        """Continue as many channels as one run takes, by as many frames as one run takes at a time."""
        tensors = self._tensors
        _, largest, _ = self._stream.largest(tensors.features)
        heard: list[FrameFeatures] = []
        for start in range(0, features.shape[1], largest):
            given = {tensors.features: features[:, start : start + largest]}
            given |= {past.input: array for past, array in zip(tensors.pasts, pasts, strict=True)}
            outputs = self._stream.run(given)
            pasts = [outputs[past.output] for past in tensors.pasts]
            heard.append(FrameFeatures(outputs[tensors.frame_features], outputs[tensors.logits]))
        if len(heard) == 1:
            return heard[0], pasts
        frame_features = np.concatenate([part.features for part in heard], axis=1)
        return FrameFeatures(frame_features, np.concatenate([part.logits for part in heard], axis=1)), pasts

    def embed(self, mean: NDArray[np.float32], variance: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed segments from their moments, float32 [segments, pooled bands, heads, depth] each.

        Raises:
            EngineError: the GPU failed.
        """
        moments = {self._tensors.mean: mean, self._tensors.variance: variance}
        return _in_batches(self._head, moments, self._tensors.embedding, self._dims)


def _in_batches(
    engine: TensorRTEngine, whole: Mapping[str, NDArray[np.float32]], output: str, dims: int
) -> NDArray[np.float32]:
    """Run an engine on as many rows at a time as it takes."""
    first = next(iter(whole))
    largest = engine.largest(first)[0]
    parts = [
        engine.run({name: array[start : start + largest] for name, array in whole.items()})[output]
        for start in range(0, len(whole[first]), largest)
    ]
    return np.concatenate([np.empty((0, dims), np.float32), *parts]) if len(parts) != 1 else parts[0]


def _dims(engine: TensorRTEngine, output: str) -> int:
    shape = engine.shape(output)
    if len(shape) != 2 or shape[1] < 1:
        raise _other_shape(output, shape, "[-1, dims] with a fixed number of dims")
    return shape[1]


def _check_shapes(engine: TensorRTEngine, expected: Mapping[str, tuple[int, ...]]) -> None:
    """Hold an engine to the manifest. It may leave a dimension of an output open that the manifest fixes."""
    for name, shape in expected.items():
        found = engine.shape(name)
        if len(found) != len(shape) or any(a != b and -1 not in (a, b) for a, b in zip(found, shape, strict=True)):
            raise _other_shape(name, found, str(list(shape)))


def _other_shape(name: str, found: tuple[int, ...], expected: str) -> EngineError:
    return EngineError(
        "The engine is not as its manifest says",
        found=f"{name} of the shape {list(found)}",
        expected=expected,
        remedy="Export the bundle again.",
    )
