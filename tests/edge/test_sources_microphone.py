"""The microphone through a real arecord, on a virtual device."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from asd_edge.config import MachineTable, MicrophoneTable
from asd_edge.errors import SourceError
from asd_edge.sources.block import Block
from asd_edge.sources.health import MicrophoneHealth
from asd_edge.sources.observer import Observer
from asd_edge.sources.open import open_machine, open_source
from asd_edge.sources.shared import SharedDevices
from tests.edge.virtual_microphone import virtual_microphone

RATE = 16_000


def pcm(count: int) -> NDArray[np.int16]:
    return np.random.default_rng(8).integers(-20_000, 20_000, count).astype(np.int16)


def recorders() -> list[psutil.Process]:
    """The children of this process that record."""
    return [child for child in psutil.Process().children() if "arecord" in " ".join(child.cmdline()[:2])]


@pytest.fixture(autouse=True)
def nobody_records_afterwards() -> Iterator[None]:
    yield
    assert recorders() == []


def joined(blocks: list[Block]) -> NDArray[np.float32]:
    return np.concatenate([block.samples for block in blocks])


def test_samples_of_the_device_arrive_unchanged(tmp_path: Path) -> None:
    samples = pcm(10 * RATE)
    with virtual_microphone(tmp_path, samples) as name:
        source = open_source(f"alsa:{name}", rate=RATE)
        found = joined(list(islice(source.blocks(), 8)))
        source.close()
    np.testing.assert_array_equal(found, samples[: len(found)] / np.float32(32_768))


def test_the_second_of_two_channels_is_heard(tmp_path: Path) -> None:
    samples = pcm(20 * RATE)
    with virtual_microphone(tmp_path, samples) as name:
        for uri in (f"alsa:{name}", f"alsa:{name}?channels=2"):
            source = open_source(uri, rate=RATE, channel=1)
            found = joined(list(islice(source.blocks(), 4)))
            source.close()
            np.testing.assert_array_equal(found, samples[1::2][: len(found)] / np.float32(32_768))


def test_a_device_of_a_higher_rate_is_resampled(tmp_path: Path) -> None:
    tone = 16_384 * np.sin(2 * np.pi * 440 * np.arange(5 * 48_000) / 48_000)
    with virtual_microphone(tmp_path, tone.astype(np.int16)) as name:
        source = open_source(f"alsa:{name}", rate=RATE, source_rate=48_000)
        found = joined(list(islice(source.blocks(), 8)))
        source.close()
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(found)) / RATE)
    np.testing.assert_allclose(found[500:], expected[500:], atol=2e-4)  # filter ripple and 16 bits


def test_short_blocks_are_there_as_soon_as_their_sound_is(tmp_path: Path) -> None:
    samples = pcm(4 * 512)
    with virtual_microphone(tmp_path, None) as name:
        pipe = os.open(tmp_path / "microphone.raw", os.O_RDWR)
        source = open_source(f"alsa:{name}", rate=RATE, block_s=0.032)
        blocks = source.blocks()
        for sent in samples.reshape(4, 512):
            os.write(pipe, sent.astype("<i2").tobytes())
            before = time.monotonic()
            block = next(blocks)  # a device asked for longer portions would fill them up with silence
            assert before <= block.arrived <= time.monotonic()
            np.testing.assert_array_equal(block.samples, sent / np.float32(32_768))
        source.close()
        os.close(pipe)


def test_no_child_is_left_when_the_listener_just_walks_away(tmp_path: Path) -> None:
    with virtual_microphone(tmp_path, pcm(10 * RATE)) as name:
        for _ in open_source(f"alsa:{name}", rate=RATE).blocks():
            assert len(recorders()) == 1
            break
    assert recorders() == []


def test_no_child_is_left_after_close_while_a_silent_device_is_waited_for(tmp_path: Path) -> None:
    with virtual_microphone(tmp_path, None) as name:
        source = open_source(f"alsa:{name}", rate=RATE)
        listener = threading.Thread(target=lambda: list(source.blocks()), daemon=True)
        listener.start()
        while not recorders():
            time.sleep(0.01)
        source.close()
        listener.join(3.0)
        assert not listener.is_alive()
        assert recorders() == []


class Awaited(subprocess.Popen[bytes]):
    """A child that remembers which threads have waited for its end."""

    by: ClassVar[set[str]] = set()

    def wait(self, timeout: float | None = None) -> int:
        self.by.add(threading.current_thread().name)
        return super().wait(timeout)


@pytest.mark.parametrize("machines", [1, 2])
def test_who_closes_does_not_wait_for_a_recorder_that_hangs(
    machines: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The main thread closes all microphones of a daemon: one after the other they would take it seconds."""
    monkeypatch.setattr("asd_edge.sources.microphone.subprocess.Popen", Awaited)
    Awaited.by.clear()
    with virtual_microphone(tmp_path, None) as name:
        tables = [MachineTable(id=f"fan-{n}", source=f"alsa:{name}?channels=2", channel=n) for n in range(machines)]
        shared = SharedDevices(tables)
        sources = [open_machine(table, rate=RATE, shared=shared) for table in tables]
        listeners = [threading.Thread(target=list, args=[source.blocks()], name="machine") for source in sources]
        for listener in listeners:
            listener.start()
        while not recorders():
            time.sleep(0.01)
        recorders()[0].suspend()
        for source in sources:
            source.close()
        for listener in listeners:
            listener.join(5.0)
        assert recorders() == []
    assert Awaited.by == {"machine" if machines == 1 else f"alsa-{name}"}


def test_a_recorder_that_dies_is_an_error(tmp_path: Path) -> None:
    with virtual_microphone(tmp_path, pcm(60 * RATE)) as name:
        blocks = open_source(f"alsa:{name}", rate=RATE).blocks()
        next(blocks)
        recorders()[0].send_signal(signal.SIGKILL)
        with pytest.raises(SourceError, match=r"cannot be heard\n.*ended by signal 9"):
            for _ in blocks:  # what the pipe still holds may come first
                pass


def test_a_device_that_is_not_there_is_an_error_in_arecords_words(tmp_path: Path) -> None:
    with virtual_microphone(tmp_path, pcm(RATE)):
        blocks = open_source("alsa:absent", rate=RATE).blocks()
        with pytest.raises(SourceError, match=r"The microphone absent cannot be heard\n.*Unknown PCM absent"):
            next(blocks)


def test_a_machine_without_arecord_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="alsa-utils"):
        open_source("alsa:default", rate=RATE)


def arecord_that(says: str, folder: Path, monkeypatch: pytest.MonkeyPatch, *, then: str = "cat /dev/zero") -> None:
    """Put a program in arecord's place: hardware that loses samples or refuses a rate cannot be had on demand."""
    program = folder / "arecord"
    # A pipe holds 64 KiB, so what is said comes after the first block was taken and within the first 80000 bytes.
    program.write_text(f"#!/bin/sh\nhead -c 80000 /dev/zero\necho '{says}' >&2\nexec {then}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_lost_samples_are_a_gap_between_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arecord_that("overrun!!! (at least 125.000 ms long)", tmp_path, monkeypatch)
    health = MicrophoneHealth(MicrophoneTable())
    source = open_source("alsa:default", rate=RATE, observer=Observer(health=health))
    blocks = list(islice(source.blocks(), 16))
    source.close()
    gaps = [later.start - block.start - len(block.samples) for block, later in pairwise(blocks)]
    assert sorted(gaps) == [0] * 14 + [2000]
    assert (health.report.overruns, health.report.lost_s) == (1, 0.125)
    assert blocks[-1].faults == ("silent",)  # this device gives zeros


def test_walking_away_from_a_device_that_fell_silent_does_not_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arecord_that("Recording raw data", tmp_path, monkeypatch, then="sleep 15")
    children = psutil.Process().children
    blocks = open_source("alsa:default", rate=RATE).blocks()
    next(blocks)
    began = time.monotonic()
    del blocks  # as leaving a loop does
    assert time.monotonic() - began < 5.0
    assert not [child for child in children() if child.name() == "sleep"]


class Stuck(subprocess.Popen[bytes]):
    """A real child that never seems to end: nobody can put one into uninterruptible sleep at will."""

    def wait(self, timeout: float | None = None) -> int:
        assert timeout is not None, "waits without limit"
        raise subprocess.TimeoutExpired(self.args, timeout)


def test_a_recorder_stuck_in_its_driver_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arecord_that("Recording raw data", tmp_path, monkeypatch)
    children: list[Stuck] = []

    def start(*arguments: Any, **settings: Any) -> Stuck:
        children.append(Stuck(*arguments, **settings))
        return children[0]

    monkeypatch.setattr("asd_edge.sources.microphone.subprocess.Popen", start)
    source = open_source("alsa:default", rate=RATE)
    blocks = source.blocks()
    next(blocks)
    source.close()
    assert list(blocks) == []
    (child,) = children
    assert child.stdout is not None
    assert child.stderr is not None
    assert child.stdout.closed
    assert child.stderr.closed
    assert super(Stuck, child).wait(5) < 0  # it was not really stuck


def test_a_device_that_takes_another_rate_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arecord_that("Warning: rate is not accurate (requested = 16000Hz, got = 48000Hz)", tmp_path, monkeypatch)
    blocks = open_source("alsa:default", rate=RATE).blocks()
    with pytest.raises(SourceError, match="Set source_rate to 48000"):
        list(islice(blocks, 16))


@pytest.mark.parametrize(
    ("uri", "settings", "said"),
    [
        ("alsa:default?channels=2", {}, "several channels, and none was chosen"),
        ("alsa:default?channels=2", {"channel": 2}, "does not have this channel"),
        ("alsa:default?channel=2", {}, "nearest known"),
        ("alsa:default", {"source_rate": 8_000}, "does not hold the frequencies"),
        ("alsa:default", {"speed": 2.0}, "has no speed to choose"),
    ],
)
def test_settings_that_do_not_fit_are_refused(uri: str, settings: dict[str, int], said: str) -> None:
    with pytest.raises(SourceError, match=said):
        open_source(uri, rate=RATE, **settings)


def test_a_device_that_falls_silent_is_lost_even_if_its_driver_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_edge.sources.microphone._PATIENCE_S", 0.5)  # five seconds on a device
    with virtual_microphone(tmp_path, None) as name, pytest.raises(SourceError, match="no sound for"):
        next(open_source(f"alsa:{name}", rate=RATE).blocks())
