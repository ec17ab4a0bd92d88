"""One graph quantised by nvidia-modelopt, in a virtual environment that has it: run by tests.bench.quantisers.

    python quantise_with_modelopt.py GRAPH FEEDS OUT

FEEDS is an .npz: input i of feed j under the name "j/NAME". Every feed is calibrated with. What lies outside int8 stays
float32, and weights are stored in int8 (`dq_only`), as in the other graphs. Ranges are the largest seen: on the trained
stream graph its entropy calibration moved embeddings 600 times as far.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np


class _Feeds:
    """What onnxruntime's calibration asks of a reader."""

    def __init__(self, feeds: list[dict[str, Any]]) -> None:
        self._feeds = feeds
        self.rewind()

    def get_next(self) -> dict[str, Any] | None:
        return next(self._left, None)

    def get_first(self) -> dict[str, Any]:
        return self._feeds[0]

    def rewind(self) -> None:
        self._left = iter(self._feeds)


def main(graph: Path, feeds: Path, out: Path) -> None:
    """Quantise a graph, for the processor: without a GPU or TensorRT."""
    from modelopt.onnx.quantization import quantize  # type: ignore[import-not-found]  # no dependency of the project

    by_number: dict[str, dict[str, Any]] = defaultdict(dict)
    with np.load(feeds) as stored:
        for name in stored.files:
            number, _, tensor = name.partition("/")
            by_number[number][tensor] = stored[name]
    quantize(
        str(graph),
        quantize_mode="int8",
        calibration_data_reader=_Feeds(list(by_number.values())),
        calibration_method="max",
        calibration_eps=["cpu"],
        high_precision_dtype="fp32",
        dq_only=True,
        output_path=str(out),
        log_level="ERROR",
    )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
