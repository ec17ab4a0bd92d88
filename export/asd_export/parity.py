"""The exported graphs against the trained network as torch has it, on sound."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from asd_edge.dsp.front_end import FrontEnd
from asd_edge.errors import EngineError
from asd_edge.pipeline import Pipeline, SegmentStream
from asd_train.networks.tf_resnet import TFResNet
from asd_train.run import Run

PARITY = 1e-5
"""Largest cosine distance between an embedding of an exported graph and the trained network's."""


def check_parity(run: Run, exported: Pipeline) -> None:
    """Hold an exported graph to the network it was made from, on sounds that are loud, soft, steady and silent.

    A stream graph is held to the network on each segment with its context: the rewiring is checked, not only the
    export.

    Raises:
        EngineError: an embedding deviates by more than PARITY.
    """
    for name, sound in _sounds(exported).items():
        found = SegmentStream(exported).push(sound)
        expected = _trained(run, exported, sound, found.first_frame)
        worst = float(np.max(1.0 - np.sum(found.embeddings.astype(np.float64) * expected, axis=1)))
        if not worst <= PARITY:
            raise EngineError(
                f"The exported graph does not embed {name} as the trained network does",
                found=f"cosine distance {worst:.2e}",
                expected=f"at most {PARITY:.0e}",
                remedy="Pin torch, onnx and onnxscript as in constraints.txt and export again.",
            )


def _trained(
    run: Run, exported: Pipeline, sound: NDArray[np.float32], first_frame: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Embed segments with the trained network, [segments, dims]."""
    frames = FrontEnd(exported.front_end, exported.mel).push(sound).features
    context = exported.context
    rows = first_frame[:, None] + np.arange(-context, exported.segment.frames + context)
    segments = torch.from_numpy(frames[rows])
    with torch.inference_mode():
        if context:
            assert isinstance(run.network, TFResNet)  # the recipe refuses any other in a stream
            embeddings = run.network.eval()(segments, context=context)
        else:
            embeddings = run.network.eval()(segments)
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
