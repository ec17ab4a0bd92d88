"""Machines on the channels of one microphone whose recorder is killed, stopped or deaf: real arecord, real threads."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from asd_edge.bundle.bundle import Bundle
from asd_edge.config import MachineTable
from asd_edge.daemon.alarms import AlarmBook
from asd_edge.daemon.listening.conditions import KnownConditions
from asd_edge.daemon.listening.machine import MachineThread
from asd_edge.daemon.scorer import Scorer
from asd_edge.events import AlarmChange, Event, WindowScore, WindowState
from asd_edge.pipeline import SegmentStreams
from asd_edge.sources.shared import SharedDevices
from tests.edge.device import fan
from tests.edge.fan_bundle import NORMAL, make_fan_bundle
from tests.edge.virtual_microphone import fed_microphone

RATE = 16_000
SOON_S = 20.0  # for a busy machine


class Plant:
    """Two fans on the channels of one device, each heard by a thread of the daemon."""

    def __init__(self, bundle: Bundle, folder: Path, name: str) -> None:
        tables = [
            MachineTable(id=f"fan-{channel}", source=f"alsa:{name}?channels=2", channel=channel, factory="fan/00")
            for channel in range(2)
        ]
        self.events: list[Event] = []
        self.states: list[list[str]] = [[], []]
        self.beats = [0, 0]
        self._scorer = Scorer()
        self._scorer.start()
        self._alarms = AlarmBook(folder / "alarms.json", self.events.append)
        self._alarms.start()
        shared, streams = SharedDevices(tables), SegmentStreams(bundle.pipeline())
        self.machines = [
            MachineThread(
                table,
                streams,
                self._scorer,
                KnownConditions(bundle, table, folder),
                shared,
                self.events.append,
                self._alarms,
                lambda thread, states=states: states.append(thread.report.summary),  # type: ignore[misc]
                beat=lambda channel=channel: self._beat(channel),  # type: ignore[misc]
            )
            for channel, (table, states) in enumerate(zip(tables, self.states, strict=True))
        ]

    def _beat(self, channel: int) -> None:
        self.beats[channel] += 1

    def start(self) -> None:
        for machine in self.machines:
            machine.start()
            time.sleep(0.04)  # half a second of sound: what one finds out, the other finds out later
        self.wait_for_scores(2)

    def stop(self) -> None:
        for machine in self.machines:
            machine.stop()
        for machine in self.machines:
            machine.join(5.0)
        self._scorer.stop(5.0)
        self._alarms.stop(5.0)

    def scores(self, channel: int) -> list[WindowScore]:
        found = [event for event in list(self.events) if isinstance(event, WindowScore)]
        return [score for score in found if score.machine == f"fan-{channel}"]

    def wait_for_scores(self, more: int) -> None:
        before = [len(self.scores(channel)) for channel in range(2)]
        wait_until(lambda: all(len(self.scores(channel)) >= before[channel] + more for channel in range(2)))

    @property
    def alarms(self) -> list[AlarmChange]:
        return [event for event in self.events if isinstance(event, AlarmChange) and event.active]


def wait_until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON_S
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def recorder() -> psutil.Process:
    wait_until(lambda: len(recorders()) == 1)
    return recorders()[0]


def recorders() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "arecord" in " ".join(child.cmdline()[:2])]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_fan_bundle(tmp_path_factory.mktemp("bundle") / "fan.asd", clips=3)


@pytest.fixture
def muted() -> threading.Event:
    """Whether the microphone gives digital silence."""
    return threading.Event()


@pytest.fixture
def plant(bundle: Bundle, tmp_path: Path, muted: threading.Event, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plant]:
    monkeypatch.setattr("asd_edge.sources.microphone._PATIENCE_S", 0.5)  # five seconds on a device
    sound = np.stack([fan(NORMAL, seed=seed, seconds=16.384) * 32_767 for seed in (1, 2)], axis=1).astype(np.int16)

    def hear(start: int, count: int) -> NDArray[np.int16]:
        start %= len(sound) - count
        return sound[start : start + count] * np.int16(0 if muted.is_set() else 1)

    with fed_microphone(tmp_path, hear, every_s=0.005) as name:  # up to twelve times as fast as real time
        made = Plant(bundle, tmp_path, name)
        try:
            made.start()
            yield made
        finally:
            made.stop()
    assert recorders() == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_recorder_that_dies_or_stands_still_is_replaced_and_no_machine_is_suspected(
    plant: Plant, number: signal.Signals
) -> None:
    victim = recorder()
    os.kill(victim.pid, number)
    wait_until(lambda: all(machine.report.microphone.reopened == 1 for machine in plant.machines))  # type: ignore[union-attr]
    beats = list(plant.beats)
    plant.wait_for_scores(2)
    assert recorder().pid != victim.pid
    for channel, machine in enumerate(plant.machines):
        assert plant.states[channel] == ["running", "reopening", "running"]
        assert (machine.report.health, machine.report.error) == ("normal", None)
        starts = [score.start for score in plant.scores(channel)]
        assert starts == sorted(starts)  # one numbering
        assert plant.beats[channel] > beats[channel]
    assert plant.alarms == []


def test_a_recorder_that_cannot_be_replaced_is_a_failure_until_it_can(plant: Plant, tmp_path: Path) -> None:
    config = tmp_path / "asound.conf"
    config.rename(tmp_path / "unplugged")
    config.write_text("</usr/share/alsa/alsa.conf>\n")
    recorder().kill()
    wait_until(lambda: all(states[-1] == "failed" for states in plant.states))
    assert {machine.report.health for machine in plant.machines} == {"failure"}
    assert all("Unknown PCM" in str(machine.report.error) for machine in plant.machines)
    (tmp_path / "unplugged").rename(config)
    plant.wait_for_scores(1)
    for machine, states in zip(plant.machines, plant.states, strict=True):
        assert [state for state in states if state != "reopening"] == ["running", "failed", "running"]
        assert (machine.report.health, machine.report.error) == ("normal", None)
    assert plant.alarms == []


def test_a_deaf_microphone_is_opened_afresh_once_and_is_a_failure_until_it_hears(
    plant: Plant, muted: threading.Event
) -> None:
    before = recorder().pid
    muted.set()
    wait_until(lambda: all(machine.report.health == "failure" for machine in plant.machines))
    assert {machine.report.state for machine in plant.machines} == {"running"}
    wait_until(lambda: all(machine.report.microphone.reopened == 1 for machine in plant.machines))  # type: ignore[union-attr]
    assert recorder().pid != before  # all had let go of it
    plant.wait_for_scores(15)
    assert {score.state for score in plant.scores(0)[-5:]} == {WindowState.BAD_QUALITY}
    assert all(machine.report.microphone.reopened == 1 for machine in plant.machines)  # type: ignore[union-attr]
    muted.clear()
    wait_until(lambda: all(machine.report.health == "normal" for machine in plant.machines))
    for states in plant.states:
        assert states == ["running", "microphone silent", "running"]
    assert plant.alarms == []
