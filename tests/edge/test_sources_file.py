"""Sound files: what is read, when it comes, and every way in which a file can be unusable."""

from __future__ import annotations

import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from asd_edge.errors import SourceError
from asd_edge.sources.file import read_clip
from asd_edge.sources.open import open_source

RATE = 16_000


def sound(count: int, *, seed: int = 6) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, count).astype(np.float32)


def heard(path: Path, **settings: float) -> NDArray[np.float32]:
    source = open_source(f"file:{path}", rate=RATE, speed=0.0, **settings)  # type: ignore[arg-type]
    return np.concatenate([block.samples for block in source.blocks()])


def refused(path: Path, **settings: int) -> str:
    """Both ways of reading refuse the file in the same words, which say what was found, expected, and what to do."""
    with pytest.raises(SourceError) as by_clip:
        read_clip(path, rate=RATE, **settings)
    with pytest.raises(SourceError) as by_source:
        heard(path, **settings)
    assert str(by_clip.value) == str(by_source.value)
    assert all(line in str(by_clip.value) for line in ("found:", "expected:", "remedy:"))
    return str(by_clip.value)


@pytest.mark.parametrize(
    ("name", "subtype", "step"),
    [
        ("a.wav", "PCM_16", 2**-15),
        ("a.wav", "PCM_24", 2**-23),
        ("a.wav", "PCM_32", 2**-23),  # float32 has 24 bits
        ("a.wav", "FLOAT", 0.0),
        ("a.flac", "PCM_16", 2**-15),
        ("a.flac", "PCM_24", 2**-23),
    ],
)
def test_every_usable_coding_gives_back_what_was_written(tmp_path: Path, name: str, subtype: str, step: float) -> None:
    samples = sound(RATE + 123)
    soundfile.write(tmp_path / name, samples, RATE, subtype)
    clip = read_clip(tmp_path / name, rate=RATE)
    assert clip.dtype == np.float32
    np.testing.assert_allclose(clip, samples, atol=step)
    np.testing.assert_array_equal(heard(tmp_path / name), clip)


def test_a_channel_is_chosen_never_mixed(tmp_path: Path) -> None:
    both = np.stack([sound(RATE, seed=1), sound(RATE, seed=2)], axis=1)
    soundfile.write(tmp_path / "a.wav", both, RATE, "FLOAT")
    for channel in (0, 1):
        np.testing.assert_array_equal(read_clip(tmp_path / "a.wav", rate=RATE, channel=channel), both[:, channel])
        np.testing.assert_array_equal(heard(tmp_path / "a.wav", channel=channel), both[:, channel])


def test_a_higher_rate_is_resampled_when_it_was_announced(tmp_path: Path) -> None:
    seconds = np.arange(2 * 48_000) / 48_000
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 440 * seconds), 48_000, "FLOAT")
    clip = read_clip(tmp_path / "a.wav", rate=RATE, source_rate=48_000)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)
    assert len(clip) == 2 * RATE
    np.testing.assert_allclose(clip[500:-500], expected[500:-500], atol=1e-4)  # the ripple of an 80 dB filter
    # Blocks of another size: the same sums, possibly in another order.
    np.testing.assert_allclose(heard(tmp_path / "a.wav", source_rate=48_000), clip, atol=1e-6)


def test_blocks_come_when_their_last_sample_is_due(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sound(10 * RATE), RATE)
    source = open_source(f"file:{tmp_path / 'a.wav'}", rate=RATE, speed=20.0, block_s=2.5)
    began, wall = time.monotonic(), time.time()
    arrived, times = [], []
    for block in source.blocks():
        arrived.append(time.monotonic() - began)
        times.append(block.time - wall)
    due = [0.125, 0.25, 0.375, 0.5]  # ten seconds, twenty times as fast
    assert len(arrived) == 4
    assert all(found >= expected - 0.01 for found, expected in zip(arrived, due, strict=True))
    assert arrived[-1] < 0.5 + 1.5  # a busy machine is late; at another speed it would be 10 s
    # The file's own clock, whatever the speed.
    assert times == pytest.approx([0.0, 2.5, 5.0, 7.5], abs=0.3)


def test_a_late_listener_catches_up(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sound(RATE), RATE)
    source = open_source(f"file:{tmp_path / 'a.wav'}", rate=RATE, speed=2.0, block_s=0.25)
    blocks = source.blocks()
    next(blocks)
    time.sleep(0.6)  # all of the file is due now
    began = time.monotonic()
    assert len(list(blocks)) == 3
    assert time.monotonic() - began < 0.2


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "There is no sound file" in refused(tmp_path / "none.wav")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "something that is not a file" in refused(tmp_path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    assert "is empty" in refused(tmp_path / "a.wav")


def test_a_header_without_samples_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(0, np.float32), RATE)
    assert "holds no sound" in refused(tmp_path / "a.wav")


@pytest.mark.parametrize("name", ["a.wav", "a.raw", "a"])
def test_bytes_that_are_no_sound_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"These are words, and no sound at all. " * 100)
    assert "is not a sound file" in refused(tmp_path / name)


def test_a_wav_file_cut_short_is_refused_before_its_first_sample(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.wav", tmp_path / "cut.wav"
    soundfile.write(whole, sound(RATE), RATE)
    cut.write_bytes(whole.read_bytes()[:-1000])
    assert "1000 bytes fewer than its header promises" in refused(cut)
    with pytest.raises(SourceError, match="cut short"):
        open_source(f"file:{cut}", rate=RATE)


def test_a_wav_file_with_chunks_around_its_samples_is_whole(tmp_path: Path) -> None:
    plain, chunky = tmp_path / "plain.wav", tmp_path / "chunky.wav"
    soundfile.write(plain, sound(RATE), RATE)
    data = plain.read_bytes()
    note = b"LIST" + struct.pack("<I", 3) + b"abc\0"  # an odd chunk is padded by a byte that its size leaves out
    body = data[12:36] + note + data[36:] + note
    chunky.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body)
    np.testing.assert_array_equal(read_clip(chunky, rate=RATE), read_clip(plain, rate=RATE))
    chunky.write_bytes(chunky.read_bytes()[: -len(note) - 10])
    assert "10 bytes fewer" in refused(chunky)


def test_an_rf64_file_is_read_and_refused_when_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, sound(RATE), RATE, "PCM_16", format="RF64")
    assert len(read_clip(path, rate=RATE)) == RATE
    path.write_bytes(path.read_bytes()[:-500])
    assert "cut short" in refused(path)


def test_a_flac_file_cut_short_is_refused_where_it_ends(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.flac", tmp_path / "cut.flac"
    soundfile.write(whole, sound(4 * RATE), RATE)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    for read in (lambda: read_clip(cut, rate=RATE), lambda: heard(cut)):
        with pytest.raises(SourceError, match=r"cut short or damaged\n.*of 64000 samples"):
            read()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_no_number_is_refused_with_its_place(tmp_path: Path, wrong: float) -> None:
    samples = sound(2 * RATE)
    samples[24_000] = wrong
    soundfile.write(tmp_path / "a.wav", samples, RATE, "FLOAT")
    message = refused(tmp_path / "a.wav")
    assert "holds a sample that is no number" in message
    assert f"{wrong} at sample 24000 (1.500 s)" in message


def test_two_channels_without_a_choice_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sound(2 * RATE).reshape(-1, 2), RATE)
    assert "2 channels" in refused(tmp_path / "a.wav")


@pytest.mark.parametrize("channel", [2, -1])
def test_a_channel_that_is_not_there_is_refused(tmp_path: Path, channel: int) -> None:
    soundfile.write(tmp_path / "a.wav", sound(2 * RATE).reshape(-1, 2), RATE)
    assert f"channel {channel} of 2 channels" in refused(tmp_path / "a.wav", channel=channel)


def test_another_rate_is_refused_with_the_way_to_allow_it(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sound(44_100), 44_100)
    assert "Set source_rate to 44100" in refused(tmp_path / "a.wav")


def test_another_rate_than_was_announced_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sound(RATE), RATE)
    said = refused(tmp_path / "a.wav", source_rate=48_000)
    assert "expected: 48000 samples" in said
    assert "record at 48000" in said


@pytest.mark.parametrize("settings", [{}, {"source_rate": 8_000}])
def test_a_rate_below_the_models_is_always_refused(tmp_path: Path, settings: dict[str, int]) -> None:
    soundfile.write(tmp_path / "a.wav", sound(8_000), 8_000)
    assert "does not hold the frequencies" in refused(tmp_path / "a.wav", **settings)


def test_rates_that_no_filter_connects_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sound(48_001), 48_001)
    assert "cannot be converted" in refused(tmp_path / "a.wav", source_rate=48_001)


@pytest.mark.parametrize(
    ("name", "subtype"),
    [("a.wav", "PCM_U8"), ("a.wav", "ULAW"), ("a.wav", "ALAW"), ("a.wav", "IMA_ADPCM"), ("a.flac", "PCM_S8")],
)
def test_coarse_and_lossy_codings_are_refused(tmp_path: Path, name: str, subtype: str) -> None:
    soundfile.write(tmp_path / name, sound(RATE), RATE, subtype)
    assert subtype in refused(tmp_path / name)


def test_other_containers_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.ogg", sound(RATE), RATE)
    assert "OGG" in refused(tmp_path / "a.ogg")


def test_a_clip_of_more_than_ten_minutes_is_refused(tmp_path: Path) -> None:
    long = tmp_path / "long.wav"
    with soundfile.SoundFile(long, "w", RATE, 1, "PCM_16") as file:
        for _ in range(11):
            file.write(np.zeros(60 * RATE, np.int16))
    with pytest.raises(SourceError, match=r"too long for a clip\n.*11.0 minutes.*\n.*\n.*asd-edge score"):
        read_clip(long, rate=RATE)


def test_memory_stays_flat_over_a_long_file(tmp_path: Path) -> None:
    def peak_of(minutes: int) -> int:
        path = tmp_path / f"{minutes}.wav"
        with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
            for _ in range(minutes):
                file.write(np.zeros(60 * RATE, np.int16))
        source = open_source(f"file:{path}", rate=RATE, speed=0.0)
        tracemalloc.start()
        try:
            assert sum(len(block.samples) for block in source.blocks()) == minutes * 60 * RATE
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak_of(1)  # what is made once, on first use
    # The interpreter's own tables grow by megabytes now and then, in the middle of anything, but not twice in a row.
    short, long = peak_of(1), min(peak_of(10), peak_of(10))
    assert long < short + 50_000  # 10 minutes are 38 MB of samples
