"""A daemon whose state is damaged or whose disk is full: it goes on, loses nothing silently, and says what is wrong.

More of this, for longer: tests/soak.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.edge.device import FAN_SOURCE, write_device

MACHINE = {"id": "fan-1", "source": FAN_SOURCE, "speed": 20.0, "factory": "fan/00"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """The state folder on a small file system; only root can have one."""
    state = tmp_path / "state"
    state.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "none", state], capture_output=True).returncode != 0:
        pytest.skip("no right to mount a small file system")
    yield state
    subprocess.run(["umount", "--lazy", state], check=True)


def test_a_state_folder_full_of_damaged_files_is_replaced_and_the_status_tells_of_it(
    make_broker: Any, listen: Any, bundle: Path, tmp_path: Path, start: Any
) -> None:
    broker = make_broker()
    broker.start()
    listener = listen(broker.port)
    device = write_device(tmp_path, bundle, broker.port, MACHINE)
    daemon = start(device)
    last = listener.wait("/fan-1/score", lambda _: len(listener.of("/fan-1/score")) >= 5)["id"]
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(15) == 0
    state = tmp_path / "state"
    damaged = [path for path in state.rglob("*") if path.is_file()]
    assert {"mqtt.db", "mqtt.ids.json"} <= {path.name for path in damaged}
    for path in (*damaged, state / "alarms.json"):
        path.write_bytes(b"\x00 no such thing" * 20)

    before = len(listener.of("/fan-1/score"))
    again = start(device)
    status = listener.wait("/status", lambda status: len(status.get("troubles", ())) == 2)
    assert status["health"] == "maintenance_required"
    assert [trouble.split(":")[0] for trouble in sorted(status["troubles"])] == ["alarms", "outbox"]
    listener.wait("/fan-1/score", lambda _: len(listener.of("/fan-1/score")) >= before + 5)
    ids = [score["id"] for score in listener.of("/fan-1/score")[before:]]
    assert last not in ids
    again.send_signal(signal.SIGTERM)
    assert again.wait(15) == 0
    assert "Traceback" not in again.stderr.read()


def test_a_disk_that_fills_up_keeps_no_score_from_the_broker(
    broker: Any, listen: Any, bundle: Path, tmp_path: Path, start: Any, small_disk: Path
) -> None:
    listener = listen(broker.port)
    daemon = start(write_device(tmp_path, bundle, broker.port, MACHINE))
    listener.wait("/fan-1/score", lambda _: True)
    with (small_disk / "filler").open("ab", buffering=0) as filler, suppress(OSError):
        while os.statvfs(small_disk).f_bavail:
            filler.write(b"x" * 4096)
    before = len(listener.of("/fan-1/score"))
    listener.wait("/fan-1/score", lambda _: len(listener.of("/fan-1/score")) > before + 50)
    assert None not in [score["id"] for score in listener.of("/fan-1/score")]  # the outbox has room of its own
    (small_disk / "filler").unlink()
    written = len(listener.of("/fan-1/score"))
    listener.wait("/fan-1/score", lambda _: any(score["id"] for score in listener.of("/fan-1/score")[written:]))
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(15) == 0
    starts = sorted(score["start"] for score in listener.of("/fan-1/score"))
    step = starts[1] - starts[0]
    assert starts == list(range(starts[0], starts[-1] + step, step))
    assert "Traceback" not in daemon.stderr.read()
