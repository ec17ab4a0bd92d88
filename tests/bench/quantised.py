"""int8 beside fp32: both graphs of a network quantised by onnxruntime, their speed, and how far embeddings move.

Static, with explicit Q/DQ pairs, symmetric, per channel, no quantised bias and a pair of its own for every consumer:
what TensorRT's parser accepts too. The trunk is quantised, convolutions, shortcuts and what rectifies them; the pooling
is not: it divides by spreads and lengths, which eight bits round to nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from asd_edge.benchmark.throughput import Embed, Score, whole_window
from asd_edge.dsp.front_end import FrontEnd
from asd_edge.engines.onnx_stream import OnnxStreamEmbedder
from asd_edge.simulator import MACHINES, SimulatedMachine
from asd_edge.timing import in_turns
from asd_export.graph import INPUT
from tests.bench.networks import FRONT_END, Made, window_session

Features = NDArray[np.float32]
Feed = dict[str, NDArray[np.float32]]
_QUANTISED = ("Conv", "Add", "Relu")
_FRAMES = 31
_CALIBRATE, _COMPARE = 1, 2  # seeds of the simulated machines


class _Feeds(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    def __init__(self, feeds: Iterator[Feed]) -> None:
        self._feeds = feeds

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)


def quantise(graph: bytes, feeds: Iterator[Feed]) -> bytes:
    """Return a graph in int8, calibrated with these inputs."""
    with tempfile.TemporaryDirectory() as folder:
        given, ready, quantised = (Path(folder) / f"{name}.onnx" for name in ("given", "ready", "quantised"))
        given.write_bytes(graph)
        quant_pre_process(str(given), str(ready), skip_symbolic_shape=True)
        quantize_static(
            str(ready),
            str(quantised),
            _Feeds(feeds),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_QUANTISED),
            nodes_to_quantize=_trunk(onnx.load(str(ready))),
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            extra_options={
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                "QuantizeBias": False,
                "DedicatedQDQPair": True,
            },
        )
        return quantised.read_bytes()


def _trunk(model: onnx.ModelProto) -> list[str]:
    """Return the nodes to quantise: those up to the last ReLU."""
    nodes = list(model.graph.node)
    last = max(i for i, node in enumerate(nodes) if node.op_type == "Relu")
    return [node.name for node in nodes[: last + 1] if node.op_type in _QUANTISED]


def stream_feeds(embedder: OnnxStreamEmbedder, made: Made, sounds: list[Features]) -> Iterator[Feed]:
    """Yield what the stream graph is fed with over some sounds: its pasts are those of the fp32 graph itself."""
    names = [past.input for past in made.stream.tensors.pasts]
    for features in sounds:
        pasts = [past[None] for past in embedder.initial_pasts()]
        for start in range(0, len(features) - _FRAMES + 1, _FRAMES):
            part = features[None, start : start + _FRAMES]
            yield {made.stream.tensors.features: part} | dict(zip(names, pasts, strict=True))
            _, pasts = embedder.advance(part, pasts)  # type: ignore[assignment]


def sounds(seed: int) -> list[Features]:
    """Return the frames of ten seconds of each simulated machine, float32 [311, bands] each."""
    front_end = FrontEnd(FRONT_END)
    heard = []
    for kind in MACHINES:
        front_end.reset()
        heard.append(front_end.push(SimulatedMachine(kind, seed=seed).render(160_000)).features)
    return heard


def measure(made: Made, *, seconds: float) -> dict[str, Any]:
    """Return CPU seconds a run of each graph in fp32 and int8, their ratios, and the distance of the embeddings."""
    calibrate, compare = sounds(_CALIBRATE), sounds(_COMPARE)
    embedder = made.embedder()
    window_int8 = quantise(made.window, ({INPUT: features[None]} for features in calibrate))
    stream_int8 = quantise(made.stream.stream, stream_feeds(embedder, made, calibrate))
    windows = {"fp32": window_session(made.window), "int8": window_session(window_int8)}
    streams = {"fp32": embedder, "int8": made.embedder(stream_int8)}
    things: dict[str, Score] = {}
    for kind in ("fp32", "int8"):
        things[f"window {kind}"] = partial(windows[kind], compare[0][None])
        for frames in (31, 6):
            pasts = [past[None] for past in streams[kind].initial_pasts()]
            things[f"stream of {frames} {kind}"] = partial(streams[kind].advance, compare[0][None, :frames], pasts)
    times = in_turns(things, seconds=seconds)
    graphs = ("window", "stream of 31", "stream of 6")
    return {
        "seconds_a_run": {name: asdict(time) for name, time in times.items()},
        "int8_times_faster": {graph: times[f"{graph} fp32"].median / times[f"{graph} int8"].median for graph in graphs},
        "cosine_distance": {
            "window": _apart(windows["fp32"], windows["int8"], compare),
            "stream": _apart(whole_window(streams["fp32"]), whole_window(streams["int8"]), compare),
        },
        "cosine_distance_of_machines": _between(windows["fp32"], compare),
    }


def _apart(first: Embed, second: Embed, heard: list[Features]) -> float:
    """Return the largest cosine distance between what two networks make of the same sounds."""
    return max(1.0 - float(_unit(first, features) @ _unit(second, features)) for features in heard)


def _between(embed: Embed, heard: list[Features]) -> float:
    """Return the median cosine distance between different machines, which says what a distance is worth."""
    embeddings = np.stack([_unit(embed, features) for features in heard])
    return float(np.median((1.0 - embeddings @ embeddings.T)[np.triu_indices(len(heard), 1)]))


def _unit(embed: Embed, features: Features) -> NDArray[np.float64]:
    embedding = np.asarray(embed(features[None]), np.float64)[0]
    return np.asarray(embedding / np.linalg.norm(embedding))
