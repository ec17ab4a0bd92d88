"""The tiny stream network on a whole signal at once, in float64 NumPy: what a stream must equal in its interior."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from asd_edge.bundle.bundle import Bundle
from asd_edge.dsp.segments import SegmentSpec
from asd_edge.embedding.streamed import StreamedEmbedding
from asd_edge.engines.embedder import StreamEmbedder
from tests.golden.tiny_stream import BANDS, DEPTH, REACH, weights


def tiny_streamed(bundle: Bundle, spec: SegmentSpec) -> StreamedEmbedding:
    """The tiny network of a bundle made with STREAMED, on segments of another length."""
    embedder = bundle.pipeline().embedder
    assert isinstance(embedder, StreamEmbedder)
    return StreamedEmbedding(embedder, spec, 128)


def reference(features: NDArray[np.float32], spec: SegmentSpec) -> NDArray[np.float64]:
    """Embed every segment whose context lies inside the signal. [frames, 128] -> [segments, 16]."""
    used = {name: array.astype(np.float64) for name, array in weights().items()}
    x = features @ used["project"]  # [frames, 32]
    y = np.maximum(_valid(x, used["first"]), 0.0)  # row 0 is frame 2
    z = np.maximum(_valid(y, used["second"]) + y[1:-1], 0.0)  # row 0 is frame 3 = REACH
    assert len(features) - len(z) == 2 * REACH
    by_band = z.reshape(-1, BANDS, DEPTH)
    starts = range(0, len(z) - spec.frames + 1, spec.step)
    return np.array([_embed(by_band[start : start + spec.frames], used) for start in starts])


def _valid(x: NDArray[np.float64], kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlate over time without padding. [frames, in], [out, in, k] -> [frames - k + 1, out]."""
    windows = sliding_window_view(x, kernel.shape[2], axis=0)  # [frames - k + 1, in, k]
    return np.einsum("tik,oik->to", windows, kernel)


def _embed(segment: NDArray[np.float64], used: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    logits = segment @ used["attend"]  # [frames, bands, heads]
    attention = np.exp(logits - logits.max(axis=0))
    attention /= attention.sum(axis=0)
    mean = np.einsum("tbk,tbd->bkd", attention, segment)
    variance = np.einsum("tbk,tbkd->bkd", attention, (segment[:, :, None, :] - mean) ** 2)
    projected = np.concatenate([mean, variance], axis=2).ravel() @ used["head"] + used["bias"]
    unit: NDArray[np.float64] = projected / np.linalg.norm(projected)
    return unit
