"""Golden segments: which clips they come from, and that each is one segment of one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from asd_edge.bundle.archive import load_bundle
from asd_edge.bundle.golden import Golden
from asd_edge.bundle.graphs import Graphs, SegmentGraph, Tensor
from asd_edge.errors import SourceError
from asd_edge.pipeline import SegmentStream
from asd_edge.sources.file import read_clip
from asd_export.golden import golden_of
from asd_export.graph import OPSET
from asd_train.data.clip import Clip
from asd_train.data.dcase import read_datasets
from asd_train.embedder import torch_pipeline
from asd_train.networks.build import build_network
from asd_train.run import Run
from tests.train.every_recipe import small
from tests.train.tiny_recipe import tiny_recipe

RATE = 16_000
Array = NDArray[np.float32]
Recordings = Callable[..., list[Clip]]


@pytest.fixture
def recordings(tmp_path: Path) -> Recordings:
    """Training normals of noise, read as any data set."""

    def made(*, machines: str = "a", each: int = 1, seconds: float = 3.0) -> list[Clip]:
        random = np.random.default_rng(0)
        for machine in machines:
            folder = tmp_path / f"machine_{machine}" / "train"
            folder.mkdir(parents=True)
            for i in range(each):
                samples = random.normal(0.0, 0.1, int(seconds * RATE)).astype(np.float32)
                soundfile.write(folder / f"section_00_source_train_normal_{i:04d}_spd_1.wav", samples, RATE, "FLOAT")
        return read_datasets([str(tmp_path)])

    return made


def whole_segments() -> tuple[Run, Graphs]:
    """A run of whole segments with a network that has learned nothing, and its graph as a manifest describes it."""
    recipe = small("mobilenetv2_embed")
    torch.manual_seed(0)
    network = build_network(recipe, ("a", "b")).eval()
    features = Tensor(name="features", shape=(-1, recipe.segment.frames, recipe.front_end.bands))
    embedding = Tensor(name="embedding", shape=(-1, network.dims))
    graph = SegmentGraph(input=features, output=embedding, opset=OPSET, spectrum=None)
    return Run(recipe, 0, (), None, ("a", "b"), (), (), network), Graphs(segment=graph, stream=None)


def heard(run: Run, graphs: Graphs, clips: list[Clip], held_out: tuple[str, ...] = ()) -> Golden:
    return golden_of(run.network, graphs, torch_pipeline(run), clips, held_out=held_out, channel=None)


class Echo:
    """Embeds a segment as its features."""

    dims = 64 * 128

    def embed(self, features: Array, spectra: Array | None = None) -> Array:
        return features.reshape(len(features), -1)


def sources(run: Run, golden: Golden, clips: list[Clip]) -> list[str]:
    """The clip that each segment is the middle of."""
    stream = SegmentStream(replace(torch_pipeline(run), embedder=Echo()))
    middles: dict[str, Array] = {}
    for clip in clips:
        stream.reset()
        every = stream.push(read_clip(clip.path, rate=RATE, channel=None)).embeddings
        middles[f"{clip.unit}:{clip.path.stem.split('_')[5]}"] = every[len(every) // 2]
    flat = golden.features.reshape(len(golden.features), -1)
    return [name for features in flat for name, middle in middles.items() if np.allclose(middle, features, atol=1e-3)]


def test_a_clip_gives_its_middle_segment_however_long_it_is(recordings: Recordings) -> None:
    run, graphs = whole_segments()
    clips = recordings(each=2, seconds=22.0)  # longer than two of the blocks in which a clip is read
    assert sources(run, heard(run, graphs, clips), clips) == ["machine_a/00:0000", "machine_a/00:0001"]


def test_they_lie_evenly_among_the_machines_and_held_out_clips_come_first(recordings: Recordings) -> None:
    run, graphs = whole_segments()
    clips = recordings(machines="abcdefg", each=2)
    held_out = tuple(clip.key for clip in clips if "_0001_" in clip.key)
    assert len(held_out) == 7
    found = sources(run, heard(run, graphs, clips, held_out), clips)
    assert found == [f"machine_{machine}/00:0001" for machine in "aceg"]
    assert sources(run, heard(run, graphs, clips), clips) == [f"machine_{machine}/00:0000" for machine in "aceg"]


@pytest.mark.parametrize("kind", ["segment", "stream"])
def test_a_clip_without_a_whole_segment_is_refused_by_name(kind: str, recordings: Recordings) -> None:
    clips = recordings(seconds=1.0)
    run, graphs = whole_segments()
    if kind == "stream":
        graphs = load_bundle("default").manifest.graphs
        recipe = tiny_recipe()
        run = replace(run, recipe=recipe, network=build_network(recipe, ("a", "b")).eval())
    with pytest.raises(SourceError, match=r"normal_0000_spd_1\.wav is too short"):
        heard(run, graphs, clips)
