"""The machines of a daemon follow the device file."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest

from asd_edge.config import DeviceConfig, load_config
from asd_edge.daemon.alarms import AlarmBook
from asd_edge.daemon.keeping import Keeping
from asd_edge.daemon.listening.machine import MachineThread
from asd_edge.daemon.listening.machines import Machines, Works
from asd_edge.daemon.scorer import Scorer
from asd_edge.daemon.watchdog import Watchdog
from asd_edge.events import AlarmChange, Event, WindowScore
from asd_edge.pipeline import SegmentStreams
from tests.edge.device import FAN_SOURCE, fan, write_clip, write_device
from tests.edge.fan_bundle import NORMAL, make_fan_bundle


@pytest.mark.parametrize("successor", [[], [{"id": "fan-1"}]], ids=["removed", "replaced"])
def test_what_a_machine_of_before_has_still_to_be_scored_raises_no_alarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, successor: list[dict[str, Any]]
) -> None:
    monkeypatch.setattr("asd_edge.daemon.listening.machines._END_S", 0.1)
    bundle = make_fan_bundle(tmp_path / "fan.asd", clips=3)
    noise = write_clip(tmp_path / "noise.wav", np.random.default_rng(1).normal(0.0, 0.2, 480_000).astype(np.float32))
    normal = write_clip(tmp_path / "normal.wav", fan(NORMAL, seed=1, seconds=14))
    # The first score is over the limit, and so is the second: with that an alarm begins.
    common = {"speed": 0.0, "factory": "fan/00", "decision.on_delay_s": 1.0, "decision.off_delay_s": 600.0}
    bad, good = common | {"source": f"file:{noise}"}, common | {"source": f"file:{normal}"}

    def device(*machines: dict[str, Any]) -> DeviceConfig:
        return load_config(write_device(tmp_path, tmp_path / "fan.asd", 1, *machines))

    scorer, told, begun, slow = Scorer(), SimpleQueue[AlarmChange](), threading.Event(), threading.Event()

    def publish(event: Event) -> None:
        if isinstance(event, WindowScore) and event.machine == "fan-1" and not begun.is_set():
            assert event.score is not None
            scorer.between(lambda: slow.wait(20.0) and None)  # a device that falls behind
            begun.set()

    streams, book = SegmentStreams(bundle.pipeline()), AlarmBook(tmp_path / "alarms.json", told.put)
    before = device(bad | {"id": "fan-1"})
    keeping = Keeping(before, bundle, streams.pipeline)
    works = Works(bundle, streams, scorer, keeping, Watchdog(), book, publish, lambda _thread: None)
    machines = Machines(before, works)
    book.start()
    scorer.start()
    machines.start()
    assert begun.wait(20.0)
    machines.plan(device(good | {"id": "fan-2"}, *(good | other for other in successor)))()
    assert book.standing("fan-1") is None
    slow.set()
    for thread in machines:
        thread.join(20.0)
    scorer.stop(20.0)
    book.stop(5.0)
    alarms = [told.get_nowait() for _ in range(told.qsize())]
    assert {alarm.machine for alarm in alarms} == {"fan-1", "fan-2"}
    assert not [alarm for alarm in alarms if alarm.active]


def test_machines_that_do_not_answer_are_waited_for_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    def join(_thread: MachineThread, patience_s: float) -> None:
        waited.append(patience_s)
        time.sleep(patience_s)

    monkeypatch.setattr(MachineThread, "join", join)
    bundle = make_fan_bundle(tmp_path / "fan.asd", clips=3)
    tables = [{"id": f"fan-{number}", "source": FAN_SOURCE} for number in range(4)]
    config = load_config(write_device(tmp_path, tmp_path / "fan.asd", 1, *tables))
    streams, scorer, book = SegmentStreams(bundle.pipeline()), Scorer(), AlarmBook(tmp_path / "a.json", lambda _: None)
    keeping = Keeping(config, bundle, streams.pipeline)
    works = Works(bundle, streams, scorer, keeping, Watchdog(), book, lambda _: None, lambda _: None)
    Machines(config, works).stop(0.2)
    assert len(waited) == 4
    assert sum(waited) <= 0.2  # a part of one deadline together, not one each
