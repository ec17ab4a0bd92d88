"""Every exported graph goes through the real parser and builder of TensorRT, in every precision."""

from __future__ import annotations

from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.variants import PRECISIONS
from asd_export.graphs import ExportedGraphs
from tests.bench.tensorrt_matrix import built
from tests.edge.required import required_module


def assert_all_build(bundle: Bundle) -> None:
    """Build a portable engine from each of a bundle's graphs, and from it in the precisions that the bundle lacks."""
    required_module("tensorrt_rtx", "tensorrt-rtx")
    graphs = ExportedGraphs(bundle.manifest.graphs, bundle.graphs)
    cells = {(part, precision): cell for part, precision, cell in built(graphs, PRECISIONS)}
    assert len(cells) == len(PRECISIONS) * sum(".fp32." in name for name in bundle.graphs)
    assert {place: cell["error"] for place, cell in cells.items() if "error" in cell} == {}
