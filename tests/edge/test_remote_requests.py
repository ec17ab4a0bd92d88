"""Requests over a real broker: each has its answer and its line in the audit file."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.edge.remote_device import ANNA, MALLORY, STAND_IN, audit, reason
from tests.edge.remote_operator import COMMAND


def test_a_command_is_done_once_and_written_down(broker: Any, ask: Any, start_device: Any, tmp_path: Path) -> None:
    start_device(broker.port)
    anna = ask(broker.port)
    request = ANNA.request(anna.challenge())
    done = anna.ask(request)
    assert done["verdict"] == "done"
    assert done["result"]["nice"] >= 10
    common = [f"--config={tmp_path / 'device.toml'}", "--machine=fan-1", "--json", "--author=remote:anna"]
    assert done["result"]["arguments"] == ["enroll", *common, "--propose", "--condition=rpm1200", "--last=30"]
    assert reason(anna.ask(request)) == "replayed"
    lines = audit(tmp_path)
    assert [line["verdict"] for line in lines] == ["challenge", "accepted", "done", "refused"]
    assert [line["key"] for line in lines] == [None, "anna", "anna", "anna"]
    assert lines[1]["request"] == hashlib.sha256(request).hexdigest()
    assert COMMAND.items() <= lines[1]["command"].items()


def test_each_refusal_has_its_reason_on_the_wire_and_in_the_audit_file(
    broker: Any,
    ask: Any,
    start_device: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    later = [0.0]
    monkeypatch.setattr("asd_edge.daemon.remote.monotonic", lambda: time.monotonic() + later[0])
    start_device(broker.port, commands_per_hour=1, challenge_s=120)
    anna = ask(broker.port)
    nonce = anna.challenge()
    request = ANNA.request(nonce)
    unsigned = json.loads(request)
    del unsigned["signature"]
    swapped = json.loads(request) | {"signature": json.loads(MALLORY.request(nonce))["signature"]}
    faults = {
        "unsigned": json.dumps(unsigned).encode(),
        "unknown_key": MALLORY.request(nonce),
        "altered": json.dumps(swapped).encode(),
        "foreign_device": ANNA.request(nonce, device="other"),
        "unknown_nonce": ANNA.request("ab" * 32),
        "malformed": b"enroll, please",
        "oversized": b" " * 9000,
    }
    for wanted, payload in faults.items():
        assert reason(anna.ask(payload)) == wanted
    assert anna.ask(request)["verdict"] == "done"  # none of all that has spent the challenge
    assert reason(anna.ask(request)) == "replayed"
    late, limited = ANNA.request(anna.challenge()), ANNA.request(anna.challenge())
    assert reason(anna.ask(limited)) == "rate_limited"
    assert reason(anna.ask(limited)) == "replayed"
    later[0] = 121.0
    assert reason(anna.ask(late)) == "expired"
    refused = [*faults, "replayed", "rate_limited", "replayed", "expired"]
    assert [line["reason"] for line in audit(tmp_path) if line["verdict"] == "refused"] == refused
    assert all(f"refused ({reason})" in caplog.text for reason in refused)
    assert not any("detail" in response for _, response in anna.listener.messages)  # that is the device's alone


def test_a_stranger_writes_no_lines_of_his_own_into_the_log(
    broker: Any, ask: Any, start_device: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    start_device(broker.port)
    anybody = ask(broker.port)
    assert reason(anybody.ask(json.dumps({"\nINFO all is well\x1b[2J" + "x" * 5000: 1}).encode())) == "malformed"
    (line,) = audit(tmp_path)
    assert "all is well" in line["detail"]
    assert len(line["detail"]) == 200
    for text in (line["detail"], caplog.records[-1].getMessage()):
        assert text.isprintable()


def test_a_flood_is_answered_once_and_counted(broker: Any, ask: Any, start_device: Any, tmp_path: Path) -> None:
    start_device(broker.port)
    anna = ask(broker.port)
    for number in range(30):
        anna.send(b"%d" % number)
    assert reason(anna.answer(b"20")) == "rate_limited"
    time.sleep(0.3)
    assert len(audit(tmp_path)) == 21
    assert not anna.answers(hashlib.sha256(b"21").hexdigest())


def test_one_command_at_a_time_and_a_stop_ends_it(broker: Any, ask: Any, start_device: Any, tmp_path: Path) -> None:
    stop = start_device(broker.port)
    anna = ask(broker.port)
    anna.send(ANNA.request(anna.challenge(), condition="slow"))
    other = ANNA.request(anna.challenge())
    assert reason(anna.ask(other)) == "busy"
    assert reason(anna.ask(other)) == "replayed"  # whoever was told no can rely on it
    began = time.monotonic()
    stop()
    assert time.monotonic() - began < 10.0
    last = audit(tmp_path)[-1]
    assert (last["verdict"], last["detail"]) == ("failed", "the command was stopped because the daemon is stopping")
    assert not [child for child in psutil.Process().children(recursive=True) if STAND_IN[1] in child.cmdline()]


def test_a_command_that_fails_says_what_the_command_line_says(broker: Any, ask: Any, start_device: Any) -> None:
    start_device(broker.port)
    anna = ask(broker.port)
    failed = anna.ask(ANNA.request(anna.challenge(), condition="deaf"))
    assert (failed["verdict"], failed["error"]) == ("failed", "error: Nothing was heard")
    assert anna.ask(ANNA.request(anna.challenge()))["verdict"] == "done"  # and the next one has its turn


def test_what_cannot_be_written_down_is_not_done(broker: Any, ask: Any, start_device: Any, tmp_path: Path) -> None:
    start_device(broker.port)
    (tmp_path / "state" / "remote-audit.jsonl").mkdir()
    anna = ask(broker.port)
    assert reason(anna.ask(ANNA.request(anna.challenge()))) == "unavailable"
