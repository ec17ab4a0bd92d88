"""The exported graphs against the trained network as torch has it, and fp16 against fp32, on synthetic sounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from asd_edge.bundle.golden import deviation
from asd_edge.bundle.variants import Kind, members_of
from asd_edge.dsp.front_end import FrontEnd
from asd_edge.errors import EngineError
from asd_edge.pipeline import Pipeline, SegmentStream
from asd_edge.serving.verify import LIMITS
from asd_train.embedder import TorchEmbedder
from asd_train.networks.network import EmbeddingNetwork
from asd_train.networks.tf_resnet import TFResNet

from .graphs import ExportedGraphs
from .precision.half import halved

STORAGE_ONLY = "half precision in storage only: computed in it, sounds are not heard as in fp32"
"""What a bundle notes of an fp16 graph that computes in float32."""

NOISE_DB = -40.0
"""Noise below a steady sound, of those that fp16 is held to: beside a machine a microphone gives nothing purer, and of
what is perfectly steady only rounding varies (docs/decisions/18-half-precision.md)."""

Array = NDArray[np.float32]


def check_parity(network: EmbeddingNetwork, exported: Pipeline) -> None:
    """Hold an exported graph to the network it was made from, on sounds that are loud, soft, steady and silent.

    A stream graph is held to the network on each segment with its context: the rewiring is checked, not only the
    export.

    Raises:
        EngineError: embeddings of a sound deviate by more than an fp32 graph's may.
    """
    sounds = _sounds(exported)
    expected = {name: _trained(network, exported, sound) for name, sound in sounds.items()}
    found = _heard(exported, sounds)
    unit = unit_numbers(network, np.concatenate(list(expected.values())))
    for name, apart in _apart(found, expected, unit).items():
        if not apart <= LIMITS["fp32"]:
            raise EngineError(
                f"The exported graph does not embed {name} as the trained network does",
                found=f"a deviation of {apart:.2e}",
                expected=f"at most {LIMITS['fp32']:.0e} (docs/parity.md)",
                remedy="Pin torch, onnx and onnxscript as in constraints.txt and export again.",
            )


def true_on_sounds(
    graphs: ExportedGraphs, kind: Kind, pipeline: Pipeline, *, unit: int
) -> tuple[ExportedGraphs, str | None]:
    """Hold graphs in fp16 to those in fp32 on noisy sounds, as hardware with half precision hears them.

    Golden segments are normal sound of known machines; these are louder, softer and steadier.

    Args:
        graphs: of `kind` in fp32 and fp16.
        kind: of the graphs.
        pipeline: of the run, with any embedder.
        unit: how many leading numbers of an embedding are a vector of unit length.

    Returns:
        The graphs, and None; or, where a sound deviates by more than fp16 may, the graphs with fp16 that stores its
        weights in half precision and computes in float32, and a note that says so.
    """
    fp32 = replace(pipeline, embedder=graphs.embedder(kind, "fp32"))
    sounds = _noisy(_sounds(fp32))
    found = _heard(replace(pipeline, embedder=graphs.judged(kind, "fp16")), sounds)
    if all(apart <= LIMITS["fp16"] for apart in _apart(found, _heard(fp32, sounds), unit).values()):
        return graphs, None
    pairs = zip(members_of(kind, "fp16"), members_of(kind, "fp32"), strict=True)
    stored = {half: halved(graphs.members[single], weights_only=True) for half, single in pairs}
    return replace(graphs, members={**graphs.members, **stored}), STORAGE_ONLY


def unit_numbers(network: EmbeddingNetwork, embeddings: Array) -> int:
    """Return how many leading numbers of the network's vectors are of unit length together: what class losses see,
    where it is normalised."""
    lengths = np.linalg.norm(embeddings[:, : network.embedding_dims], axis=1)
    return network.embedding_dims if np.allclose(lengths, 1.0, atol=1e-3) else 0


def _apart(found: Mapping[str, Array], expected: Mapping[str, Array], unit: int) -> dict[str, float]:
    """Return how far the embeddings of each sound deviate, [segments, dims] each; all of them set the scale."""
    whole = np.concatenate(list(expected.values()))
    return {
        name: deviation(np.concatenate(list({**expected, name: embeddings}.values())), whole, unit=unit)
        for name, embeddings in found.items()
    }


def _heard(pipeline: Pipeline, sounds: Mapping[str, Array]) -> dict[str, Array]:
    return {name: SegmentStream(pipeline).push(sound).embeddings for name, sound in sounds.items()}


def _trained(network: EmbeddingNetwork, exported: Pipeline, sound: Array) -> Array:
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


def _noisy(sounds: Mapping[str, Array]) -> dict[str, Array]:
    """Return the noise, and the steady sounds with noise that is NOISE_DB below them."""
    noise = np.random.default_rng(1).normal(0.0, 1.0, len(sounds["noise"]))
    noisy = {"noise": sounds["noise"]}
    for name in ("a tone", "a hum in noise"):
        level = float(np.sqrt(np.mean(np.square(sounds[name], dtype=np.float64)))) * 10.0 ** (NOISE_DB / 20.0)
        noisy[name] = sounds[name] + (level * noise).astype(np.float32)
    return noisy


def _sounds(pipeline: Pipeline) -> dict[str, Array]:
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
