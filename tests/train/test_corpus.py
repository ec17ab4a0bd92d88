"""Batches cut from a corpus are slices of its clips, wherever the rows lie; its statistics are those of all frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from asd_train.features import corpus as corpus_module
from asd_train.features.corpus import Corpus
from asd_train.features.pack import map_pack, write_pack

KEY = "0" * 64


def clips_of(lengths: Sequence[int], shape: tuple[int, ...]) -> list[NDArray[np.float32]]:
    generator = np.random.default_rng(len(lengths))
    return [generator.normal(-40.0, 15.0, (length, *shape)).astype(np.float32) for length in lengths]


def mapped(path: Path, clips: Sequence[NDArray[np.float32]], shape: tuple[int, ...]) -> Corpus:
    write_pack(path, KEY, shape, clips)
    rows, index = map_pack(path, KEY)
    return Corpus.of_rows(rows, index.lengths)


@st.composite
def crops(draw: st.DrawFn) -> tuple[list[int], tuple[int, ...], int, list[tuple[int, int]]]:
    """Lengths of clips, shape of a row, length of crops, and (clip, start) of each crop."""
    lengths = draw(st.lists(st.integers(0, 12), min_size=1, max_size=6).filter(any))
    length = draw(st.integers(1, max(lengths)))
    places = [(clip, start) for clip, rows in enumerate(lengths) for start in range(rows - length + 1)]
    return lengths, draw(st.sampled_from([(), (3,)])), length, draw(st.lists(st.sampled_from(places), max_size=5))


@settings(deadline=None)
@given(case=crops(), in_memory=st.booleans())
def test_a_cut_is_a_slice(
    tmp_path_factory: pytest.TempPathFactory,
    case: tuple[list[int], tuple[int, ...], int, list[tuple[int, int]]],
    in_memory: bool,
) -> None:
    lengths, shape, length, places = case
    clips = clips_of(lengths, shape)
    path = tmp_path_factory.getbasetemp() / "cut.pack"
    corpus = Corpus.of_clips(clips) if in_memory else mapped(path, clips, shape)
    chosen, starts = np.array(places, np.int64).reshape(-1, 2).T
    expected = np.array([clips[clip][start : start + length] for clip, start in places], np.float32)
    cut = corpus.cut(chosen, starts, length)
    np.testing.assert_array_equal(cut.numpy(), expected.reshape(-1, length, *shape))
    order = np.random.default_rng(0).permutation(len(clips))
    of_subset = corpus.subset(order).cut(np.argsort(order)[chosen], starts, length)
    torch.testing.assert_close(of_subset, cut, rtol=0, atol=0)


@pytest.mark.parametrize(("clip", "start", "length"), [(0, -1, 2), (0, 4, 2), (1, 0, 4), (0, 0, 0)])
def test_a_crop_never_reaches_into_a_neighbour(clip: int, start: int, length: int) -> None:
    corpus = Corpus.of_clips(clips_of([5, 3, 9], (2,)))
    with pytest.raises(ValueError, match=f"no rows {start} to {start + length} in clip {clip}"):
        corpus.cut(np.array([clip, 2]), np.array([start, 0]), length)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_batches_on_a_gpu_are_the_same_from_the_map_and_resident(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = mapped(tmp_path / "x.pack", clips_of([40, 60, 50], (8,)), (8,)).subset(np.array([2, 0]))
    chosen, starts = np.array([1, 0, 0]), np.array([3, 0, 25])
    gpu = torch.device("cuda")
    resident = corpus.to(gpu)
    monkeypatch.setattr(corpus_module, "_RESIDENT", 0.0)
    copied = corpus.to(gpu)
    assert (resident.resident, copied.resident) == (True, False)
    assert len(resident.rows) == 90  # of the subset alone
    for other in (resident, copied):
        batch = other.cut(chosen, starts, 25)
        assert batch.device.type == "cuda"
        torch.testing.assert_close(batch.cpu(), corpus.cut(chosen, starts, 25), rtol=0, atol=0)


@pytest.mark.parametrize("chunk", [7, 1 << 14])
def test_statistics_are_those_of_all_frames(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_module, "_CHUNK", chunk)
    clips = clips_of([40, 1, 0, 33, 20], (6,))
    for frames in clips:
        frames[:, :3] = (-100.0, -44.16, -58.049)  # bands that never vary, as in digital silence
    statistics = Corpus.of_clips(clips).subset(np.array([0, 1, 2, 3])).statistics()
    frames = np.concatenate(clips[:4]).astype(np.float64)
    np.testing.assert_allclose(statistics.mean, frames.mean(axis=0), rtol=1e-6)  # float32 rounds at 6e-8
    np.testing.assert_allclose(statistics.deviation, frames.std(axis=0), rtol=1e-6, atol=1e-6)
    with pytest.raises(ValueError, match="no frames"):
        Corpus.of_clips(clips).subset(np.array([2])).statistics()
