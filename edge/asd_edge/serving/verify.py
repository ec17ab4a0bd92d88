"""The parity gate on a device: does what runs here embed the golden segments as it should? (docs/parity.md)"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from math import nan
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.golden import Golden, deviation
from asd_edge.bundle.variants import Kind, Precision
from asd_edge.dsp.front_end import Frames
from asd_edge.embedding.streamed import StreamedEmbedding
from asd_edge.engines.embedder import StreamEmbedder
from asd_edge.errors import EngineError
from asd_edge.pipeline import Pipeline
from asd_edge.serving.accelerator import Accelerator
from asd_edge.serving.choice import Engine

_log = logging.getLogger(__name__)

LIMITS: Final[Mapping[Precision, float]] = {"fp32": 1e-5, "fp16": 1e-3, "int8": 1e-3}
"""Largest deviation of the golden embeddings: of fp32 and fp16 from the trained network's, of int8 from those of the
same graph where it was exported. What eight bits themselves cost was judged there, by scores (asd_export.accept); here
only engines and processors differ, which round ties and add up in their own ways."""


@dataclass(frozen=True)
class Verdict:
    """How a variant embeds the golden segments on an engine here: `deviation` from what it should, at most `limit`."""

    kind: Kind
    precision: Precision
    deviation: float
    limit: float
    engine: Engine = "onnxruntime"

    @property
    def passed(self) -> bool:
        """Whether it may serve; what is not a number does not."""
        return self.deviation <= self.limit

    def to_json(self) -> dict[str, Any]:
        """Return plain values; null for a deviation that is no number."""
        finite = bool(np.isfinite(self.deviation))
        return asdict(self) | {"deviation": self.deviation if finite else None, "passed": self.passed}

    def __str__(self) -> str:
        verdict = "ok" if self.passed else "FAILED"
        on = "" if self.engine == "onnxruntime" else f" on {self.engine}"
        return f"{self.kind}/{self.precision}{on}: {verdict}, deviation {self.deviation:.1e} of {self.limit:.0e}"


def verify(bundle: Bundle, pipeline: Pipeline | None = None, engine: Engine = "onnxruntime") -> Verdict:
    """Hold what runs the variant in view to the embeddings that travel with it.

    Args:
        bundle: seen as the variant.
        pipeline: with the engine that is to serve; onnxruntime on the CPU by default.
        engine: which one that is.

    Raises:
        EngineError: the engine cannot load or run the graphs.
    """
    golden, key = bundle.golden, (bundle.kind, bundle.precision)
    expected = golden.exported[key] if bundle.precision == "int8" else golden.trained[bundle.kind]
    found = golden_embeddings(pipeline or bundle.pipeline(), golden)
    return Verdict(*key, deviation(found, expected, unit=golden.unit), LIMITS[bundle.precision], engine)


def check_served(bundle: Bundle, pipeline: Pipeline) -> str | None:
    """Hold onnxruntime to the golden segments before it serves the variant in view; say what is wrong, None if nothing.

    fp32 serves all the same, for a device that hears a little wrong is better than one that is deaf, and its scores are
    still compared with what it enrolled itself. Another precision is refused: fp32 can take its place.

    Raises:
        EngineError: it fails parity in another precision than fp32, or cannot run.
    """
    verdict = verify(bundle, pipeline)
    if verdict.passed:
        return None
    if bundle.precision != "fp32":
        raise EngineError(
            f"onnxruntime does not compute {bundle.precision} here as it was exported",
            found=str(verdict),
            expected="a deviation within the limit",
            remedy='Set bundle.precision = "fp32" and enroll again; asd-edge verify tells of each graph.',
        )
    _log.error("onnxruntime fails parity, and serves all the same: %s; asd-edge verify tells of each graph", verdict)
    return f"onnxruntime fails parity: {verdict}"


def verify_engines(bundle: Bundle, accelerator: Accelerator) -> Iterator[Verdict | str]:
    """Hold each engine that is built of the kind in view to the golden segments; of another precision say why not.

    An engine that cannot be loaded or run deviates by no number, and its error comes before its verdict.
    """
    for view in (bundle.at(v.precision) for v in bundle.manifest.variants if v.kind == bundle.kind):
        name = f"{view.kind}/{view.precision} on {accelerator.name}"
        try:
            embedder = accelerator.load(view)
            if embedder is None:
                yield f"{name}: no engine built"
            else:
                yield verify(view, replace(view.pipeline(), embedder=embedder), accelerator.name)
        except EngineError as error:
            yield f"{name}: {error.what}: {error.found}. {error.remedy}"
            yield Verdict(view.kind, view.precision, nan, LIMITS[view.precision], accelerator.name)


def golden_embeddings(pipeline: Pipeline, golden: Golden) -> NDArray[np.float32]:
    """Embed the golden segments, float32 [n, dims]: a segment graph hears their middle, a stream all of them."""
    embedder, segment = pipeline.embedder, pipeline.segment
    if isinstance(embedder, StreamEmbedder):
        embedding = StreamedEmbedding(embedder, segment, pipeline.front_end.bands)
        frames = [_frames(features) for features in golden.features]
        heard = embedding.advance([embedding.initial_state() for _ in frames], frames)
        return np.concatenate([segments.embeddings[:1] for segments in heard])
    reach = (golden.features.shape[1] - segment.frames) // 2
    middle = np.ascontiguousarray(golden.features[:, reach : reach + segment.frames])
    return embedder.embed(middle, golden.spectra)


def _frames(features: NDArray[np.float32]) -> Frames:
    power = np.ones(len(features), np.float32)  # weighs segments, of which there is one
    return Frames(first=0, features=features, power=power, high_power=power)
