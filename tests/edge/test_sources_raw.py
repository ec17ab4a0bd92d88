"""Raw PCM through real pipes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from asd_edge.config import MicrophoneTable
from asd_edge.errors import SourceError
from asd_edge.sources.conversion import Conversion
from asd_edge.sources.health import MicrophoneHealth
from asd_edge.sources.observer import Observer
from asd_edge.sources.open import open_source

RATE = 16_000


def pcm(count: int) -> NDArray[np.int16]:
    return np.random.default_rng(7).integers(-32_768, 32_768, count).astype("<i2")


def heard(path: Path, **settings: float) -> NDArray[np.float32]:
    source = open_source(f"raw:{path}", rate=RATE, **settings)  # type: ignore[arg-type]
    return np.concatenate([block.samples for block in source.blocks()])


def test_full_scale_is_minus_one_to_just_below_one(tmp_path: Path) -> None:
    np.array([-32_768, 0, 16_384, 32_767], "<i2").tofile(tmp_path / "a")
    assert heard(tmp_path / "a").tolist() == [-1.0, 0.0, 0.5, 32_767 / 32_768]


def test_stdin_gives_every_sample_and_the_last_block_is_shorter(tmp_path: Path) -> None:
    samples = pcm(RATE + 777)
    listener = (
        "from asd_edge.sources.open import open_source; import numpy as np, sys;"
        f"blocks = list(open_source('raw:-', rate={RATE}).blocks());"
        "print(*[len(b.samples) for b in blocks], file=sys.stderr);"
        "sys.stdout.buffer.write(np.concatenate([b.samples for b in blocks]).tobytes())"
    )
    done = subprocess.run([sys.executable, "-c", listener], input=samples.tobytes(), capture_output=True, check=True)
    assert done.stderr.split() == [b"4000"] * 4 + [b"777"]
    np.testing.assert_array_equal(np.frombuffer(done.stdout, np.float32), samples / np.float32(32_768))


def test_bytes_that_arrive_in_odd_pieces_make_whole_samples(tmp_path: Path) -> None:
    samples, fifo = pcm(5000), tmp_path / "fifo"
    os.mkfifo(fifo)

    def send() -> None:
        data = samples.tobytes() + b"\x01"  # and a sender that dies in the middle of a sample
        with fifo.open("wb", buffering=0) as pipe:
            for start in range(0, len(data), 333):
                pipe.write(data[start : start + 333])
                time.sleep(0.001)

    sender = threading.Thread(target=send)
    sender.start()
    found = heard(fifo)
    sender.join()
    np.testing.assert_array_equal(found, samples / np.float32(32_768))


def test_a_fifo_whose_sender_has_not_come_yet_is_waited_for(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    late = threading.Timer(0.4, lambda: fifo.write_bytes(pcm(100).tobytes()))
    late.start()
    assert len(heard(fifo)) == 100
    late.join()


def test_the_first_sample_was_captured_a_block_before_it_came(tmp_path: Path) -> None:
    pcm(2 * RATE).tofile(tmp_path / "a")
    source = open_source(f"raw:{tmp_path / 'a'}", rate=RATE, block_s=0.5)
    block = next(source.blocks())
    assert block.time == pytest.approx(time.time() - 0.5, abs=0.3)


def test_times_follow_the_wall_clock_when_it_and_the_samples_come_apart(tmp_path: Path) -> None:
    """A sender that pauses for a moment, a crystal that is slow over a day, a clock that is set."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    def send() -> None:
        with fifo.open("wb", buffering=0) as pipe:
            pipe.write(pcm(RATE // 2).tobytes())
            time.sleep(1.6)
            pipe.write(pcm(RATE // 2).tobytes())

    sender = threading.Thread(target=send)
    sender.start()
    heard_at = [(block, time.time()) for block in open_source(f"raw:{fifo}", rate=RATE).blocks()]
    sender.join()
    assert [block.start for block, _ in heard_at] == [0, 4000, 8000, 12_000]  # durations stay those of the samples
    first, last = heard_at[0], heard_at[-1]
    assert last[0].time - first[0].time > 1.6
    assert last[0].time + 0.25 == pytest.approx(last[1], abs=0.5)


def test_a_sender_that_stands_still_leaves_a_gap_that_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_edge.sources.arrival._BREAK_S", 0.4)  # a second on a device
    monkeypatch.setattr("asd_edge.sources.arrival._CATCH_UP_S", 0.2)
    fifo, health = tmp_path / "fifo", MicrophoneHealth(MicrophoneTable())
    os.mkfifo(fifo)

    def send() -> None:
        with fifo.open("wb", buffering=0) as pipe:
            for pause in (0.0, 0.9, *[0.1] * 5):
                time.sleep(pause)
                pipe.write(pcm(RATE // 10).tobytes())

    sender = threading.Thread(target=send)
    sender.start()
    blocks = list(open_source(f"raw:{fifo}", rate=RATE, block_s=0.1, observer=Observer(health=health)).blocks())
    sender.join()
    (lost,) = [gap for a, b in pairwise(blocks) if (gap := b.start - a.start - len(a.samples))]
    assert lost > 0.5 * RATE
    assert health.report.overruns == 1
    assert health.report.lost_s == pytest.approx(lost / RATE, abs=0.001)
    assert sum(len(block.samples) for block in blocks) == 7 * RATE // 10


def test_less_than_a_second_apart_is_no_reason_to_date_anew() -> None:
    conversion = Conversion(RATE, RATE, time=1000.0)
    times = []
    for late_s in (0.0, 0.9, -0.9, 0.0):
        conversion.keep_time(1000.0 + len(times) + late_s)
        times += [block.time for block in conversion.push(np.zeros(RATE, np.float32))]
    assert times == [1000.0, 1001.0, 1002.0, 1003.0]


@pytest.mark.parametrize("step_s", [3600.0, -3600.0])
def test_a_clock_that_is_set_moves_the_times_of_what_follows(step_s: float) -> None:
    conversion = Conversion(48_000, RATE, time=1000.0)
    blocks = []
    for second in range(4):
        conversion.keep_time(1000.0 + second + (step_s if second >= 2 else 0.0))
        blocks += conversion.push(np.zeros(48_000, np.float32))
    for number, block in enumerate(blocks):
        wanted = 1000.0 + block.start / RATE + (step_s if number >= 2 else 0.0)
        assert block.time == pytest.approx(wanted, abs=0.01)  # the filter's delay


def test_a_higher_rate_is_resampled(tmp_path: Path) -> None:
    seconds = np.arange(48_000) / 48_000
    (16_384 * np.sin(2 * np.pi * 440 * seconds)).astype("<i2").tofile(tmp_path / "a")
    found = heard(tmp_path / "a", source_rate=48_000)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    assert len(found) == RATE
    np.testing.assert_allclose(found[500:-500], expected[500:-500], atol=2e-4)  # filter ripple and 16 bits


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"source_rate": 8_000}, "does not hold the frequencies"),
        ({"channel": 1}, "has no channel to choose"),
        ({"speed": 2.0}, "has no speed to choose"),
    ],
)
def test_settings_that_raw_sound_cannot_follow_are_refused(
    tmp_path: Path, settings: dict[str, float], said: str
) -> None:
    pcm(100).tofile(tmp_path / "a")
    with pytest.raises(SourceError, match=said):
        heard(tmp_path / "a", **settings)


def test_a_path_without_a_fifo_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nothing of that name(.|\n)*mkfifo"):
        open_source(f"raw:{tmp_path / 'none'}", rate=RATE)
    with pytest.raises(SourceError, match="a directory"):
        open_source(f"raw:{tmp_path}", rate=RATE)
