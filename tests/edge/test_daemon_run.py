"""The real `asd-edge run` as a process, against a real broker."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from asd_edge.bundle.site_store import SiteStore
from asd_edge.control import NoDaemonError, status
from asd_edge.simulator import OperatingState
from asd_edge.sinks.payloads import schema
from tests.edge.device import FAN_SOURCE, asd_edge, fan, write_clip, write_device
from tests.edge.fan_bundle import NORMAL

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


def wait_for_more_scores(listener: Any) -> None:
    """Wait for those of four more seconds of sound."""
    before = len(listener.of("/score"))
    listener.wait("/score", lambda _: len(listener.of("/score")) >= before + 4)


def machine_states(status: dict[str, Any]) -> list[str]:
    return [machine["state"] for machine in status.get("machines", ())] or [""] * 3


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
