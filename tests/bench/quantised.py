"""int8 beside fp32: the speed of each graph in both, the sizes, and how far embeddings move. Of untrained networks.

As a bundle gets them, calibrated with the sounds of simulated machines, but for what the sweep of a trained network may
keep in higher precision: random weights have no sensitive layers. The distances are those of other machines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_edge.benchmark.throughput import Embed, whole_window
from asd_edge.dsp.front_end import FrontEnd
from asd_edge.engines.onnx_stream import OnnxStreamEmbedder
from asd_edge.simulator import MACHINES, SimulatedMachine
from asd_edge.timing import Time, in_turns
from asd_export.graph import INPUT, export_graph
from asd_export.heard import Feed
from asd_export.precision.quantise import quantised
from asd_export.precision.sensitivity import unmeasured
from asd_train.networks.mobilenetv2 import MobileNetV2
from tests.bench.networks import FRONT_END, SHIPPED, Made, made, window_session, with_statistics

Features = NDArray[np.float32]
_FRAMES = 31  # a second of sound
_CALIBRATE, _COMPARE = 1, 2  # seeds of the simulated machines
_SEGMENTS = 8  # at once: what a file, or a few channels, give


def tf_resnet(width: float, seconds: float) -> list[dict[str, Any]]:
    """Measure the graphs of a TF-attention ResNet: ten seconds as a whole, and the stream in steps."""
    network, calibrate, compare = made(width), sounds(_CALIBRATE), sounds(_COMPARE)
    embedder = network.embedder()
    window = int8(network.window, [{INPUT: features[None]} for features in calibrate])
    stream = int8(network.stream.stream, stream_feeds(embedder, network, calibrate))
    heads = [network.stream.head, int8(network.stream.head, head_feeds(embedder, network, calibrate))]
    windows = [window_session(graph) for graph in (network.window, window)]
    streams = [embedder, network.embedder(stream, heads[1])]
    runs: dict[str, list[Callable[[], object]]] = {
        "window of 311 frames": [partial(session, compare[0][None]) for session in windows]
    }
    for frames in (_FRAMES, 6):
        steps = [partial(each.advance, compare[0][None, :frames], first_pasts(each)) for each in streams]
        runs[f"stream of {frames} frames"] = list(steps)
    rows = _rows(f"tf_resnet × {width}", runs, seconds)
    window_size = len(window) / len(network.window)
    stream_size = (len(stream) + len(heads[1])) / (len(network.stream.stream) + len(heads[0]))
    apart = _apart(*windows, compare), _apart(*map(whole_window, streams), compare)
    for row in rows:
        whole = row["graph"].startswith("window")
        row |= {"size": window_size if whole else stream_size, "distance": apart[0 if whole else 1]}
    return rows


def mobilenetv2(width: float, seconds: float) -> list[dict[str, Any]]:
    """Measure the segment graph of MobileNetV2: one segment, and several at once."""
    network = with_statistics(MobileNetV2(bands=FRONT_END.bands, width=width))
    fp32 = export_graph(network, frames=SHIPPED.frames, bands=network.bands, dims=network.dims).graph
    calibrate, compare = segments(_CALIBRATE), segments(_COMPARE)
    graph = int8(fp32, [{INPUT: heard} for heard in calibrate])
    sessions = [window_session(each) for each in (fp32, graph)]
    runs: dict[str, list[Callable[[], object]]] = {
        name: [partial(session, np.concatenate(compare)[:count]) for session in sessions]
        for name, count in (("segment of 64 frames", 1), (f"{_SEGMENTS} segments at once", _SEGMENTS))
    }
    rows = _rows(f"mobilenetv2 × {width}", runs, seconds)
    apart = _apart(*sessions, [segment for heard in compare for segment in heard])
    return [row | {"size": len(graph) / len(fp32), "distance": apart} for row in rows]


def measure(widths: Sequence[float], *, seconds: float) -> list[dict[str, Any]]:
    """Return a row for each graph of each network."""
    return [row for of in (tf_resnet, mobilenetv2) for width in widths for row in of(width, seconds)]


def int8(graph: bytes, feeds: Sequence[Feed]) -> bytes:
    """Return a graph in int8 as a bundle gets it."""
    return quantised(graph, feeds, unmeasured(graph))


def stream_feeds(embedder: OnnxStreamEmbedder, network: Made, heard: list[Features]) -> list[Feed]:
    """Return what the stream graph is fed with over some sounds: its pasts are those of the fp32 graph itself."""
    names = [past.input for past in network.stream.tensors.pasts]
    feeds: list[Feed] = []
    for features in heard:
        pasts = first_pasts(embedder)
        for start in range(0, len(features) - _FRAMES + 1, _FRAMES):
            part = features[None, start : start + _FRAMES]
            feeds.append({network.stream.tensors.features: part} | dict(zip(names, pasts, strict=True)))
            pasts = list(embedder.advance(part, pasts)[1])
    return feeds


def head_feeds(embedder: OnnxStreamEmbedder, network: Made, heard: list[Features]) -> list[Feed]:
    """Return what the head is fed with: moments of ten seconds, all frames weighing the same."""
    tensors, heads = network.stream.tensors, embedder.pooled_shape[1]
    feeds: list[Feed] = []
    for features in heard:
        frames = embedder.advance(features[None], first_pasts(embedder))[0].features  # [1, frames, bands, depth]
        moments = (np.repeat(moment[:, :, None], heads, axis=2) for moment in (frames.mean(axis=1), frames.var(axis=1)))
        feeds.append(dict(zip((tensors.mean, tensors.variance), moments, strict=True)))
    return feeds


def first_pasts(embedder: OnnxStreamEmbedder) -> list[Features]:
    """Return the memory of one channel that has heard nothing."""
    return [past[None] for past in embedder.initial_pasts()]


def sounds(seed: int) -> list[Features]:
    """Return the frames of ten seconds of each simulated machine, float32 [311, bands] each."""
    front_end = FrontEnd(FRONT_END)
    heard = []
    for kind in MACHINES:
        front_end.reset()
        heard.append(front_end.push(SimulatedMachine(kind, seed=seed).render(160_000)).features)
    return heard


def segments(seed: int) -> list[Features]:
    """Return the same sounds as segments, float32 [segments, frames, bands] each."""
    starts = range(0, 311 - SHIPPED.frames + 1, SHIPPED.step)
    return [np.stack([features[i : i + SHIPPED.frames] for i in starts]) for features in sounds(seed)]


def _rows(network: str, runs: dict[str, list[Callable[[], object]]], seconds: float) -> list[dict[str, Any]]:
    """Time both precisions of every graph in turns."""
    flat = {f"{graph}|{i}": run for graph, both in runs.items() for i, run in enumerate(both)}
    times = in_turns(flat, seconds=seconds)
    return [{"network": network, "graph": graph, **_ratio(times[f"{graph}|0"], times[f"{graph}|1"])} for graph in runs]


def _ratio(fp32: Time, int8: Time) -> dict[str, Any]:
    faster = fp32.median / int8.median
    deviation = faster * (fp32.deviation / fp32.median + int8.deviation / int8.median)
    return {"times_faster": faster, "deviation": deviation, "fp32": asdict(fp32), "int8": asdict(int8)}


def _apart(first: Embed, second: Embed, heard: Sequence[Features]) -> float:
    """Return the largest cosine distance between what two graphs make of the same sounds."""
    return max(1.0 - float(_unit(first, features) @ _unit(second, features)) for features in heard)


def _unit(embed: Embed, features: Features) -> NDArray[np.float64]:
    embedding = np.asarray(embed(features[None]), np.float64)[0]
    return np.asarray(embedding / np.linalg.norm(embedding))
