"""One machine's thread goes on after errors that nobody foresaw."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest

from asd_edge.config import DecisionTable, MachineTable, MicrophoneTable
from asd_edge.daemon.alarm_file import AlarmFile
from asd_edge.daemon.alarms import AlarmBook
from asd_edge.daemon.listening.conditions import KnownConditions
from asd_edge.daemon.listening.machine import MachineThread
from asd_edge.daemon.ring import SoundRing
from asd_edge.daemon.scorer import Scorer
from asd_edge.errors import SourceError
from asd_edge.events import AlarmChange, Event, WindowScore, WindowState
from asd_edge.pipeline import SegmentStreams
from asd_edge.scoring.aggregation import EmbeddedSegments
from asd_edge.sources.shared import SharedDevices
from tests.edge.device import fan, write_clip
from tests.edge.fan_bundle import NORMAL, make_fan_bundle


def machine_thread(
    table: MachineTable,
    folder: Path,
    publish: Callable[[Event], None],
    book: AlarmBook | None = None,
    changed: Callable[[MachineThread], None] = lambda _thread: None,
    **kept: Any,
) -> tuple[MachineThread, Scorer]:
    """A machine that is about to listen, and the scorer that works for it already."""
    bundle = make_fan_bundle(folder / "fan.asd", clips=3)
    scorer = Scorer()
    scorer.start()
    machine = MachineThread(
        table,
        SegmentStreams(bundle.pipeline()),
        scorer,
        KnownConditions(bundle, table, folder / "state"),
        SharedDevices([table]),
        publish,
        book or AlarmBook(folder / "alarms.json", lambda _alarm: None),
        changed,
        **kept,
    )
    return machine, scorer


def standing_alarm(folder: Path) -> tuple[AlarmChange, SimpleQueue[AlarmChange], AlarmBook]:
    """An alarm that stood when the daemon ended, what is told of it now, and the book, which has begun."""
    stood = AlarmChange("fan-1", 900.0, True, 800.0, 0.3, 0.2, "source", 600)
    AlarmFile(folder / "alarms.json").save({"fan-1": stood})
    told: SimpleQueue[AlarmChange] = SimpleQueue()
    book = AlarmBook(folder / "alarms.json", told.put)
    book.start()
    return stood, told, book


def wait_until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20.0
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_unforeseen_error_is_reported_and_a_new_detector_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    table = MachineTable(id="fan-1", source=f"raw:{fifo}", factory="fan/00")
    _, alarms, book = standing_alarm(tmp_path)
    reports: list[tuple[str, str | None]] = []
    scored: SimpleQueue[Event] = SimpleQueue()
    failures = iter([KeyError("a surprise")])

    def publish(event: Event) -> None:
        for failure in failures:
            raise failure
        scored.put(event)

    def changed(thread: MachineThread) -> None:
        reports.append((thread.report.state, thread.report.error))

    machine, scorer = machine_thread(table, tmp_path, publish, book, changed)
    sound = (fan(NORMAL, seed=1, seconds=12) * 32_767).astype("<i2").tobytes()
    sender = os.open(fifo, os.O_RDWR)  # stays open over both openings
    threading.Thread(target=lambda: [os.write(sender, sound) for _ in range(2)], daemon=True).start()
    machine.start()
    try:
        scored.get(timeout=20)
        deadline = time.monotonic() + 20
        while len(reports) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        machine.stop()
        machine.join(5)
        scorer.stop(5)
        os.close(sender)
    assert reports[:3] == [("running", None), ("failed", "KeyError: 'a surprise'"), ("running", None)]
    book.stop(5)
    told = [alarms.get_nowait() for _ in range(alarms.qsize())]
    assert [(alarm.active, alarm.since, alarm.cause) for alarm in told] == [(True, 800.0, "start")] * 2
    assert "Traceback" in caplog.text


def test_what_was_heard_is_handed_on_and_not_the_last_seconds_once_the_source_has_ended(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.wav", fan(NORMAL, seed=1, seconds=12))
    table = MachineTable(id="fan-1", source=f"file:{clip}", speed=0.0, factory="fan/00")
    ring = SoundRing(16_000, 60.0)
    heard: list[int] = []
    held: list[int] = []

    def keep(_origin: int, _zero_time: float, segments: EmbeddedSegments) -> None:
        heard.extend(segments.first_frame)

    def publish(_event: Event) -> None:
        held.append(len(ring.last(5.0)))

    machine, scorer = machine_thread(table, tmp_path, publish, heard=keep, ring=ring)
    machine.start()
    machine.join(20)
    scorer.stop(5)
    assert machine.report.state == "ended"
    assert heard == list(range(0, 32 * len(heard), 32))
    assert len(heard) >= 10
    assert held
    with pytest.raises(SourceError, match=r"found: +0\.0 s"):
        ring.last(1.0)


def test_a_standing_alarm_of_a_source_that_stays_away_is_suppressed_and_stands(tmp_path: Path) -> None:
    table = MachineTable(
        id="fan-1",
        source=f"raw:{tmp_path / 'absent'}",
        factory="fan/00",
        decision=DecisionTable(off_delay_s=0.5),
        microphone=MicrophoneTable(check=False),  # or a delay is not so short
    )
    stood, alarms, book = standing_alarm(tmp_path)
    machine, scorer = machine_thread(table, tmp_path, lambda _event: None, book)
    machine.start()
    try:
        start, suppressed = alarms.get(timeout=20), alarms.get(timeout=20)
    finally:
        machine.stop()
        machine.join(5)
        scorer.stop(5)
        book.stop(5)
    assert replace(start, time=0.0) == replace(stood, time=0.0, cause="start")
    assert replace(suppressed, time=0.0) == replace(stood, time=0.0, suppressed="microphone", cause="suppression")
    assert alarms.empty()  # said once, however long it stays away
    assert AlarmFile(tmp_path / "alarms.json").load()["fan-1"].suppressed == "microphone"


def test_a_fifo_whose_sender_hangs_is_a_failure_until_it_sends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asd_edge.daemon.listening.ladder._PATIENCE_S", 0.5)  # ten seconds on a device
    monkeypatch.setattr("asd_edge.sources.pcm.ROUND_S", 0.1)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    sender = os.open(fifo, os.O_RDWR)  # holds it open, and sends nothing
    machine, scorer = machine_thread(MachineTable(id="fan-1", source=f"raw:{fifo}"), tmp_path, lambda _event: None)
    machine.start()
    try:
        wait_until(lambda: machine.report.state == "failed")
        assert machine.report.health == "failure"
        assert "No sound comes" in str(machine.report.error)
        os.write(sender, bytes(4096))
        wait_until(lambda: machine.report.state == "running")
        assert machine.report.error is None
        wait_until(lambda: machine.report.state == "failed")  # and hangs again
    finally:
        machine.stop()
        machine.join(5.0)
        scorer.stop(5.0)
        os.close(sender)
    assert machine.report.state == "ended"


def test_a_watched_folder_is_remembered_in_the_machines_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asd_edge.sources.watched_folder._SETTLED_S", 0.05)
    monkeypatch.setattr("asd_edge.sources.folder.ROUND_S", 0.05)
    folder, clip = tmp_path / "in", fan(NORMAL, seed=1, seconds=12)
    folder.mkdir()
    write_clip(folder / "before.wav", clip)
    scores: list[Event] = []
    table = MachineTable(id="fan-1", source=f"folder:{folder}", factory="fan/00")

    def run(new: str | None, wanted: int) -> None:
        machine, scorer = machine_thread(table, tmp_path, scores.append)
        machine.start()
        wait_until((tmp_path / "state" / "fan-1" / "folder.json").exists)
        if new is not None:
            write_clip(folder / new, clip)
        wait_until(lambda: len(scores) >= wanted)
        time.sleep(0.3)
        machine.stop()
        machine.join(5.0)
        scorer.stop(5.0)

    run("first.wav", 1)
    of_one = len(scores)
    assert all(isinstance(score, WindowScore) for score in scores)
    write_clip(folder / "meanwhile.wav", clip)
    run(None, 2 * of_one)
    assert len(scores) == 2 * of_one


def test_a_microphone_that_sticks_raises_no_alarm_however_short_the_delay(tmp_path: Path) -> None:
    """Its fault is known only after seconds, and what it gives until then sounds like no machine."""
    fifo, clip = tmp_path / "fifo", fan(NORMAL, seed=1, seconds=12)
    os.mkfifo(fifo)
    stuck = np.repeat(clip[: len(clip) // 2 : 8], 8)
    sent = (np.concatenate([clip, stuck]) * 32_767).astype("<i2").tobytes()
    decision = DecisionTable(on_delay_s=0.0)
    table = MachineTable(id="fan-1", source=f"raw:{fifo}", factory="fan/00", decision=decision)
    events: list[Event] = []
    book = AlarmBook(tmp_path / "alarms.json", lambda _alarm: None)
    machine, scorer = machine_thread(table, tmp_path, events.append, book)
    sender = threading.Thread(target=lambda: fifo.write_bytes(sent))
    sender.start()
    machine.start()
    try:
        wait_until(lambda: bool(events) and getattr(events[-1], "state", None) is WindowState.BAD_QUALITY)
    finally:
        machine.stop()
        machine.join(5.0)
        scorer.stop(5.0)
        sender.join(5.0)
    scores = [event for event in events if isinstance(event, WindowScore)]
    assert any((score.score or 0.0) > (score.threshold or 0.0) for score in scores)  # or there was nothing to hold back
    assert book.standing("fan-1") is None
