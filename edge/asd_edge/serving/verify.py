"""The parity gate on a device: does what runs here embed the golden segments as it should? (docs/parity.md)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.golden import Golden, deviation
from asd_edge.bundle.variants import Kind, Precision
from asd_edge.dsp.front_end import Frames
from asd_edge.embedding.streamed import StreamedEmbedding
from asd_edge.engines.embedder import StreamEmbedder
from asd_edge.pipeline import Pipeline

LIMITS: Final[Mapping[Precision, float]] = {"fp32": 1e-5, "fp16": 1e-3, "int8": 1e-3}
"""Largest deviation of the golden embeddings: of fp32 and fp16 from the trained network's, of int8 from those of the
same graph where it was exported. What eight bits themselves cost was judged there, by scores (asd_export.accept); here
only engines and processors differ, which round ties and add up in their own ways."""


@dataclass(frozen=True)
class Verdict:
    """How a variant embeds the golden segments here: `deviation` from what it should, at most `limit`."""

    kind: Kind
    precision: Precision
    deviation: float
    limit: float

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
        return f"{self.kind}/{self.precision}: {verdict}, deviation {self.deviation:.1e} of {self.limit:.0e}"


def verify(bundle: Bundle, pipeline: Pipeline | None = None) -> Verdict:
    """Hold what runs the variant in view to the embeddings that travel with it.

    Args:
        bundle: seen as the variant.
        pipeline: with the engine that is to serve; onnxruntime on the CPU by default.

    Raises:
        EngineError: the engine cannot load or run the graphs.
    """
    golden, key = bundle.golden, (bundle.kind, bundle.precision)
    expected = golden.exported[key] if bundle.precision == "int8" else golden.trained[bundle.kind]
    found = golden_embeddings(pipeline or bundle.pipeline(), golden)
    return Verdict(*key, deviation(found, expected, unit=golden.unit), LIMITS[bundle.precision])


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
