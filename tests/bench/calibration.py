"""Ranges for int8 by three methods, on one trained network: largest values seen, a percentile, the least entropy.

    python -m tests.bench.calibration --run RUN [--data DATA ...]

Prints for each method the noise of embeddings within a machine (asd_export.precision.sensitivity) and how scores of
the test clips compare with those of fp32, each with its own centres: with everything in int8 that is not too narrow
for it, and as the sweep plans it (with ranges of the first method).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from asd_edge.pipeline import Pipeline
from asd_export.accept import compare_scores
from asd_export.bundle import commissioner
from asd_export.graphs import export_graphs
from asd_export.heard import Feed
from asd_export.precision.calibration import Range, find_ranges, tensors
from asd_export.precision.quantise import written
from asd_export.precision.sensitivity import noise_of, sweep, unmeasured
from asd_export.variants import Material
from asd_train.data.dcase import read_datasets
from asd_train.embedder import torch_pipeline
from asd_train.evaluation.scored import ScoredClip
from asd_train.progress import Progress
from asd_train.run import load_runs

Method = Literal["minmax", "percentile", "entropy"]
METHODS: tuple[Method, ...] = ("minmax", "percentile", "entropy")

_BINS, _LEVELS = 2048, 128
_PERCENTILE = 0.9999
_CANDIDATES = 8  # every eighth bin may be the bound that entropy chooses: a scale need not be finer than 0.4 %


@dataclass
class Seen:
    """What a tensor held: its range, and counts of its absolute values in equal bins up to the largest."""

    low: float
    high: float
    counts: NDArray[np.int64]

    def range(self, method: Method) -> Range:
        """Return the range to quantise.

        minmax: what was seen. percentile: without the largest ten-thousandth of the absolute values. entropy: up to
        where 128 levels diverge least from what was seen.
        """
        if method == "minmax":
            return self.low, self.high
        bins = _percentile(self.counts) if method == "percentile" else _entropy(self.counts)
        bound = max(-self.low, self.high) * bins / len(self.counts)
        return max(self.low, -bound), min(self.high, bound)


def observe(graph: bytes, feeds: Sequence[Feed]) -> dict[str, Seen]:
    """Return what every float tensor of a graph holds with these inputs. It runs twice: bins need the extremes."""
    seen = {name: Seen(*found, np.zeros(_BINS, np.int64)) for name, found in find_ranges(graph, feeds).items()}
    for name, x in tensors(graph, feeds):
        largest = max(-seen[name].low, seen[name].high)
        if largest > 0.0:
            seen[name].counts += np.histogram(np.abs(x), _BINS, (0.0, largest))[0]
    return seen


def _percentile(counts: NDArray[np.int64]) -> int:
    return int(np.searchsorted(np.cumsum(counts), _PERCENTILE * counts.sum())) + 1


def _entropy(counts: NDArray[np.int64]) -> int:
    """Return the number of bins whose distribution, on 128 levels, has the least relative entropy.

    Migacz: 8-bit inference with TensorRT, GTC 2017, slide 38: P is what was seen with all that is beyond the bound in
    the last bin; Q spreads each level's count evenly over those of its bins that are not empty; KL(P‖Q) is compared.
    The first bin counts as the second: what a ReLU has set to 0 costs nothing at any scale, and would outweigh the rest
    (so does pytorch-quantization).
    """
    best, least = _BINS, np.inf
    counts = np.concatenate((counts[1:2], counts[1:]))
    for bins in range(_LEVELS, _BINS + 1, _CANDIDATES):
        p = counts[:bins].astype(np.float64)
        starts = np.linspace(0, bins, _LEVELS, endpoint=False).astype(np.intp)
        level = np.repeat(np.arange(_LEVELS), np.diff(starts, append=bins))
        filled = p > 0.0
        share = np.add.reduceat(p, starts) / np.maximum(np.add.reduceat(filled, starts, dtype=np.int64), 1)
        q = np.where(filled, share[level], 0.0)
        p[-1] += counts[bins:].sum()
        both = (p > 0.0) & (q > 0.0)
        if not both.any() or (p[~both] > 0.0).any():
            continue  # no level is left for what was clipped: an infinite divergence
        p, q = p / p.sum(), q / q.sum()
        divergence = float(np.sum(p[both] * np.log(p[both] / q[both])))
        if divergence < least:
            best, least = bins, divergence
    return best


def measure(run_folder: Path, datasets: Sequence[str]) -> None:
    """Print a line for each method, with and without a plan."""
    (run,) = load_runs(run_folder)
    clips = run.labelled(read_datasets(datasets or run.datasets))
    exported, quiet = export_graphs(run, both=False), Progress(enabled=False)
    (kind,) = exported.kinds
    pipeline = replace(torch_pipeline(run, run.recipe), embedder=exported.embedder(kind))
    material = Material(pipeline, clips, run.held_out, run.channel, commissioner(run, run.recipe, clips, quiet), quiet)

    def scored(heard: Pipeline) -> list[ScoredClip]:
        return material.scored(heard, material.commissioned(heard))

    feeds, embeds, reference = material.feeds(exported, kind), material.embeds(exported, kind), scored(pipeline)
    fp32 = {part: exported.members[f"{part}.fp32.onnx"] for part in feeds}
    exact = embeds(fp32)
    seen = {part: observe(graph, feeds[part]) for part, graph in fp32.items()}
    plans = {
        "all wide layers": {part: unmeasured(graph) for part, graph in fp32.items()},
        "as planned": sweep(fp32, feeds, embeds).plans,
    }
    for method, (name, plan) in product(METHODS, plans.items()):
        ranges = {part: {tensor: each.range(method) for tensor, each in seen[part].items()} for part in fp32}
        int8 = {part: written(graph, ranges[part], plan[part]) for part, graph in fp32.items()}
        members = {**exported.members, **{f"{part}.int8.onnx": graph for part, graph in int8.items()}}
        whole = replace(exported, members=members)
        compared = compare_scores(reference, scored(replace(pipeline, embedder=whole.embedder(kind, "int8"))))
        print(
            f"{kind} {name}, {method}: noise {noise_of(embeds(int8), exact):.2e}, correlation "
            f"{compared.correlation:.4f}, AUC lost {compared.auc_drop or 0.0:+.2f} points",
            flush=True,
        )


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of a training run")
    parser.add_argument("--data", nargs="*", default=[], help="data sets; by default those of the run")
    arguments = parser.parse_args()
    measure(arguments.run, arguments.data)


if __name__ == "__main__":
    main()
