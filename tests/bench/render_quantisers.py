"""The section on three ways to int8 in docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.bench.machine import told

_NAMES = {
    "ours": "ours (`asd_export.precision`)",
    "onnxruntime": "onnxruntime's `quantize_static`",
    "modelopt": "nvidia-modelopt",
}
_MEANING = """
The same fp32 graph, calibrated with the same sound of simulated machines; times faster than fp32 on one thread, CPU
time, all graphs of a table measured in one run in turns; ±: median absolute deviation. Cosine distance: the largest
between fp32's embeddings and the int8 graph's, on other simulated machines; tf_resnet is the trained default network,
MobileNetV2 has random weights, so that its distances compare the three and tell nothing of a trained one. Settings of
onnxruntime's and modelopt's: symmetric int8, ranges from the largest value seen, weights stored in int8. modelopt
quantises for TensorRT: where its pairs stand follows what TensorRT fuses, and a processor is not what it was made for.
"""


def quantisers(results: Mapping[str, Any] | None) -> str:
    """Return the section; what is missing is told how to make."""
    title = "## Three ways to int8\n\n`python -m tests.bench.quantisers --modelopt VENV/bin/python`"
    if results is None:
        return f"{title}\n\nNot measured yet."
    head = "| graph | quantiser | size, of fp32's | times faster | cosine distance |\n|---|---|---|---|---|"
    rows = [
        f"| {graph} | {name} | {found[key]['size']:.0%} | {found[key]['times_faster']:.2f} ± "
        f"{found[key]['deviation']:.2f} | {found[key]['cosine_distance']:.1e} |"
        for graph, found in results["graphs"].items()
        for key, name in _NAMES.items()
        if key in found
    ]
    modelopt = f", nvidia-modelopt {results['modelopt']}" if "modelopt" in results else ""
    table = "\n".join([head, *rows])
    return f"{title}\n\n{told(results['machine'])}{modelopt}.\n\n{' '.join(_MEANING.split())}\n\n{table}"
