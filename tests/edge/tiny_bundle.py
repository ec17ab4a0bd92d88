"""Bundles small enough to make in every test: the mean log-mel spectrum, projected at random to 16 numbers, and a
network of two convolutions that runs with the sound.

What it embeds is real, so enrollment and detection work with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_edge.bundle.archive import Bundle, write_bundle
from asd_edge.bundle.calibration import Calibration, Gamma
from asd_edge.bundle.graphs import Graphs, SegmentGraph, StreamGraph, Tensor
from asd_edge.bundle.manifest import (
    Description,
    FactoryCondition,
    FactoryMachine,
    FrontEndFields,
    Provenance,
    SegmentFields,
    WindowFields,
)
from asd_edge.dsp.front_end import FrontEndSpec
from asd_edge.dsp.segments import SegmentSpec
from asd_edge.engines.onnx_stream import PastTensor, StreamTensors
from asd_edge.scoring.aggregation import WindowSpec
from asd_edge.scoring.backends.nearest_centre import NearestCentre

DIMS = 16
GOLDEN = Path(__file__).parent.parent / "golden"
GRAPHS = {"segment.onnx": "tiny_embedder.onnx", "stream.onnx": "tiny_stream.onnx", "head.onnx": "tiny_head.onnx"}
SEGMENT = SegmentGraph(
    input=Tensor(name="features", shape=(-1, 64, 128)), output=Tensor(name="embedding", shape=(-1, DIMS)), opset=18
)
STREAM = StreamGraph.of(
    StreamTensors(
        features="features",
        frame_features="frame_features",
        logits="logits",
        pasts=(PastTensor("past_0", "next_past_0", (32, 4)), PastTensor("past_1", "next_past_1", (32, 2))),
        mean="mean",
        variance="variance",
        embedding="embedding",
    ),
    bands=128,
    pooled=(4, 2, 8),
    dims=DIMS,
    reach=3,
    opset=18,
)
STREAMED: dict[str, Any] = {"embedder": "stream", "graphs": Graphs(segment=None, stream=STREAM)}
"""Changes that make the tiny bundle run with the sound."""

CALIBRATION = Calibration(
    method="gamma", quantile=0.99, count=40, percentile_threshold=0.1, gamma=Gamma(shape=4.0, scale=0.01)
)


def make_tiny_bundle(
    path: Path,
    *,
    graphs_bytes: dict[str, bytes] | None = None,
    arrays: dict[str, NDArray[np.float32]] | None = None,
    **changes: Any,
) -> Bundle:
    """Write a valid bundle and return it as it reads back.

    `graphs_bytes` replaces ONNX members, `arrays` single arrays, `changes` fields of the manifest's Description.
    With `machines=()` the factory knows nothing.
    """
    told = tiny_description(**changes)
    usual = tiny_arrays(told.shapes["conditions"][0])
    parts = {name: usual[name] for name in told.shapes} | (arrays or {})
    graphs = {name: (GOLDEN / GRAPHS[name]).read_bytes() for name in told.graphs.members} | (graphs_bytes or {})
    return write_bundle(path, told, graphs=graphs, arrays=parts)


def tiny_arrays(numbers: int = 2 * DIMS) -> dict[str, NDArray[np.float32]]:
    """The mel matrix of the default front end and random `numbers` of the conditions."""
    conditions = np.random.default_rng(7).standard_normal(numbers, dtype=np.float32)
    return {"mel": FrontEndSpec().mel(), "conditions": conditions}


def tiny_description(**changes: Any) -> Description:
    """A manifest that knows one machine from the factory: fan/00, with a source condition of two centres."""
    source = FactoryCondition(
        name="source",
        arrays={"references": (2, DIMS)},
        labels=("source/spd_1", "source/spd_2"),
        threshold=0.12,
        calibration=CALIBRATION,
    )
    content: dict[str, Any] = {
        "name": "tiny",
        "created_utc": "2026-01-02T03:04:05Z",
        "front_end": FrontEndFields.of(FrontEndSpec()),
        "segment": SegmentFields.of(SegmentSpec()),
        "window": WindowFields.of(WindowSpec(segments=4, every=1)),
        "aggregation": "mean",
        "embedder": "segment",
        "graphs": Graphs(segment=SEGMENT, stream=None),
        "backend": NearestCentre(),
        "machines": (FactoryMachine(machine="fan", section="00", idle_floor=1e-6, conditions=(source,)),),
        "provenance": Provenance(
            recipe="tiny", recipe_sha256="0" * 64, seed=20, data=("none",), asd_edge_version="0.1.0"
        ),
    }
    return Description(**(content | changes))
