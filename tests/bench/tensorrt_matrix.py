"""Every recipe × graph × precision through TensorRT's parser and builder: what builds, how large, in what time.

    python -m tests.bench.tensorrt_matrix [--recipe NAME ...] [--precision NAME ...]

The builder is that of tensorrt-rtx, for its default compute capabilities, which needs no GPU. Networks are full size
and untrained: neither the parser nor the builder looks at what a weight is worth. int8 is calibrated on noise for the
same reason, with the plan that the export begins with. Rows are kept in docs/benchmarks/tensorrt.json and made again
when they are asked for; nothing else is.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from asd_edge.atomic import atomic_write
from asd_edge.bundle.variants import PRECISIONS, Kind, Precision
from asd_edge.engines.embedder import StreamEmbedder
from asd_edge.engines.tensorrt_build import engine_from_onnx
from asd_edge.engines.tensorrt_module import find_tensorrt
from asd_edge.errors import EngineError
from asd_export.graphs import ExportedGraphs, export_graphs
from asd_export.heard import Feed
from asd_export.precision.half import halved
from asd_export.precision.quantise import quantised
from asd_export.precision.sensitivity import unmeasured
from asd_train.networks.build import trained_network
from asd_train.recipe import Recipe, load_recipe, recipe_names
from asd_train.recipe.load import variant_names
from asd_train.run import Run
from tests.bench.machine import machine

RESULTS = Path(__file__).parents[2] / "docs" / "benchmarks" / "tensorrt.json"
CLASSES = ("fan/00/source/speed_1", "fan/00/source/speed_2", "fan/01/source/speed_1")

_RUNS, _STEP = 1, 31  # of noise: runs of a graph, frames of a stream's step


def main(given: Sequence[str] | None = None) -> None:
    """Make the rows that are asked for, all without a name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", nargs="*", default=list(distinct()))
    parser.add_argument("--precision", nargs="*", default=list(PRECISIONS), choices=PRECISIONS)
    asked = parser.parse_args(given)
    for name in asked.recipe:
        run = untrained(load_recipe(name))
        for part, precision, cell in built(export_graphs(run, both=True), asked.precision):
            print(f"{name} {part} {precision}: {cell}", flush=True)
            _keep(name, part, precision, cell)


def distinct() -> dict[str, list[str]]:
    """Return the recipes and variants with a graph of their own, each with those that have the same."""
    same: dict[str, list[str]] = {}
    for name in recipe_names():
        for full in (name, *(f"{name}:{variant}" for variant in variant_names(name))):
            recipe = load_recipe(full)
            graph = recipe.model_dump_json(include={"network", "front_end", "segment", "members", "embedder"})
            same.setdefault(f"{graph} {recipe.snapshots}", []).append(full)
    return {names[0]: names[1:] for names in same.values()}


def untrained(recipe: Recipe) -> Run:
    """Return a run whose network has fresh weights and whose batch norms have heard noise."""
    torch.manual_seed(0)
    network = trained_network(recipe, CLASSES)
    bands, frames = recipe.front_end.bands, recipe.segment.frames
    inputs = [torch.randn(4, frames, bands) * 12.0 - 45.0]
    if network.hears_spectrum:
        inputs.append(torch.rand(4, recipe.spectrum_bins) * 100.0)
    network.train()
    with torch.no_grad():
        network(*inputs)
    return Run(recipe, 0, (), None, CLASSES, (), (), network.eval())


def built(graphs: ExportedGraphs, precisions: Sequence[Precision]) -> Iterator[tuple[str, Precision, dict[str, Any]]]:
    """Yield what came of every graph: part of the bundle, precision, sizes and seconds or why not.

    Precisions that are not among the graphs are made from fp32.
    """
    for kind in graphs.kinds:
        for part, feeds in noise(graphs, kind).items():
            for precision in precisions:
                graph = graphs.members.get(f"{part}.{precision}.onnx")
                fp32 = graphs.members[f"{part}.fp32.onnx"]
                yield part, precision, build(in_precision(fp32, precision, feeds) if graph is None else graph)


def in_precision(graph: bytes, precision: Precision, feeds: Sequence[Feed]) -> bytes:
    """Return a graph in a precision; int8 as the export begins: with layers of few channels in float32.

    A shipped graph may keep the activations of sensitive layers too; finding those takes sound, and minutes.
    """
    if precision == "fp32":
        return graph
    return halved(graph) if precision == "fp16" else quantised(graph, feeds, unmeasured(graph))


def build(graph: bytes) -> dict[str, Any]:
    """Return what came of a graph."""
    start = perf_counter()
    try:
        engine = engine_from_onnx(graph, tensorrt=find_tensorrt("tensorrt_rtx"))
    except EngineError as error:
        return {"graph_bytes": len(graph), "error": error.found}
    return {"graph_bytes": len(graph), "engine_bytes": len(engine), "seconds": perf_counter() - start}


def noise(graphs: ExportedGraphs, kind: Kind) -> dict[str, list[Feed]]:
    """Return what the graphs of a kind are fed with when they hear noise, by part."""
    random = np.random.default_rng(0)
    if kind == "segment":
        graph = graphs.described.segment
        assert graph is not None
        inputs = [graph.input] if graph.spectrum is None else [graph.input, graph.spectrum]
        shapes = {tensor.name: (1, *tensor.shape[1:]) for tensor in inputs}
        offsets = {graph.input.name: -45.0}
        return {
            "segment": [
                {
                    name: random.normal(offsets.get(name, 50.0), 12.0, shape).astype(np.float32)
                    for name, shape in shapes.items()
                }
                for _ in range(_RUNS)
            ]
        }
    stream = graphs.described.stream
    embedder = graphs.embedder("stream")
    assert stream is not None
    assert isinstance(embedder, StreamEmbedder)
    feeds: dict[str, list[Feed]] = {"stream": [], "head": []}
    pasts = [past[None] for past in embedder.initial_pasts()]
    names = [past.input for past in stream.tensors.pasts]
    for _ in range(_RUNS):
        features = random.normal(-45.0, 12.0, (1, _STEP, stream.features.shape[-1])).astype(np.float32)
        feeds["stream"].append({stream.features.name: features} | dict(zip(names, pasts, strict=True)))
        heard, after = embedder.advance(features, pasts)
        pasts = list(after)
        shape = (1, *stream.pooled_shape)
        moments = heard.features.mean(axis=1)[:, :, None], heard.features.var(axis=1)[:, :, None]
        mean, variance = (np.ascontiguousarray(np.broadcast_to(moment, shape)) for moment in moments)
        feeds["head"].append({stream.mean.name: mean, stream.variance.name: variance})
    return feeds


def _keep(name: str, part: str, precision: Precision, cell: dict[str, Any]) -> None:
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"cells": {}}
    results["machine"] = machine("tensorrt-rtx", "onnx", "torch")
    results["same"] = distinct()
    results["cells"].setdefault(name, {}).setdefault(part, {})[precision] = cell
    with atomic_write(RESULTS) as stream:
        stream.write(json.dumps(results, indent=1).encode() + b"\n")


if __name__ == "__main__":
    main()
