"""Golden segments of a run: normal sound that training did not see, and what the trained network makes of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from asd_edge.bundle.golden import Golden
from asd_edge.bundle.graphs import Graphs
from asd_edge.bundle.variants import Kind
from asd_edge.dsp.front_end import FrontEnd
from asd_edge.errors import DataError
from asd_edge.pipeline import Pipeline
from asd_edge.sources.file import read_clip
from asd_train.data.clip import Clip
from asd_train.data.features_file import load_features
from asd_train.embedder import TorchEmbedder
from asd_train.networks.network import EmbeddingNetwork
from asd_train.networks.tf_resnet import TFResNet

from .heard import Feed, feeds_of, spread

SEGMENTS = 4

Array = NDArray[np.float32]


def golden_of(
    network: EmbeddingNetwork,
    graphs: Graphs,
    pipeline: Pipeline,
    clips: Sequence[Clip],
    *,
    held_out: Sequence[str],
    channel: int | None,
) -> Golden:
    """Choose golden segments from the middle of some normals and embed them with the trained network.

    Args:
        network: as trained.
        graphs: names of the tensors; with a stream graph the segments come with its context.
        pipeline: with the fp32 graphs of the kind that serves.
        clips: training normals among others.
        held_out: keys of the normals that training did not see; they are taken first.
        channel: of multi-channel clips.

    Raises:
        DataError: there are no training normals.
        SourceError: a clip cannot be read, or is too short.
    """
    chosen = spread(clips, held_out, SEGMENTS)
    if not chosen:
        raise DataError(
            "There is no normal sound to hold the graphs to",
            found="no training normals",
            expected="clips like <machine>/train/section_00_source_train_normal_0000_<attributes>.wav",
            remedy="Add them, or give the data set that has them with --data.",
        )
    if graphs.stream is not None:
        return _with_context(network, graphs, pipeline, chosen, channel)
    feeds = feeds_of(graphs, "segment", pipeline, chosen, channel=channel)["segment"]
    assert graphs.segment is not None
    features = _middles(feeds, graphs.segment.input.name)
    spectra = _middles(feeds, graphs.segment.spectrum.name) if graphs.segment.spectrum is not None else None
    trained = TorchEmbedder(network).embed(features, spectra)
    return Golden(features, spectra, {"segment": trained}, {}, unit=_unit_numbers(network, trained))


def _with_context(
    network: EmbeddingNetwork,
    graphs: Graphs,
    pipeline: Pipeline,
    clips: Sequence[Clip],
    channel: int | None,
) -> Golden:
    assert isinstance(network, TFResNet)  # the recipe refuses any other in a stream
    reach, frames = pipeline.context, pipeline.segment.frames
    whole = np.stack([_middle(_frames(pipeline, clip, channel), frames + 2 * reach) for clip in clips])
    trained: dict[Kind, Array] = {}
    with torch.inference_mode():
        trained["stream"] = network.eval()(torch.from_numpy(whole), context=reach).numpy()
    if graphs.segment is not None:
        trained["segment"] = TorchEmbedder(network).embed(np.ascontiguousarray(whole[:, reach : reach + frames]))
    return Golden(whole, None, trained, {}, unit=_unit_numbers(network, trained["stream"]))


def _frames(pipeline: Pipeline, clip: Clip, channel: int | None) -> Array:
    if clip.is_features:
        return load_features(clip.path, bands=pipeline.front_end.bands)
    samples = read_clip(clip.path, rate=pipeline.front_end.sample_rate, channel=channel)
    return FrontEnd(pipeline.front_end, pipeline.mel).push(samples).features


def _middle(features: Array, frames: int) -> Array:
    start = (len(features) - frames) // 2
    return features[start : start + frames]


def _middles(feeds: Sequence[Feed], name: str) -> Array:
    """Return the middle row of each clip's run, float32 [clips, ...]."""
    return np.stack([feed[name][len(feed[name]) // 2] for feed in feeds])


def _unit_numbers(network: EmbeddingNetwork, embeddings: Array) -> int:
    """Return how many leading numbers of the network's vectors are of unit length together: what class losses see,
    where it is normalised."""
    lengths = np.linalg.norm(embeddings[:, : network.embedding_dims], axis=1)
    return network.embedding_dims if np.allclose(lengths, 1.0, atol=1e-3) else 0
