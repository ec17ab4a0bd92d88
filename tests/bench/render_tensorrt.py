"""The table of what TensorRT's builder builds, from the cells that tests.bench.tensorrt_matrix has made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asd_edge.bundle.variants import PRECISIONS
from tests.bench.machine import told

_TITLE = "## What TensorRT builds\n\n`python -m tests.bench.tensorrt_matrix`"
_MEANING = """
The real parser and builder of tensorrt-rtx, strongly typed, ahead of time for its default compute capabilities, without
a GPU; full-size networks of every recipe. int8 leaves layers of few channels in float32, as every shipped graph does;
which others a shipped graph keeps is measured on sound, and these networks have heard noise. A cell: size of the graph
→ of the engine, seconds of the build on a busy machine. **It says that graphs parse and build, no more**: TensorRT-RTX
does not run on Jetsons, and lists int8 for weights of matrix products alone. That they run on an Orin or a Thor is
unproven until `asd-edge verify` has run on one ([what is proved](tensorrt.md#what-is-proved)).
"""

Cell = Mapping[str, Any]


def tensorrt(results: Mapping[str, Any] | None) -> str:
    """Return the part of the page; what is missing is told how to make."""
    if results is None:
        return f"{_TITLE}\n\nNot built yet."
    head = f"| recipe | graph | {' | '.join(PRECISIONS)} |\n|---|---{'|---' * len(PRECISIONS)}|"
    rows = [
        f"| {name} | {part} | {' | '.join(_cell(cells.get(precision)) for precision in PRECISIONS)} |"
        for name, parts in sorted(results["cells"].items())
        for part, cells in parts.items()
    ]
    every = [cell for parts in results["cells"].values() for cells in parts.values() for cell in cells.values()]
    count = f"{sum('error' not in cell for cell in every)} of {len(every)} graphs build."
    same = [f"{', '.join(others)}: as {name}" for name, others in sorted(results["same"].items()) if others]
    text = " ".join(_MEANING.split())
    table = "\n".join([head, *rows])
    return (
        f"{_TITLE}\n\n{told(results['machine'])}.\n\n{text}\n\n{table}\n\n{count} The same graphs: {'; '.join(same)}."
    )


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "–"
    if "error" in cell:
        return f"refused: {cell['error'][:80]}"
    return f"{cell['graph_bytes'] / 1e6:.2f} → {cell['engine_bytes'] / 1e6:.2f} MB, {cell['seconds']:.1f} s"
