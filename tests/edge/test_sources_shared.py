"""Several machines on one ALSA device, through a real arecord on a virtual device of four channels."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from asd_edge.config import MachineTable, MicrophoneTable
from asd_edge.errors import SourceError
from asd_edge.sources.block import Block, Source
from asd_edge.sources.health import MicrophoneHealth
from asd_edge.sources.observer import Observer
from asd_edge.sources.open import open_machine
from asd_edge.sources.shared import SharedDevices
from tests.edge.virtual_microphone import fed_microphone

RATE = 16_000
CHANNELS = 4
PERIOD = 16_384  # four ramps of this height fill 16 bits
BLOCK_S = 0.032
SOON_S = 10.0  # for a busy machine; all of it takes tenths of a second


def ramps(start: int, count: int) -> NDArray[np.int16]:
    """Samples that say which channel and, modulo the period, which sample they are  # [count, CHANNELS]."""
    sample = np.arange(start, start + count)[:, None] % PERIOD
    return (sample + PERIOD * np.arange(CHANNELS)[None, :] - 32_768).astype(np.int16)


def tones(start: int, count: int) -> NDArray[np.int16]:
    """440 and 880 Hz at 32000 samples a second, amplitude 0.5  # [count, 2]."""
    seconds = np.arange(start, start + count)[:, None] / 32_000
    return (16_384 * np.sin(2 * np.pi * np.array([[440, 880]]) * seconds)).astype(np.int16)


def four_channels(folder: Path, make: Callable[[int, int], NDArray[np.int16]] = ramps) -> AbstractContextManager[str]:
    return fed_microphone(folder, make, every_s=BLOCK_S / 8)


def machine(name: str, number: int, channel: int | None, *, options: str = "", **keys: float) -> MachineTable:
    source = f"alsa:{name}{options}"
    return MachineTable.model_validate({"id": f"fan-{number}", "source": source, "channel": channel} | keys)


def sharing(name: str, *channels: int) -> tuple[SharedDevices, list[MachineTable]]:
    machines = [machine(name, n, channel, options=f"?channels={CHANNELS}") for n, channel in enumerate(channels)]
    return SharedDevices(machines), machines


class Listening:
    """A thread that hears a source to its end."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.blocks: list[Block] = []
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self) -> None:
        try:
            for block in self.source.blocks():
                self.blocks.append(block)
        except Exception as error:
            self.error = error

    def wait(self, seconds: float) -> None:
        """Wait until so much more was heard."""
        wanted = len(self.blocks) + seconds / BLOCK_S
        wait_until(lambda: len(self.blocks) >= wanted)

    def end(self) -> None:
        self.source.close()
        self.join()

    def join(self) -> None:
        self.thread.join(SOON_S)
        assert not self.thread.is_alive()


def wait_until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON_S
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def listen(shared: SharedDevices, machines: list[MachineTable]) -> list[Listening]:
    return [Listening(opened(shared, machine)) for machine in machines]


def opened(shared: SharedDevices, machine: MachineTable) -> Source:
    return open_machine(machine, rate=RATE, block_s=BLOCK_S, shared=shared)


def recorders() -> list[psutil.Process]:
    """The children of this process that record."""
    return [child for child in psutil.Process().children() if "arecord" in " ".join(child.cmdline()[:2])]


@pytest.fixture(autouse=True)
def nobody_records_afterwards() -> Iterator[None]:
    yield
    left = recorders()
    for recorder in left:  # or the next tests would fail too
        recorder.kill()
    assert left == []


def gaps(blocks: list[Block]) -> list[int]:
    """Samples lost between blocks, where there were any."""
    lost = [later.start - block.start - len(block.samples) for block, later in pairwise(blocks)]
    return [samples for samples in lost if samples != 0]


def assert_own_channel(blocks: list[Block], channel: int) -> None:
    """Every sample is the channel's, and is where its block says, counted from the first one heard."""
    assert blocks[0].start == 0
    values = [(block.samples * 32_768).astype(int) + 32_768 - PERIOD * channel for block in blocks]
    for block, found in zip(blocks, values, strict=True):
        expected = (values[0][0] + block.start + np.arange(len(found))) % PERIOD
        np.testing.assert_array_equal(found, expected)


def test_each_machine_hears_its_own_channel_from_one_child(tmp_path: Path) -> None:
    with four_channels(tmp_path) as name:
        shared, machines = sharing(name, 0, 2, 3, 2)
        listening = listen(shared, machines)
        for one in listening:
            one.wait(2.0)
        assert len(recorders()) == 1
        for one in listening:
            one.end()
    for one, channel in zip(listening, (0, 2, 3, 2), strict=True):
        assert one.error is None
        assert gaps(one.blocks) == []
        assert_own_channel(one.blocks, channel)


def test_who_joins_late_counts_from_zero_and_who_leaves_disturbs_nobody(tmp_path: Path) -> None:
    with four_channels(tmp_path) as name:
        shared, machines = sharing(name, 0, 1, 2)
        first, second = listen(shared, machines[:2])
        first.wait(1.0)
        second.wait(0.5)
        (recorder,) = recorders()
        (third,) = listen(shared, machines[2:])
        third.wait(0.5)
        first.end()
        third.wait(1.0)
        assert recorders() == [recorder]
        second.end()
        assert recorders() == [recorder]
        third.wait(1.0)
        third.source.close()
        third.join()
        assert recorders() == []  # already, so that the device is free
    for channel, one in enumerate((first, second, third)):
        assert one.error is None
        assert gaps(one.blocks) == []
        assert_own_channel(one.blocks, channel)


def test_walking_away_leaves_the_device(tmp_path: Path) -> None:
    with four_channels(tmp_path) as name:
        shared, machines = sharing(name, 0, 1)
        for _ in opened(shared, machines[0]).blocks():
            assert len(recorders()) == 1
            break
        assert recorders() == []


def test_a_recorder_that_dies_fails_all_who_may_then_open_it_again(tmp_path: Path) -> None:
    with four_channels(tmp_path) as name:
        shared, machines = sharing(name, 0, 1, 2)
        listening = listen(shared, machines)
        for one in listening:
            one.wait(0.5)
        recorders()[0].send_signal(signal.SIGKILL)
        for one in listening:
            one.join()
            assert isinstance(one.error, SourceError)
            assert f"The microphone {name} cannot be heard" in str(one.error)
            assert "ended by signal 9" in str(one.error)
        again = listen(shared, machines)
        for channel, one in enumerate(again):
            one.wait(0.5)
            assert len(recorders()) == 1
            one.end()
            assert_own_channel(one.blocks, channel)


def test_a_device_that_is_not_there_is_an_error_to_all_and_starts_when_it_comes(tmp_path: Path) -> None:
    with four_channels(tmp_path) as name:
        config = tmp_path / "asound.conf"
        config.rename(tmp_path / "unplugged")
        config.write_text("</usr/share/alsa/alsa.conf>\n")
        shared, machines = sharing(name, 0, 1)
        for one in listen(shared, machines):
            one.join()
            assert f"Unknown PCM {name}" in str(one.error)
        (tmp_path / "unplugged").rename(config)
        (one,) = listen(shared, machines[:1])
        one.wait(0.5)
        one.end()


def test_who_does_not_listen_gets_a_gap_and_the_others_lose_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with four_channels(tmp_path) as name, caplog.at_level(logging.WARNING):
        shared, machines = sharing(name, 0, 1)
        health = MicrophoneHealth(MicrophoneTable())
        observer = Observer(health=health)
        blocks = open_machine(machines[0], rate=RATE, block_s=BLOCK_S, shared=shared, observer=observer).blocks()
        heard = [next(blocks)]
        (other,) = listen(shared, machines[1:])
        other.wait(8.0)
        stalled_until = time.monotonic()
        kept_s = 5.0
        heard += [next(blocks) for _ in range(int(kept_s / BLOCK_S) - 10)]
        assert all(block.arrived < stalled_until for block in heard[: len(heard) // 2])  # when read, not when taken
        del blocks
        other.end()
    (lost,) = gaps(heard)  # the oldest went, in one piece
    assert lost > RATE
    assert (health.report.overruns, health.report.lost_s) == (1, pytest.approx(lost / RATE, abs=0.001))
    assert_own_channel(heard, 0)
    assert gaps(other.blocks) == []
    assert_own_channel(other.blocks, 1)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert "fan-0" in said[0]


def test_what_waits_for_a_listener_is_not_heard_after_its_end(tmp_path: Path) -> None:
    with four_channels(tmp_path) as name:
        shared, machines = sharing(name, 0, 1)
        source = opened(shared, machines[0])
        blocks = source.blocks()
        next(blocks)
        (other,) = listen(shared, machines[1:])
        other.wait(1.0)
        other.end()
        source.close()
        deadline = time.monotonic() + 5.0
        while recorders():  # though nobody is there to hear of the end
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert list(blocks) == []


def test_machines_resample_one_device_each_for_itself(tmp_path: Path) -> None:
    with four_channels(tmp_path, tones) as name:
        machines = [machine(name, n, n, options="?channels=2", source_rate=32_000) for n in range(2)]
        listening = listen(SharedDevices(machines), machines)
        for one in listening:
            one.wait(1.5)
        assert len(recorders()) == 1
        for one in listening:
            one.end()
    for channel, one in enumerate(listening):
        second = np.concatenate([block.samples for block in one.blocks])[800 : 800 + RATE]
        spectrum = np.abs(np.fft.rfft(second)) / (RATE / 2)  # bins of one hertz
        assert np.argmax(spectrum) == 440 * (1 + channel)
        assert spectrum.max() == pytest.approx(0.5, rel=2e-3)  # filter ripple and 16 bits


def test_what_the_device_loses_all_lose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arecord = tmp_path / "arecord"  # hardware that loses samples cannot be had on demand
    arecord.write_text(
        '#!/bin/sh\npour() { while head -c 4096 /dev/zero; do sleep 0.02; [ ! -e "$1" ] || break; done; }\n'
        f"pour {tmp_path}/go\necho 'overrun!!! (at least 125.000 ms long)' >&2\npour {tmp_path}/never\n"
    )
    arecord.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    shared, machines = sharing("default", 0, 3)
    listening = listen(shared, machines)
    for one in listening:
        one.wait(BLOCK_S)
    (tmp_path / "go").touch()
    for one in listening:
        one.wait(1.0)
    for one in listening:
        one.end()
        assert gaps(one.blocks) == [2000]


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        (machine("a", 1, 4), "does not have this channel"),
        (machine("a", 1, None), "several channels, and none was chosen"),
        (machine("a", 1, 0, options="?chanels=2"), "nearest known"),
        (machine("a", 1, 0, speed=2.0), "has no speed to choose"),
        (machine("a", 1, 0).model_copy(update={"source": "alsa:"}), "no such source"),
    ],
)
def test_a_machine_that_cannot_be_opened_does_not_stop_the_others(machine: MachineTable, said: str) -> None:
    other = machine.model_copy(update={"id": "other", "source": "alsa:a?channels=4", "channel": 3, "speed": 1.0})
    shared = SharedDevices([machine, other])
    with pytest.raises(SourceError, match=said):
        opened(shared, machine)
    opened(shared, other).close()


def test_one_device_cannot_have_blocks_of_two_lengths(tmp_path: Path) -> None:
    with four_channels(tmp_path) as name:
        shared, machines = sharing(name, 0, 1)
        (first,) = listen(shared, machines[:1])
        first.wait(0.1)
        with pytest.raises(ValueError, match=r"pieces of 0\.032 s"):
            next(open_machine(machines[1], rate=RATE, shared=shared).blocks())
        first.wait(0.1)
        first.end()
        assert_own_channel(first.blocks, 0)
