"""The exported graph against the trained network, through the whole way from samples to embeddings."""

from __future__ import annotations

import numpy as np

from asd_edge.errors import EngineError
from asd_edge.pipeline import Pipeline, SegmentStream

PARITY = 1e-5
"""Largest cosine distance between an embedding of the exported graph and the trained network's."""


def check_parity(trained: Pipeline, exported: Pipeline) -> None:
    """Hold the exported graph to the trained network on noise whose level wanders over 60 dB.

    Raises:
        EngineError: an embedding deviates by more than PARITY.
    """
    generator = np.random.default_rng(0)
    samples = trained.shortest_samples + 7 * trained.segment.step * trained.front_end.hop
    level = 10.0 ** (np.cumsum(generator.normal(0.0, 1.0, samples)) / np.sqrt(samples) - 2.0)
    noise = (generator.normal(0.0, 1.0, samples) * np.clip(level, 1e-3, 1.0)).astype(np.float32)
    one, other = (SegmentStream(pipeline).push(noise).embeddings for pipeline in (trained, exported))
    worst = float(np.max(1.0 - np.sum(one.astype(np.float64) * other, axis=1)))
    if not worst <= PARITY:
        raise EngineError(
            "The exported graph does not embed as the trained network does",
            found=f"cosine distance {worst:.2e}",
            expected=f"at most {PARITY:.0e}",
            remedy="Pin torch, onnx and onnxscript as in constraints.txt and export again.",
        )
