"""The real daemon is killed with kill -9 in the middle of alarms and started again, on a real broker."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import jsonschema

from asd_edge.sinks.payloads import schema
from tests.edge.device import FAN_SOURCE, write_device

NORMAL, FAULT = {"speed": 1.0, "load": 0.5}, {"speed": 1.25, "load": 0.9}


class Hall:
    """Simulated machines in a folder, and what each does."""

    def __init__(self, folder: Path, *names: str) -> None:
        self._folder = folder
        self.machines = [
            {
                "id": name,
                "source": f"{FAN_SOURCE}&control={folder / name}.json",
                "speed": 20.0,
                "factory": "fan/00",
                "decision.on_delay_s": 2.0,
                "decision.off_delay_s": 2.0,
                "decision.severity": 1000,  # the most there is: it does not rise any more
            }
            for name in names
        ]
        for name in names:
            self.tell(name, NORMAL)

    def tell(self, name: str, state: dict[str, float]) -> None:
        path = self._folder / f"{name}.json"
        path.with_suffix(".new").write_text(json.dumps(state))
        path.with_suffix(".new").rename(path)


def test_an_alarm_goes_on_after_a_kill_9_and_its_end_is_published(
    broker: Any, listen: Any, bundle: Path, tmp_path: Path, start: Any
) -> None:
    hall = Hall(tmp_path, "fan-1", "fan-2")
    listener = listen(broker.port)
    daemon = start(write_device(tmp_path, bundle, broker.port, *hall.machines))
    for name in ("fan-1", "fan-2"):
        listener.wait(f"/{name}/score", lambda score: score["state"] == "scored")
        hall.tell(name, FAULT)
    began = {name: listener.wait(f"/{name}/alarm", lambda alarm: alarm["active"]) for name in ("fan-1", "fan-2")}
    daemon.kill()
    daemon.wait(10)
    assert [alarm["active"] for alarm in listener.of("/alarm")] == [False, False, True, True]

    hall.tell("fan-1", NORMAL)  # repaired meanwhile; fan-2 is taken away
    late = listen(broker.port)
    daemon = start(write_device(tmp_path, bundle, broker.port, *hall.machines[:1]))
    stands = late.wait("/fan-1/alarm", lambda alarm: alarm["cause"] == "start")
    changed = {"time": stands["time"], "cause": "start"}
    assert without_id(stands) == without_id(began["fan-1"]) | changed
    removed = late.wait("/fan-2/alarm", lambda alarm: alarm["cause"] == "removed")
    assert (removed["active"], removed["since"]) == (False, began["fan-2"]["since"])
    ended = late.wait("/fan-1/alarm", lambda alarm: not alarm["active"])
    assert (ended["cause"], ended["since"]) == ("sound", began["fan-1"]["since"])
    assert ended["score"] < ended["threshold"]
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(15) == 0
    for alarm in late.of("/alarm"):
        jsonschema.Draft202012Validator(schema("alarm")).validate(alarm)

    # Whoever comes later reads in the retained messages how things stand.
    retained = {alarm["machine"]: alarm["active"] for alarm in listen_for_alarms(listen, broker.port)}
    assert retained == {"fan-1": False, "fan-2": False}


def test_a_damaged_book_of_alarms_is_said_and_stops_nothing(
    broker: Any, listen: Any, bundle: Path, tmp_path: Path, start: Any
) -> None:
    hall = Hall(tmp_path, "fan-1")
    book = tmp_path / "state" / "alarms.json"
    book.parent.mkdir()
    book.write_text("damaged")
    listener = listen(broker.port)
    daemon = start(write_device(tmp_path, bundle, broker.port, *hall.machines))
    listener.wait("/fan-1/score", lambda score: score["state"] == "scored")
    status = listener.wait("/status", lambda status: status["machines"][0]["state"] == "running")
    assert status["health"] == "maintenance_required"
    assert any(str(book) in trouble for trouble in status["troubles"])
    hall.tell("fan-1", FAULT)
    listener.wait("/fan-1/alarm", lambda alarm: alarm["active"])
    assert json.loads(book.read_text())["machines"]["fan-1"]["active"]
    assert book.with_name("alarms.json.damaged").read_text() == "damaged"
    daemon.send_signal(signal.SIGTERM)
    _, log = daemon.communicate(timeout=15)
    assert daemon.returncode == 0
    assert log.count("How alarms stood is lost") == 1


def without_id(payload: dict[str, Any]) -> dict[str, Any]:
    """What is said, whichever message says it."""
    return {key: value for key, value in payload.items() if key != "id"}


def listen_for_alarms(listen: Any, port: int) -> list[dict[str, Any]]:
    """Return the retained alarms, which come before the retained status."""
    listener = listen(port)
    listener.wait("/fan-1/alarm", lambda _: True)
    listener.wait("/fan-2/alarm", lambda _: True)
    alarms: list[dict[str, Any]] = listener.of("/alarm")
    return alarms
