"""Bundles small enough to make in every test: the mean log-mel spectrum, projected at random to 16 numbers, and a
network of two convolutions that runs with the sound.

What it embeds is real, so enrollment and detection work with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_edge.bundle.archive import write_bundle
from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.calibration import Calibration, Gamma
from asd_edge.bundle.embedder import load_embedder
from asd_edge.bundle.fields import FrontEndFields, SegmentFields, WindowFields
from asd_edge.bundle.golden import Golden
from asd_edge.bundle.graphs import Graphs, SegmentGraph, StreamGraph, Tensor
from asd_edge.bundle.manifest import Description, GoldenFields, Provenance
from asd_edge.bundle.variants import KINDS, FactoryCondition, FactoryMachine, Parity, Variant
from asd_edge.dsp.front_end import FrontEndSpec
from asd_edge.dsp.segments import SegmentSpec
from asd_edge.engines.onnx_stream import PastTensor, StreamTensors
from asd_edge.pipeline import Pipeline
from asd_edge.scoring.aggregation import WindowSpec
from asd_edge.scoring.backends.nearest_centre import NearestCentre
from asd_edge.serving.verify import golden_embeddings

DIMS = 16
GOLDEN = Path(__file__).parent.parent / "golden"
GRAPHS = {"segment": "tiny_embedder.onnx", "stream": "tiny_stream.onnx", "head": "tiny_head.onnx"}
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
    golden: Golden | None = None,
    **changes: Any,
) -> Bundle:
    """Write a valid bundle and return it as it reads back.

    `graphs_bytes` replaces ONNX members, `arrays` single arrays, `golden` the golden segments, `changes` fields of the
    manifest's Description. `machines` are those of every variant, and all `precisions` have the same tiny graphs. With
    `machines=()` the factory knows nothing.
    """
    told = tiny_description(**changes)
    usual = tiny_arrays(told.shapes["conditions"][0])
    parts = {name: usual[name] for name in told.shapes if name != "golden"} | (arrays or {})
    members = [name for variant in told.variants for name in variant.members]
    graphs = {name: (GOLDEN / GRAPHS[name.split(".")[0]]).read_bytes() for name in members} | (graphs_bytes or {})
    return write_bundle(path, told, graphs=graphs, arrays=parts, golden=golden or tiny_golden(told, graphs))


def tiny_golden(told: Description, graphs: Mapping[str, bytes]) -> Golden:
    """Two golden segments of noise: what the tiny graphs make of them stands for the trained network too.

    Graphs that cannot be run, which some tests want, have golden embeddings of zeros.
    """
    shapes = told.golden_shapes
    random = np.random.default_rng(5)
    features = random.normal(-40.0, 5.0, shapes["features"]).astype(np.float32)
    spectra = random.random(shapes["spectra"], dtype=np.float32) if "spectra" in shapes else None
    blank = Golden(features, spectra, {}, {}, unit=told.golden.unit)
    exported = {(v.kind, v.precision): _embedded(told, graphs, blank, v) for v in told.variants}
    trained = {kind: exported[kind, "fp32"] for kind in told.kinds}
    return replace(blank, trained=trained, exported=exported)


def _embedded(told: Description, graphs: Mapping[str, bytes], golden: Golden, variant: Variant) -> NDArray[np.float32]:
    try:
        embedder = load_embedder(told.graphs, graphs, variant.kind, variant.precision)
        pipeline = Pipeline(told.front_end.spec(), told.segment.spec(), told.window.spec(), "mean", embedder)
        return golden_embeddings(pipeline, golden)
    except Exception:  # onnxruntime raises half a dozen unrelated classes
        return np.zeros((told.golden.segments, told.dims), np.float32)


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
    fan = FactoryMachine(machine="fan", section="00", idle_floor=1e-6, conditions=(source,))
    machines, precisions = changes.pop("machines", (fan,)), changes.pop("precisions", ("fp32",))
    graphs = changes.get("graphs", Graphs(segment=SEGMENT, stream=None))
    kinds = [kind for kind in KINDS if getattr(graphs, kind) is not None]
    content: dict[str, Any] = {
        "name": "tiny",
        "release": 1,
        "created_utc": "2026-01-02T03:04:05Z",
        "front_end": FrontEndFields.of(FrontEndSpec()),
        "segment": SegmentFields.of(SegmentSpec()),
        "window": WindowFields.of(WindowSpec(segments=4, every=1)),
        "aggregation": "mean",
        "embedder": "segment",
        "graphs": Graphs(segment=SEGMENT, stream=None),
        "backend": NearestCentre(),
        "variants": tuple(
            Variant(kind=kind, precision=precision, parity=Parity(deviation=0.0), machines=machines)
            for kind in kinds
            for precision in precisions
        ),
        "golden": GoldenFields(segments=2, unit=(graphs.segment or graphs.stream).dims),
        "provenance": Provenance(
            recipe="tiny", recipe_sha256="0" * 64, seed=20, data=("none",), asd_edge_version="0.1.0"
        ),
    }
    return Description(**(content | changes))
