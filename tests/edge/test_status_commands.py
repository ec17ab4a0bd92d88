"""What `asd-edge status` and `asd-edge watch` show."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from asd_edge.cli.running import state_folder
from asd_edge.cli.status_text import duration, machine_line, status_text
from asd_edge.cli.watch import screen_of
from asd_edge.control import ControlReply, ControlRequest
from asd_edge.daemon.control import ControlServer
from asd_edge.daemon.reporting import clock_fault
from asd_edge.errors import ConfigError
from asd_edge.status import Status
from tests.edge.a_status import a_status
from tests.edge.device import ASD_EDGE, asd_edge

ALL_WELL = a_status().model_copy(
    update={"troubles": (), "health": "normal", "machines": a_status().machines[:1], "destinations": ()}
)


def serve(folder: Path, status: Status) -> ControlServer:
    def answer(request: ControlRequest) -> tuple[ControlReply, NDArray[np.float32]]:
        assert request.request == "status"
        return ControlReply(status=status), np.zeros(0, np.float32)

    server = ControlServer(folder / "state", answer)
    server.start()
    return server


@pytest.fixture
def device(tmp_path: Path) -> Path:
    text = f'[device]\nid = "box"\nstate_dir = "{tmp_path}/state"\n[[machines]]\nid = "fan-1"\nsource = "sim:fan"\n'
    (tmp_path / "device.toml").write_text(text)
    return tmp_path / "device.toml"


@pytest.fixture
def troubled(tmp_path: Path) -> Iterator[None]:
    server = serve(tmp_path, a_status())
    yield
    server.stop()


def test_the_text_says_everything_and_last_what_needs_a_person() -> None:
    text = status_text(a_status())
    for part in ("up 1 d 2 h", "150 MiB", "31 descriptors", "score 0.310 of 0.250", "ALARM since", "1234 waiting"):
        assert part in text
    assert text.splitlines()[-3:] == [
        "- pump-2: The microphone: silent",
        "- evidence: the disk is full",
        "- mqtt: Connection refused",
    ]
    assert "Needs a person" not in status_text(ALL_WELL)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.9, "59 s"), (61.0, "1 min 1 s"), (3_600.0, "1 h"), (200_000.0, "2 d 7 h")]
)
def test_a_length_of_time_has_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.usefixtures("troubled")
def test_status_ends_with_1_when_something_needs_a_person(device: Path) -> None:
    told = asd_edge("status", "--config", device, "--json")
    assert told.returncode == 1, told.stderr
    assert Status.model_validate_json(told.stdout) == a_status()


def test_status_ends_with_0_when_all_is_well_and_with_3_without_a_daemon(device: Path, tmp_path: Path) -> None:
    server = serve(tmp_path, ALL_WELL)
    told = asd_edge("status", "--config", device)
    server.stop()
    assert (told.returncode, told.stdout) == (0, status_text(ALL_WELL) + "\n")
    gone = asd_edge("status", "--config", device)
    assert gone.returncode == 3
    assert "No daemon answers" in gone.stderr


@pytest.mark.parametrize("status", [a_status(), ALL_WELL, None])
def test_the_screen_fits_into_80_columns(status: Status | None) -> None:
    if status is not None:
        long = [machine.model_copy(update={"machine": "x" * 64}) for machine in status.machines]
        status = status.model_copy(update={"machines": (*status.machines, *long)})
    console = Console(width=80, record=True, file=open(os.devnull, "w"))  # noqa: SIM115  # the process is short
    console.print(screen_of(status))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    if status is not None:
        fan = next(line for line in lines if line.startswith(" fan-1"))
        assert fan.split() == ["fan-1", "running", "-31.5", "██████████", "124", "%", "ALARM", "620"]


def test_a_suppressed_alarm_looks_like_none_that_somebody_must_run_for() -> None:
    fan = a_status().machines[0]
    assert fan.alarm is not None
    alarm = fan.alarm.model_copy(update={"suppressed": "microphone"})
    status = a_status().model_copy(update={"machines": (fan.model_copy(update={"alarm": alarm}),)})
    console = Console(width=80, record=True, file=open(os.devnull, "w"))  # noqa: SIM115  # the process is short
    console.print(screen_of(status))
    for shown in (console.export_text(), status_text(status)):
        assert "suppressed" in shown
        assert "ALARM" not in shown


def test_old_figures_do_not_look_like_news() -> None:
    fan = a_status().machines[0]
    assert "ago" not in machine_line(fan, "2026-03-01T12:00:59.000Z")
    assert "score 0.310 of 0.250, 3 h ago" in machine_line(fan, "2026-03-01T15:00:00.000Z")
    lost = fan.model_copy(update={"window": None, "state": "failed", "health": "failure"})
    assert machine_line(lost, fan.window.time if fan.window else "").startswith("failed, failure, ALARM")


def test_a_device_file_that_is_not_there_asks_no_other_daemon(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no device file .*absent\.toml"):
        state_folder(tmp_path / "absent.toml")


@pytest.mark.usefixtures("troubled")
def test_a_daemon_is_found_by_its_device_file_after_another_state_folder_stands_in_it(
    device: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_edge.cli.running.usual_folder", lambda: tmp_path / "state")
    device.write_text(device.read_text().replace("/state", "/elsewhere"))
    assert state_folder(device) == tmp_path / "elsewhere"  # the daemon of the usual folder has another device file
    file = a_status().file.model_copy(update={"path": str(device)})
    mine = tmp_path / "mine"
    mine.mkdir()
    server = serve(mine, a_status().model_copy(update={"file": file}))
    monkeypatch.setattr("asd_edge.cli.running.usual_folder", lambda: mine / "state")
    assert state_folder(device) == mine / "state"
    server.stop()


@pytest.mark.usefixtures("troubled")
def test_watch_lives_on_a_terminal_and_ends_with_ctrl_c(device: Path) -> None:
    master, slave = pty.openpty()
    watch = subprocess.Popen([*ASD_EDGE, "watch", "--config", str(device)], stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    try:
        shown = b""
        while b"ALARM" not in shown:
            shown += os.read(master, 65_536)
        watch.send_signal(signal.SIGINT)
        assert watch.wait(10) == 0
    finally:
        watch.kill()
        watch.wait()
        os.close(master)


@pytest.mark.usefixtures("troubled")
def test_watch_prints_a_line_a_second_without_a_terminal(device: Path) -> None:
    began = time.monotonic()
    with subprocess.Popen([*ASD_EDGE, "watch", "--config", str(device)], stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None
        lines = [watch.stdout.readline() for _ in range(2)]
        watch.send_signal(signal.SIGINT)
        assert watch.wait(10) == 0
    assert time.monotonic() - began > 1.0
    assert all("fan-1 running, -31.5 dBFS, score 0.310 of 0.250, ALARM" in line for line in lines)


def test_a_clock_that_was_never_set_needs_a_person() -> None:
    assert clock_fault(1_780_000_000.0) is None
    assert "1970-01-01T00:01:00" in str(clock_fault(60.0))
