"""One machine's thread goes on after errors that nobody foresaw."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from queue import SimpleQueue

import pytest

from asd_edge.config import MachineTable
from asd_edge.daemon.conditions import KnownConditions
from asd_edge.daemon.machine import MachineThread
from asd_edge.daemon.scorer import Scorer
from asd_edge.events import Event
from asd_edge.pipeline import SegmentStreams
from asd_edge.sources.shared import SharedDevices
from tests.edge.device import fan
from tests.edge.fan_bundle import NORMAL, make_fan_bundle


def test_an_unforeseen_error_is_reported_and_a_new_detector_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = make_fan_bundle(tmp_path / "fan.asd", clips=3)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    table = MachineTable(id="fan-1", source=f"raw:{fifo}", factory="fan/00")
    without_alarm: list[str] = []
    reports: list[tuple[str, str | None]] = []
    scored: SimpleQueue[Event] = SimpleQueue()
    failures = iter([KeyError("a surprise")])

    def publish(event: Event) -> None:
        for failure in failures:
            raise failure
        scored.put(event)

    scorer = Scorer()
    scorer.start()
    machine = MachineThread(
        table,
        SegmentStreams(bundle.pipeline()),
        scorer,
        KnownConditions(bundle, table, tmp_path),
        SharedDevices([table]),
        publish,
        without_alarm.append,
        lambda thread: reports.append((thread.report.state, thread.report.error)),
    )
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
        os.close(sender)
    assert reports[:3] == [("running", None), ("failed", "KeyError: 'a surprise'"), ("running", None)]
    assert without_alarm == ["fan-1"]
    assert "Traceback" in caplog.text
