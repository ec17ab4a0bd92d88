"""The exported graphs against the trained network as torch has it, on sound."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from asd_edge.dsp.front_end import FrontEnd
from asd_edge.errors import EngineError
from asd_edge.pipeline import Pipeline, SegmentStream
from asd_train.embedder import TorchEmbedder
from asd_train.networks.network import EmbeddingNetwork
from asd_train.networks.tf_resnet import TFResNet

PARITY = 5e-3
"""Largest error of an exported graph's embedding: root mean square over its numbers, each as a share of the largest
value that it takes on these sounds.

Numbers of any size stand side by side in an embedding, a unit vector's and decibels, so each has its own scale. A unit
vector that is off by 5e-3 of its length is one at a cosine distance of 1e-5.
"""
DIRECTION = 1e-5
"""Largest cosine distance of unit embeddings, which are compared by direction."""


def check_parity(network: EmbeddingNetwork, exported: Pipeline) -> None:
    """Hold an exported graph to the network it was made from, on sounds that are loud, soft, steady and silent.

    A stream graph is held to the network on each segment with its context: the rewiring is checked, not only the
    export.

    Raises:
        EngineError: an embedding deviates by more than PARITY.
    """
    sounds = _sounds(exported)
    expected = {name: _trained(network, exported, sound) for name, sound in sounds.items()}
    largest = np.max([np.abs(embeddings).max(axis=0) for embeddings in expected.values()], axis=0)  # [dims]
    largest = np.where(largest > 0.0, largest, 1.0)
    for name, sound in sounds.items():
        found = SegmentStream(exported).push(sound).embeddings
        error = (found - expected[name]) / largest
        worst = float(np.sqrt(np.square(error).mean(axis=1)).max())
        apart = _apart(found[:, : network.embedding_dims], expected[name][:, : network.embedding_dims])
        if not (worst <= PARITY and apart <= DIRECTION):
            raise EngineError(
                f"The exported graph does not embed {name} as the trained network does",
                found=f"an error of {worst:.2e} of its largest numbers, a cosine distance of {apart:.2e}",
                expected=f"at most {PARITY:.0e} and {DIRECTION:.0e}",
                remedy="Pin torch, onnx and onnxscript as in constraints.txt and export again.",
            )


def _apart(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Return the largest cosine distance between embeddings [segments, dims]; 0 where they are no unit vectors."""
    if not np.allclose(np.linalg.norm(expected, axis=1), 1.0, atol=1e-3):
        return 0.0
    return float(np.max(1.0 - np.sum(found.astype(np.float64) * expected, axis=1)))


def _trained(network: EmbeddingNetwork, exported: Pipeline, sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """Embed the segments of a sound with the trained network, [segments, dims]."""
    context = exported.context
    if not context:
        return SegmentStream(replace(exported, embedder=TorchEmbedder(network))).push(sound).embeddings
    assert isinstance(network, TFResNet)  # the recipe refuses any other in a stream
    frames = FrontEnd(exported.front_end, exported.mel).push(sound).features
    starts = np.arange(context, len(frames) - context - exported.segment.frames + 1, exported.segment.step)
    rows = starts[:, None] + np.arange(-context, exported.segment.frames + context)
    with torch.inference_mode():
        embeddings = network.eval()(torch.from_numpy(frames[rows]), context=context)
    return np.asarray(embeddings.numpy(), np.float32)


def _sounds(pipeline: Pipeline) -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(0)
    count = pipeline.shortest_samples + 3 * pipeline.segment.step * pipeline.front_end.hop
    noise = random.normal(0.0, 0.1, count)
    seconds = np.arange(count) / pipeline.front_end.sample_rate
    sounds = {
        "noise": noise * np.linspace(1.0, 1e-3, count),
        "a tone": 0.3 * np.sin(2.0 * np.pi * 440.0 * seconds),
        "a hum in noise": 0.3 * np.sin(2.0 * np.pi * 50.0 * seconds) + 1e-3 * noise,
        "silence": np.zeros(count),
    }
    return {name: sound.astype(np.float32) for name, sound in sounds.items()}
