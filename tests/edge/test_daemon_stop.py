"""How a daemon ends."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from asd_edge.config import load_config
from asd_edge.daemon import supervisor
from asd_edge.daemon.supervisor import Daemon
from tests.edge.device import FAN_SOURCE, write_device
from tests.edge.fan_bundle import make_fan_bundle


def test_parts_that_take_all_their_time_leave_the_destinations_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_fan_bundle(tmp_path / "fan.asd", clips=3)
    path = write_device(tmp_path, tmp_path / "fan.asd", 1, {"id": "fan-1", "source": FAN_SOURCE})
    daemon = Daemon(load_config(path), path)
    for part in ("_engines", "_machines", "_scorer", "_alarms", "_keeping", "_evidence"):
        monkeypatch.setattr(getattr(daemon, part), "stop", time.sleep)
    given: list[float] = []
    monkeypatch.setattr(daemon._destinations, "stop", lambda _reason, patience_s: given.append(patience_s))
    assert daemon._stop(signal.SIGTERM) == 0
    assert given[0] >= supervisor._FAREWELL_S
