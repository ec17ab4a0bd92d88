"""Three ways to int8, on the same graphs, calibrated with the same sound: ours, onnxruntime's and nvidia-modelopt's.

    python -m tests.bench.quantisers [--modelopt VENV/bin/python] [--only GRAPH] [--seconds S]

Writes docs/benchmarks/quantisers.json; without --modelopt its figures stay as they were. modelopt is no dependency of
the project: `python -m venv VENV && VENV/bin/pip install 'nvidia-modelopt[onnx]'`. All speeds are CPU time on one
thread, of one run, in turns.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from asd_edge.benchmark.throughput import Embed, whole_window
from asd_edge.bundle.archive import load_bundle
from asd_edge.engines.onnx_session import open_session
from asd_edge.engines.onnx_stream import OnnxStreamEmbedder
from asd_edge.timing import in_turns
from asd_export.graph import INPUT, OUTPUT, export_graph
from asd_export.heard import Feed
from asd_export.precision.quantise import quantised
from asd_export.precision.sensitivity import unmeasured
from asd_train.networks.mobilenetv2 import MobileNetV2
from tests.bench.machine import machine
from tests.bench.quantise_with_onnxruntime import quantise as by_onnxruntime
from tests.bench.quantised import sounds

RESULTS = Path(__file__).parents[2] / "docs" / "benchmarks" / "quantisers.json"
FRAMES = 31
SEGMENT = 64
_CALIBRATE, _COMPARE = 1, 2  # seeds of the simulated machines

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Subject:
    """A graph to quantise.

    `feeds`: calibrate it. `open`: loads it as a device does, and returns one run of its main input [batch, frames,
    bands] and what makes embeddings of ten seconds of sound.
    """

    graph: bytes
    feeds: list[Feed]
    open: Callable[[bytes], tuple[Callable[[], object], Embed]]


def stream() -> Subject:
    """The stream graph of the default bundle: TF-attention ResNet, half width, trained."""
    bundle = load_bundle("default")
    described = bundle.manifest.graphs.stream
    assert described is not None
    tensors = described.tensors

    def load(graph: bytes) -> OnnxStreamEmbedder:
        return OnnxStreamEmbedder(
            graph,
            bundle.graphs["head.fp32.onnx"],
            tensors=tensors,
            bands=bundle.pipeline().front_end.bands,
            pooled_shape=embedder.pooled_shape,
            reach=embedder.reach,
        )

    served = bundle.pipeline().embedder
    assert isinstance(served, OnnxStreamEmbedder)
    embedder = served
    names = [tensors.features, *(past.input for past in tensors.pasts)]

    def parts(features: Features) -> Iterator[Feed]:
        pasts = [past[None] for past in embedder.initial_pasts()]
        for start in range(0, len(features) - FRAMES + 1, FRAMES):
            given = features[None, start : start + FRAMES]
            yield dict(zip(names, [given, *pasts], strict=True))
            _, pasts = embedder.advance(given, pasts)  # type: ignore[assignment]

    def opened(graph: bytes) -> tuple[Callable[[], object], Embed]:
        loaded = load(graph)
        pasts = [past[None] for past in loaded.initial_pasts()]
        return partial(loaded.advance, _sounds(_COMPARE)[0][None, :FRAMES], pasts), whole_window(loaded)

    feeds = [feed for features in _sounds(_CALIBRATE) for feed in parts(features)]
    return Subject(bundle.graphs["stream.fp32.onnx"], feeds, opened)


def segment() -> Subject:
    """MobileNetV2 at full width with random weights, and batch norms as the sound makes them."""
    torch.manual_seed(3)
    network = MobileNetV2()
    frames = torch.from_numpy(np.concatenate(_sounds(_CALIBRATE)))
    network.standardise.fit(frames.mean(dim=0), frames.std(dim=0))
    heard = torch.from_numpy(np.concatenate([_segments(features) for features in _sounds(_CALIBRATE)]))
    with torch.no_grad():
        for _ in range(10):
            network.train()(heard)
    exported = export_graph(network, frames=SEGMENT, bands=network.bands, dims=network.dims)

    def opened(graph: bytes) -> tuple[Callable[[], object], Embed]:
        session = open_session(graph, inputs=[INPUT], outputs=[OUTPUT], threads=1, arena=True)

        def embed(segments: Features) -> Features:
            return np.asarray(session.run([OUTPUT], {INPUT: segments})[0])

        one = _segments(_sounds(_COMPARE)[0])[:1]
        return partial(embed, one), lambda features: embed(_segments(features[0]))

    feeds = [{INPUT: _segments(features)} for features in _sounds(_CALIBRATE)]
    return Subject(exported.graph, feeds, opened)


SUBJECTS: dict[str, Callable[[], Subject]] = {"tf_resnet, stream": stream, "MobileNetV2, segment": segment}


@cache
def _sounds(seed: int) -> tuple[Features, ...]:
    return tuple(sounds(seed))


def _segments(features: Features) -> Features:
    starts = np.arange(0, len(features) - SEGMENT + 1, SEGMENT)
    return np.asarray(features[starts[:, None] + np.arange(SEGMENT)])


def by_modelopt(python: str, subject: Subject) -> bytes:
    """Return the graph in int8 as modelopt makes it, in its own virtual environment."""
    with tempfile.TemporaryDirectory() as folder:
        graph, feeds, out = (Path(folder) / name for name in ("graph.onnx", "feeds.npz", "int8.onnx"))
        graph.write_bytes(subject.graph)
        arrays = {f"{i}/{name}": array for i, feed in enumerate(subject.feeds) for name, array in feed.items()}
        np.savez(feeds, allow_pickle=False, **arrays)
        script = Path(__file__).with_name("quantise_with_modelopt.py")
        subprocess.run([python, str(script), str(graph), str(feeds), str(out)], check=True, stdout=subprocess.DEVNULL)
        return out.read_bytes()


def measure(subject: Subject, graphs: dict[str, bytes], *, seconds: float) -> dict[str, dict[str, float]]:
    """Return size, speed and distance of each graph against fp32, all in one run."""
    opened = {name: subject.open(graph) for name, graph in ({"fp32": subject.graph} | graphs).items()}
    times = in_turns({name: run for name, (run, _) in opened.items()}, seconds=seconds)
    _, exact = opened["fp32"]
    fp32 = times["fp32"]
    found = {}
    for name, graph in graphs.items():
        own = times[name]
        speed = fp32.median / own.median
        found[name] = {
            "bytes": len(graph),
            "size": len(graph) / len(subject.graph),
            "times_faster": speed,
            "deviation": speed * (fp32.deviation / fp32.median + own.deviation / own.median),
            "cosine_distance": max(_apart(exact(x[None]), opened[name][1](x[None])) for x in _sounds(_COMPARE)),
        }
    return found


def _apart(first: object, second: object) -> float:
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    cosine = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return float(1.0 - cosine.min())


def main() -> None:
    """Measure, and write what was measured beside what was not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modelopt", metavar="PYTHON", help="of a virtual environment that has nvidia-modelopt[onnx]")
    parser.add_argument("--only", choices=SUBJECTS, help="the graph to measure; by default all")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each comparison")
    arguments = parser.parse_args()
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"graphs": {}}
    if arguments.modelopt:
        asked = "from importlib.metadata import version; print(version('nvidia-modelopt'))"
        done = subprocess.run([arguments.modelopt, "-c", asked], check=True, capture_output=True, text=True)
        results["modelopt"] = done.stdout.strip()
    results["machine"] = machine("onnxruntime", "onnx", "numpy")
    for name in [arguments.only] if arguments.only else SUBJECTS:
        subject = SUBJECTS[name]()
        graphs = {
            "ours": quantised(subject.graph, subject.feeds, unmeasured(subject.graph)),
            "onnxruntime": by_onnxruntime(subject.graph, subject.feeds),
        }
        if arguments.modelopt:
            graphs["modelopt"] = by_modelopt(arguments.modelopt, subject)
        results["graphs"][name] = results["graphs"].get(name, {}) | measure(subject, graphs, seconds=arguments.seconds)
        print(json.dumps({name: results["graphs"][name]}, indent=1), flush=True)
        RESULTS.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
