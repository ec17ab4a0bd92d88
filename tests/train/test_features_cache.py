"""The cache gives what the front end computes, notices every change, and never uses what is damaged."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import soundfile

from asd_edge.dsp.front_end import FrontEnd, FrontEndSpec
from asd_edge.errors import DataError, SourceError
from asd_edge.sources.file import read_clip
from asd_train.data.clip import Clip
from asd_train.features.cache import Cache, cache_folder
from asd_train.features.corpus import Corpus
from asd_train.progress import Progress
from tests.train.clips import clip

SPEC = FrontEndSpec(mels=16)
T = TypeVar("T")


class Counted(Progress):
    """Counts the clips that are read."""

    def __init__(self) -> None:
        super().__init__(enabled=False)
        self.read = 0

    def track(self, items: Iterable[T], what: str, total: int) -> Iterator[T]:
        for item in super().track(items, what, total):
            self.read += 1
            yield item


def write(path: Path, seed: int, samples: int = 6000, kind: str = "PCM_16") -> Clip:
    soundfile.write(path, np.random.default_rng(seed).normal(0.0, 0.1, samples), 16_000, subtype=kind)
    return replace(clip(seed), path=path)


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    return [write(tmp_path / f"{i}.wav", i, samples) for i, samples in enumerate((6000, 800, 9000))]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "new" / "cache")


def features(cache: Cache, clips: list[Clip], spec: FrontEndSpec = SPEC) -> tuple[Corpus, int]:
    """Return the corpus, and how many clips were read for it."""
    counted = Counted()
    return cache.features(clips, spec, channel=None, progress=counted), counted.read


def assert_computed(corpus: Corpus, clips: list[Clip], spec: FrontEndSpec = SPEC) -> None:
    assert len(corpus) == len(clips)
    for index, one in enumerate(clips):
        expected = FrontEnd(spec).push(read_clip(one.path, rate=16_000)).features
        np.testing.assert_array_equal(corpus.clip(index).numpy(), expected)


def test_features_are_the_front_ends_and_are_computed_once(cache: Cache, clips: list[Clip]) -> None:
    first, read = features(cache, clips)
    assert_computed(first, clips)
    assert first.lengths.tolist() == [10, 0, 16]  # one clip is shorter than a frame
    again, read_again = features(cache, clips)
    assert_computed(again, clips)
    assert (read, read_again) == (3, 0)


def test_samples_are_those_the_device_hears_also_beyond_16_bits(cache: Cache, tmp_path: Path) -> None:
    clips = [write(tmp_path / "24.wav", 1, kind="PCM_24"), write(tmp_path / "float.wav", 2, kind="FLOAT")]
    for _ in range(2):
        corpus = cache.samples(clips, 16_000, channel=None, progress=Progress(enabled=False))
        for index, one in enumerate(clips):
            np.testing.assert_array_equal(corpus.clip(index).numpy(), read_clip(one.path, rate=16_000))


def test_what_is_done_to_the_rows_never_reaches_the_file(cache: Cache, clips: list[Clip]) -> None:
    features(cache, clips)[0].rows.zero_()
    again, read = features(cache, clips)
    assert read == 0
    assert_computed(again, clips)


def test_a_clip_that_was_replaced_is_read_again_though_size_and_time_are_kept(cache: Cache, clips: list[Clip]) -> None:
    features(cache, clips)
    before = clips[0].path.stat()
    write(clips[0].path, 77)
    os.utime(clips[0].path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert clips[0].path.stat().st_size == before.st_size
    corpus, read = features(cache, clips)
    assert read == 3
    assert_computed(corpus, clips)


def test_another_front_end_order_or_channel_is_another_entry(cache: Cache, clips: list[Clip]) -> None:
    features(cache, clips)
    others = (
        lambda: features(cache, clips[::-1]),
        lambda: features(cache, clips[:2]),
        lambda: features(cache, clips, replace(SPEC, low_hz=50.0)),
    )
    assert [other()[1] for other in others] == [3, 2, 3]
    counted = Counted()
    cache.features(clips, SPEC, channel=0, progress=counted)
    assert counted.read == 3
    assert features(cache, clips)[1] == 0


def test_front_end_code_that_computes_something_else_is_another_entry(
    cache: Cache, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    features(cache, clips)
    computed = FrontEnd._features

    def mended(self: FrontEnd, spectra: np.ndarray, into: np.ndarray) -> None:
        computed(self, spectra, into)
        into += 0.02

    monkeypatch.setattr(FrontEnd, "_features", mended)
    corpus, read = features(cache, clips)
    assert read == 3
    assert_computed(corpus, clips)


def flipped(data: bytes, place: float) -> bytes:
    at = int(place * len(data)) - (place == 1.0)
    return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut by a byte": lambda data: data[:-1],
    "half": lambda data: data[: len(data) // 2],
    "footer alone": lambda data: data[-16:],
    "appended to": lambda data: data + b"\0",
    "a row more": lambda data: data[:64] + data,
    "clips of other lengths": lambda data: data.replace(b"[10,0,16]", b"[16,0,10]"),
} | {f"a bit at {place:.0%}": lambda data, place=place: flipped(data, place) for place in np.linspace(0.0, 1.0, 21)}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_entry_is_made_again(cache: Cache, clips: list[Clip], damage: Callable[[bytes], bytes]) -> None:
    features(cache, clips)
    (entry,) = cache.folder.iterdir()
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))
    corpus, read = features(cache, clips)
    assert read == 3
    assert_computed(corpus, clips)
    assert entry.read_bytes() == whole


def test_an_entry_under_anothers_name_is_made_again(cache: Cache, clips: list[Clip]) -> None:
    features(cache, clips)
    (one,) = cache.folder.iterdir()
    features(cache, clips[::-1])
    (other,) = (path for path in cache.folder.iterdir() if path != one)
    other.write_bytes(one.read_bytes())
    corpus, read = features(cache, clips[::-1])
    assert read == 3
    assert_computed(corpus, clips[::-1])


def test_a_clip_that_cannot_be_read_leaves_nothing_behind(cache: Cache, clips: list[Clip]) -> None:
    clips[2].path.write_bytes(clips[2].path.read_bytes()[:5000])
    with pytest.raises(SourceError, match="cut short"):
        features(cache, clips)
    clips[2].path.unlink()
    with pytest.raises(SourceError, match="There is no sound file"):
        features(cache, clips)
    assert list(cache.folder.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(clips: list[Clip], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"(?s)cannot be kept in .*file/cache.*--cache"):
        features(Cache(tmp_path / "file" / "cache"), clips)


def test_files_of_features_are_taken_as_they_are(cache: Cache, clips: list[Clip], tmp_path: Path) -> None:
    frames = np.random.default_rng(0).normal(-40.0, 9.0, (7, SPEC.mels)).astype(np.float32)
    np.save(tmp_path / "x.npy", frames)
    stored = replace(clips[0], path=tmp_path / "x.npy")
    corpus, _ = features(cache, [clips[0], stored])
    np.testing.assert_array_equal(corpus.clip(1).numpy(), frames)
    with pytest.raises(DataError, match=r"(?s)cannot be used.*float32 \[7, 16\].*float32 values \[frames, 128\]"):
        features(cache, [stored], FrontEndSpec())
    with pytest.raises(DataError, match="has no samples"):
        cache.samples([stored], 16_000, channel=None, progress=Progress(enabled=False))


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("ASD_EDGE_CACHE", raising=False)
    assert cache_folder() == Path("/home/alice/.cache/asd-edge")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_folder() == Path("/caches/asd-edge")
    monkeypatch.setenv("ASD_EDGE_CACHE", "/large")
    assert cache_folder() == Path("/large")
    assert cache_folder(Path("here")) == Path("here")
