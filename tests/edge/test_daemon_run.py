"""The real `asd-edge run` as a process, against a real broker."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import psutil
import pytest

from asd_edge.bundle.site_store import SiteStore
from asd_edge.control import NoDaemonError, status
from asd_edge.simulator import OperatingState
from asd_edge.sinks.payloads import schema
from tests.edge.device import FAN_SOURCE, asd_edge, fan, write_clip, write_device
from tests.edge.fan_bundle import NORMAL
from tests.edge.required import required_tool
from tests.edge.virtual_microphone import virtual_microphone

SIMULATED = {"id": "fan-1", "source": FAN_SOURCE, "speed": 20.0, "factory": "fan/00"}
OTHER = OperatingState(speed=1.25, load=0.9)

# What the process has imported is told by the process itself, at its end.
RUN_AND_TELL = """
import json, sys
sys.argv = ["asd-edge", "run", "--config", sys.argv[1]]
from asd_edge.cli import main
try:
    main()
except SystemExit as end:
    print(json.dumps({"code": end.code, "modules": sorted(sys.modules)}))
"""


def test_a_files_scores_over_mqtt_are_those_of_the_score_command(
    broker: Any, listen: Any, bundle: Path, tmp_path: Path
) -> None:
    sound = [fan(NORMAL, seed=1, seconds=12), np.zeros(8 * 16_000, np.float32), fan(OTHER, seed=2, seconds=22)]
    clip = write_clip(tmp_path / "clip.wav", np.concatenate(sound))
    machine = {"id": "fan-1", "source": f"file:{clip}", "speed": 0.0, "factory": "fan/00"}
    device = write_device(tmp_path, bundle, broker.port, machine)
    listener = listen(broker.port)
    run = subprocess.run(
        [sys.executable, "-c", RUN_AND_TELL, str(device)], capture_output=True, text=True, timeout=60, check=True
    )
    told = json.loads(run.stdout)
    assert told["code"] == 0, run.stderr
    assert not [name for name in told["modules"] if name.split(".")[0] in ("scipy", "torch", "matplotlib", "rich")]

    farewell = listener.wait("/status", lambda status: status["state"] == "offline")
    assert farewell["reason"] == "every source has ended"
    published, alarms = listener.of("/fan-1/score"), listener.of("/fan-1/alarm")
    assert farewell["messages"] == {
        "published": len(published) + len(alarms),
        "acknowledged": len(published) + len(alarms),
        "denied": 0,
    }
    assert farewell["machines"] == [
        {"machine": "fan-1", "state": "ended", "error": None, "enrolling": None, "microphone": None, "health": "normal"}
    ]
    assert (farewell["engine"]["name"], farewell["engine"]["precision"]) == ("onnxruntime", "fp32")
    assert {score["state"] for score in published} == {"scored", "idle"}
    assert [alarm["active"] for alarm in alarms] == [False, True]
    for name, payloads in (("score", published), ("alarm", alarms), ("status", listener.of("/status"))):
        for payload in payloads:
            jsonschema.Draft202012Validator(schema(name)).validate(payload)  # type: ignore[arg-type]

    scored = asd_edge("score", "--config", device, "--machine", "fan-1", "--json", clip)
    assert scored.returncode == 0, scored.stderr
    rows = [json.loads(line) for line in scored.stdout.splitlines()]
    windows = [row for row in rows if "state" in row]
    assert len(windows) == len(published) > 20
    for theirs, ours in zip(windows, published, strict=True):
        for key in ("start", "stop", "state", "condition"):
            assert theirs[key] == ours[key]
        assert theirs["score"] == (None if ours["score"] is None else pytest.approx(ours["score"], abs=1e-4))
    assert [row["active"] for row in rows if "active" in row] == [True]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(
    broker: Any, listen: Any, bundle: Path, tmp_path: Path, start: Any, number: signal.Signals
) -> None:
    listener = listen(broker.port)
    daemon = start(write_device(tmp_path, bundle, broker.port, SIMULATED))
    listener.wait("/fan-1/score", lambda score: score["state"] == "scored")
    assert listener.wait("/status", lambda _: True)["state"] == "online"
    daemon.send_signal(number)
    assert daemon.wait(15) == 0
    farewell = listener.wait("/status", lambda status: status["state"] == "offline")
    assert farewell["reason"] == f"stopped by {number.name}"
    received = len(listener.of("/score")) + len(listener.of("/alarm"))
    assert farewell["messages"]["published"] == farewell["messages"]["acknowledged"] == received


def test_one_machine_that_fails_does_not_stop_the_others(
    broker: Any, listen: Any, bundle: Path, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "clip.wav", fan(NORMAL, seed=1, seconds=12))
    good = {"id": "good", "source": f"file:{clip}", "speed": 0.0, "factory": "fan/00"}
    bad = {"id": "bad", "source": f"file:{tmp_path / 'absent.wav'}", "factory": "fan/00"}
    listener = listen(broker.port)
    run = asd_edge("run", "--config", write_device(tmp_path, bundle, broker.port, bad, good))
    assert run.returncode == 1
    assert "absent.wav" in run.stderr
    assert "remedy:" in run.stderr
    assert "Traceback" not in run.stderr
    farewell = listener.wait("/status", lambda status: status["state"] == "offline")
    states = {machine["machine"]: machine["state"] for machine in farewell["machines"]}
    assert states == {"bad": "failed", "good": "ended"}
    assert listener.of("/good/score")


def test_an_enrolled_condition_is_picked_up_without_a_restart_and_without_losing_a_window(
    broker: Any, listen: Any, bundle: Path, tmp_path: Path, start: Any
) -> None:
    unknown = {"id": "fan-1", "source": FAN_SOURCE, "speed": 4.0}
    device = write_device(tmp_path, bundle, broker.port, unknown)
    listener = listen(broker.port)
    daemon = start(device)
    listener.wait("/fan-1/score", lambda score: score["state"] == "not_enrolled")
    which = ("--config", device, "--machine", "fan-1")
    listener.wait("/fan-1/score", lambda score: score["stop"] >= 14 * 16_000)
    with SiteStore(tmp_path / "state", "fan-1").exclusive("carl"):
        listener.wait("/status", lambda status: status["machines"][0]["health"] == "check_function")
    status = listener.wait("/status", lambda status: status["reason"] == "fan-1 check_function")
    assert status["machines"][0]["enrolling"].startswith("carl")
    enrolled = asd_edge("enroll", *which, "--condition", "rated", "--last", "12", "--author", "bob", "--yes", "--json")
    assert enrolled.returncode == 0, enrolled.stderr
    assert json.loads(enrolled.stdout)["revision"] == 1
    event = listener.wait("/fan-1/event", lambda _: True)
    assert (event["kind"], event["action"], event["subject"], event["author"]) == (
        *("conditions_changed", "enroll"),
        *("rated", "bob"),
    )
    assert (event["revision"], event["conditions"]) == (1, ["rated"])
    score = listener.wait("/fan-1/score", lambda score: score["state"] == "scored")
    assert score["condition"] == "rated"
    listener.wait("/status", lambda _: listener.of("/status")[-1]["machines"][0]["health"] == "normal")
    starts = [score["start"] for score in listener.of("/score")]
    assert len(set(np.diff(starts))) == 1  # every window came, before, while and after
    for topic in ("score", "status", "event"):
        validator = jsonschema.Draft202012Validator(schema(topic))
        for payload in listener.of(f"/{topic}"):
            validator.validate(payload)
    state = tmp_path / "state" / "fan-1" / "site.json"
    state.write_text("damaged")  # the daemon says so and goes on with what it knew
    wrong = listener.wait("/status", lambda status: status["machines"][0]["health"] == "maintenance_required")
    assert "site.json" in wrong["machines"][0]["error"]
    wait_for_more_scores(listener)
    assert listener.of("/score")[-1]["condition"] == "rated"
    shutil.move(state.parent, tmp_path / "lost")  # a state folder that vanishes is no order to forget either
    wait_for_more_scores(listener)  # it has looked there meanwhile
    assert listener.of("/score")[-1]["condition"] == "rated"
    shutil.move(tmp_path / "lost", state.parent)
    assert asd_edge("conditions", "rollback", *which).returncode == 0
    back = listener.wait("/fan-1/event", lambda event: event["action"] == "rollback")
    assert back["conditions"] == []
    listener.wait("/status", lambda _: listener.of("/status")[-1]["machines"][0]["health"] == "normal")
    daemon.send_signal(signal.SIGTERM)
    _, log = daemon.communicate(timeout=15)
    assert daemon.returncode == 0
    assert "goes on with the conditions it had" in log
    assert re.search(r"asd-edge \S+ begins as device box, with \S+device\.toml", log)
    assert "asd-edge ends: stopped by SIGTERM" in log


def test_damaged_state_of_one_machine_does_not_stop_the_others(
    broker: Any, listen: Any, bundle: Path, tmp_path: Path, start: Any
) -> None:
    state = tmp_path / "state" / "bad" / "site.json"
    state.parent.mkdir(parents=True)
    state.write_text("damaged")
    bad = SIMULATED | {"id": "bad"}
    unknown = SIMULATED | {"id": "unknown", "factory": "pump/99"}
    listener = listen(broker.port)
    daemon = start(write_device(tmp_path, bundle, broker.port, bad, unknown, SIMULATED))
    listener.wait("/fan-1/score", lambda score: score["state"] == "scored")
    status = listener.wait("/status", lambda status: machine_states(status)[2] == "running")
    assert machine_states(status) == ["failed", "failed", "running"]
    errors = [machine["error"] for machine in status["machines"]]
    assert str(state) in errors[0]
    assert "pump/99" in errors[1]
    assert daemon.poll() is None


def send(fifo: Path, sound: bytes) -> None:
    """Write into a FIFO as soon as somebody reads it."""
    threading.Thread(target=fifo.write_bytes, args=(sound,), daemon=True).start()


def wait_for_more_scores(listener: Any) -> None:
    """Wait for those of four more seconds of sound."""
    before = len(listener.of("/score"))
    listener.wait("/score", lambda _: len(listener.of("/score")) >= before + 4)


def reasons(listener: Any) -> list[str]:
    """Why each status was sent; which engine serves is said beside, whenever that is known."""
    return [reason for status in listener.of("/status") if not (reason := status["reason"]).endswith(" serves")]


def reopened(status: dict[str, Any]) -> int:
    """How often the first machine's microphone was."""
    return int(status["machines"][0]["microphone"]["reopened"]) if "machines" in status else 0


def machine_states(status: dict[str, Any]) -> list[str]:
    return [machine["state"] for machine in status.get("machines", ())] or [""] * 3


def test_a_fifo_whose_sender_leaves_is_heard_again_when_one_comes(
    broker: Any, listen: Any, bundle: Path, tmp_path: Path, start: Any
) -> None:
    fifo = tmp_path / "fifo"
    machine = {"id": "fan-1", "source": f"raw:{fifo}", "factory": "fan/00"}
    sound = (fan(NORMAL, seed=1, seconds=12) * 32_767).astype("<i2").tobytes()
    listener = listen(broker.port)
    daemon = start(write_device(tmp_path, bundle, broker.port, machine))
    missing = listener.wait("/status", lambda status: machine_states(status)[0] == "failed")
    assert "nothing of that name" in missing["machines"][0]["error"]
    os.mkfifo(fifo)
    send(fifo, sound)
    left = listener.wait("/status", lambda status: "its sender left" in str(status.get("machines")))
    assert machine_states(left) == ["reopening"]
    assert left["machines"][0]["health"] == "out_of_specification"
    send(fifo, sound)
    listener.wait("/score", lambda score: score["start"] > 12 * 16_000)
    states = ["failed", *["running", "reopening"] * 2]
    wanted = [f"fan-1 {state}" for state in states]
    listener.wait("/status", lambda _: [r for r in reasons(listener) if r in wanted][-len(wanted) :] == wanted)
    starts = [score["start"] for score in listener.of("/score")]
    assert starts == sorted(starts)
    assert sum(np.diff(starts) > 32 * 512) == 1  # one numbering, with a gap
    daemon.send_signal(signal.SIGTERM)
    _, log = daemon.communicate(timeout=15)
    assert daemon.returncode == 0
    assert log.count("its sender left") == 2


def test_a_microphone_that_comes_late_and_dies_is_heard_again(
    broker: Any, listen: Any, bundle: Path, tmp_path: Path, start: Any
) -> None:
    samples = np.tile(fan(NORMAL, seed=1, seconds=10) * 32_767, 30).astype(np.int16)
    listener = listen(broker.port)
    with virtual_microphone(tmp_path, samples) as name:
        (tmp_path / "asound.conf").rename(tmp_path / "unplugged")
        (tmp_path / "asound.conf").write_text("</usr/share/alsa/alsa.conf>\n")
        machine = {"id": "fan-1", "source": f"alsa:{name}", "factory": "fan/00"}
        daemon = start(write_device(tmp_path, bundle, broker.port, machine, SIMULATED | {"id": "other"}))
        absent = listener.wait("/status", lambda status: machine_states(status)[0] == "failed")
        assert "Unknown PCM" in absent["machines"][0]["error"]
        (tmp_path / "unplugged").rename(tmp_path / "asound.conf")
        listener.wait("/fan-1/score", lambda score: score["state"] == "scored")
        (recorder,) = (child for child in psutil.Process(daemon.pid).children() if child.name() == "arecord")
        recorder.kill()
        back = listener.wait("/status", lambda status: reopened(status) == 1)
        assert (back["machines"][0]["state"], back["machines"][0]["health"]) == ("running", "normal")
        daemon.send_signal(signal.SIGTERM)
        _, log = daemon.communicate(timeout=15)
        assert daemon.returncode == 0
        assert log.count("ended by signal 9") == 1
        assert not [alarm for alarm in listener.of("/fan-1/alarm") if alarm["active"]]


def test_a_recorder_that_cannot_be_started_is_tried_again(
    broker: Any, listen: Any, bundle: Path, tmp_path: Path, start: Any
) -> None:
    samples = np.tile(fan(NORMAL, seed=1, seconds=10) * 32_767, 30).astype(np.int16)
    listener = listen(broker.port)
    with virtual_microphone(tmp_path, samples) as name:
        broken = tmp_path / "arecord"
        broken.write_bytes(b"\x7fELF, cut short")
        broken.chmod(0o755)
        machine = {"id": "fan-1", "source": f"alsa:{name}", "factory": "fan/00"}
        device = write_device(tmp_path, bundle, broker.port, machine)
        daemon = start(device, PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        failed = listener.wait("/status", lambda status: machine_states(status)[0] == "failed")
        assert "Exec format error" in failed["machines"][0]["error"]
        whole = tmp_path / "whole"
        whole.symlink_to(required_tool("arecord", "alsa-utils"))
        whole.replace(broken)  # at once: an attempt between two steps would fail in another way, and say so
        listener.wait("/fan-1/score", lambda score: score["state"] == "scored")
        daemon.send_signal(signal.SIGTERM)
        _, log = daemon.communicate(timeout=15)
        assert daemon.returncode == 0
        assert log.count("Traceback") == 1  # said once, not at every attempt


def test_machines_that_do_not_answer_keep_no_daemon_from_ending(
    broker: Any, listen: Any, bundle: Path, tmp_path: Path, start: Any
) -> None:
    os.mkfifo(tmp_path / "stuck")  # opening it as a file waits for a writer, and nothing can interrupt that
    stuck = [{"id": f"stuck-{number}", "source": f"sim:fan?control={tmp_path / 'stuck'}"} for number in range(4)]
    listener = listen(broker.port)
    daemon = start(write_device(tmp_path, bundle, broker.port, *stuck))
    listener.wait("/alarm", lambda alarm: alarm["machine"] == "stuck-3")
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(20) == 0


def refused_by_broker(state: Path) -> bool:
    try:
        return "refused" in str(status(state).destinations[0].link.trouble)
    except NoDaemonError:  # it has just been started
        return False


def test_a_broker_that_comes_late_is_found(
    make_broker: Any, listen: Any, bundle: Path, tmp_path: Path, start: Any
) -> None:
    broker = make_broker()
    daemon = start(write_device(tmp_path, bundle, broker.port, SIMULATED))
    deadline = time.monotonic() + 20.0
    while not refused_by_broker(tmp_path / "state"):
        assert daemon.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    broker.start()
    listener = listen(broker.port)
    listener.wait("/fan-1/score", lambda score: score["state"] == "scored")
    daemon.send_signal(signal.SIGTERM)
    _, log = daemon.communicate(timeout=15)
    assert daemon.returncode == 0
    assert "Connection refused" in log
    assert "remedy:" in log


def test_a_finished_recording_that_no_broker_took_is_a_failure(make_broker: Any, bundle: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.wav", fan(NORMAL, seed=1, seconds=12))
    machine = {"id": "fan-1", "source": f"file:{clip}", "speed": 0.0, "factory": "fan/00"}
    run = asd_edge("run", "--config", write_device(tmp_path, bundle, make_broker().port, machine))
    assert run.returncode == 1
    assert "events that no broker has confirmed" in run.stderr
    assert run.stderr.count("remedy:") == 2  # why it was not reached, and what waits for that


def test_systemd_is_told_when_it_is_ready_and_when_it_stops(
    broker: Any, bundle: Path, tmp_path: Path, start: Any
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(20)
        device = write_device(tmp_path, bundle, broker.port, SIMULATED)
        daemon = start(device, NOTIFY_SOCKET=str(tmp_path / "notify"))
        assert systemd.recv(100) == b"READY=1"
        while (told := systemd.recv(200)) != b"STATUS=1 of 1 machines heard; mqtt connected":
            assert told.startswith(b"STATUS=")
        daemon.send_signal(signal.SIGTERM)
        while (told := systemd.recv(200)) != b"STOPPING=1":
            assert told.startswith(b"STATUS=")
        assert daemon.wait(15) == 0


def test_systemd_that_is_not_there_ends_nothing(
    broker: Any, listen: Any, bundle: Path, tmp_path: Path, start: Any
) -> None:
    device = write_device(tmp_path, bundle, broker.port, SIMULATED)
    daemon = start(device, NOTIFY_SOCKET=str(tmp_path / "nobody"))
    listen(broker.port).wait("/fan-1/score", lambda score: score["state"] == "scored")
    daemon.send_signal(signal.SIGTERM)
    _, log = daemon.communicate(timeout=15)
    assert daemon.returncode == 0
    assert "systemd cannot be told READY=1" in log


@pytest.mark.parametrize(
    ("table", "word"),
    [
        ("[device]\nid = 'box'\n[[machines]]\nid = 'a'\nsorce = 'sim:fan'\n", "'source'"),
        (
            "[device]\nid = 'box'\n[bundle]\npath = 'absent.asd'\n[[machines]]\nid = 'a'\nsource = 'sim:fan'\n",
            "absent.asd",
        ),
    ],
)
def test_a_device_that_cannot_run_says_so_and_fails(tmp_path: Path, table: str, word: str) -> None:
    (tmp_path / "device.toml").write_text(table)
    run = asd_edge("run", "--config", tmp_path / "device.toml")
    assert run.returncode == 1
    assert word in run.stderr
    assert "remedy:" in run.stderr
    assert "Traceback" not in run.stderr
