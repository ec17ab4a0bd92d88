"""Golden segments of a run: normal sound, and what the trained network makes of it."""

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
from asd_edge.offline import check_length
from asd_edge.pipeline import Pipeline
from asd_edge.sources.file import read_clip
from asd_train.data.clip import Clip
from asd_train.data.features_file import load_features
from asd_train.embedder import TorchEmbedder
from asd_train.features.embed import check_features
from asd_train.networks.network import EmbeddingNetwork
from asd_train.networks.tf_resnet import TFResNet

from .heard import Feed, feeds_of, spread
from .parity import unit_numbers

SEGMENTS = 4
"""At most, each of another clip."""

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
    """Choose the middle segments of some normals, and embed them with the trained network.

    Clips that training did not see come first. Where it kept none out, for there were too few, those that it saw
    have to do: what is compared is how the network and its graphs hear the same sound, which need not be new to them.

    Args:
        network: as trained.
        graphs: names of the tensors; with a stream graph the segments come with its context.
        pipeline: with the fp32 graphs of the kind that serves.
        clips: training normals among others.
        held_out: keys of the normals that training did not see.
        channel: of multi-channel clips.

    Raises:
        DataError: there are no training normals, or a file of features does not fit.
        SourceError: a clip cannot be read, or is shorter than a segment with its context.
    """
    chosen = _chosen(clips, held_out)
    if not chosen:
        raise DataError(
            "There is no normal sound to hold the graphs to",
            found="no training normals",
            expected="clips like <machine>/train/section_00_source_train_normal_0000_<attributes>.wav",
            remedy="Add them, or give the data set that has them with --data.",
        )
    if graphs.stream is not None:
        return _with_context(network, graphs, pipeline, chosen, channel)
    assert graphs.segment is not None
    middles = [_middle_segment(graphs, pipeline, clip, channel) for clip in chosen]
    features = np.stack([middle[graphs.segment.input.name] for middle in middles])
    spectrum = graphs.segment.spectrum
    spectra = None if spectrum is None else np.stack([middle[spectrum.name] for middle in middles])
    trained = TorchEmbedder(network).embed(features, spectra)
    return Golden(features, spectra, {"segment": trained}, {}, unit=unit_numbers(network, trained))


def _chosen(clips: Sequence[Clip], held_out: Sequence[str]) -> list[Clip]:
    """Choose up to SEGMENTS clips that lie evenly among the machines and sections, whatever their names begin with."""
    every = spread(clips, held_out, len(clips))
    turn = every[: max(SEGMENTS, len({clip.unit for clip in every}))]  # one of each, or more where they are few
    places = np.linspace(0, len(turn) - 1, min(SEGMENTS, len(turn))).round().astype(int)
    return [turn[place] for place in places]


def _middle_segment(graphs: Graphs, pipeline: Pipeline, clip: Clip, channel: int | None) -> Feed:
    """Return the inputs of the segment in the middle of a clip, without the batch's dimension."""
    runs = feeds_of(graphs, "segment", pipeline, [clip], channel=channel)["segment"]
    segments = {name: np.concatenate([run[name] for run in runs]) for name in runs[0]}
    return {name: array[len(array) // 2] for name, array in segments.items()}


def _with_context(
    network: EmbeddingNetwork, graphs: Graphs, pipeline: Pipeline, clips: Sequence[Clip], channel: int | None
) -> Golden:
    assert isinstance(network, TFResNet)  # the recipe refuses any other in a stream
    reach, frames = pipeline.context, pipeline.segment.frames
    whole = np.stack([_middle(_frames(pipeline, clip, channel), frames + 2 * reach) for clip in clips])
    trained: dict[Kind, Array] = {}
    with torch.inference_mode():
        trained["stream"] = network.eval()(torch.from_numpy(whole), context=reach).numpy()
    if graphs.segment is not None:
        trained["segment"] = TorchEmbedder(network).embed(np.ascontiguousarray(whole[:, reach : reach + frames]))
    return Golden(whole, None, trained, {}, unit=unit_numbers(network, trained["stream"]))


def _frames(pipeline: Pipeline, clip: Clip, channel: int | None) -> Array:
    if clip.is_features:
        features = load_features(clip.path, bands=pipeline.front_end.bands)
        check_features(pipeline, features, name=clip.path.name)
        return features
    samples = read_clip(clip.path, rate=pipeline.front_end.sample_rate, channel=channel)
    check_length(pipeline, samples, name=clip.path.name)
    return FrontEnd(pipeline.front_end, pipeline.mel).push(samples).features


def _middle(features: Array, frames: int) -> Array:
    start = (len(features) - frames) // 2
    return features[start : start + frames]
