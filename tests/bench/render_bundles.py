"""What a bundle weighs, from the results of tests.bench.bundles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asd_edge.bundle.variants import PRECISIONS
from tests.bench.machine import told

_TITLE = "## What a bundle weighs\n\n`python -m tests.bench.bundles`"
_BOUNDS = {1.0: 25, 0.5: 9}  # MB


def bundles(results: Mapping[str, Any] | None) -> str:
    """Return the part of the page; what is missing is told how to make."""
    if results is None:
        return f"{_TITLE}\n\nNot measured yet."
    rows = []
    for made in results["bundles"]:
        graphs = made["graphs"]
        parts = [_size(graphs, kind, precision) for kind in ("segment", "stream") for precision in PRECISIONS]
        bound = _BOUNDS[made["width"]]
        rows.append(f"| {made['width']} | **{made['bytes'] / 1e6:.2f} MB** (≤ {bound}) | {' | '.join(parts)} |")
    head = " | ".join(f"{kind}/{precision}" for kind in ("segment", "stream and head") for precision in PRECISIONS)
    text = (
        "`tf_resnet` with both kinds of graph in three precisions, conditions of four machines and sections, golden "
        "segments. No weights are shared between graphs: each is whole by itself, and the bundle is within its bound."
    )
    return (
        f"{_TITLE}\n\n{told(results['machine'])}.\n\n{text}\n\n| width | bundle | {head} |\n|{'---|' * 8}\n"
        + "\n".join(rows)
    )


def _size(graphs: Mapping[str, int], kind: str, precision: str) -> str:
    names = [f"{part}.{precision}.onnx" for part in (("segment",) if kind == "segment" else ("stream", "head"))]
    if any(name not in graphs for name in names):
        return "left out"
    return f"{sum(graphs[name] for name in names) / 1e6:.2f} MB"
