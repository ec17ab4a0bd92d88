"""Log records as the journal takes them; a socket of our own stands in for journald's."""

from __future__ import annotations

import logging
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from asd_edge.daemon.journal import JournalHandler, connected_to_journal


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "journal"))
        listener.settimeout(5.0)
        yield listener


@pytest.fixture
def log(journald: socket.socket, tmp_path: Path) -> Iterator[logging.Logger]:
    logger = logging.getLogger("asd_edge.test_journal")
    handler = JournalHandler(str(tmp_path / "journal"))
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.removeHandler(handler)
    handler.close()


def received(journald: socket.socket) -> dict[str, str]:
    """Read one datagram as the protocol's description has it, independently of what wrote it."""
    data, fields = journald.recv(1 << 20), {}
    while data:
        line, _, data = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (length,) = struct.unpack("<Q", data[:8])
            value, end, data = data[8 : 8 + length], data[8 + length : 9 + length], data[9 + length :]
            assert end == b"\n"
        fields[name.decode()] = value.decode()
    return fields


def test_a_record_has_its_fields(journald: socket.socket, log: logging.Logger) -> None:
    log.warning("Machine %s: ALARM", "fan-1", extra={"asd_machine": "fan-1", "asd_event": "alarm"})
    fields = received(journald)
    assert fields["MESSAGE"] == "Machine fan-1: ALARM"
    assert (fields["PRIORITY"], fields["SYSLOG_IDENTIFIER"]) == ("4", "asd-edge")
    assert (fields["ASD_MACHINE"], fields["ASD_EVENT"]) == ("fan-1", "alarm")
    assert fields["CODE_FILE"] == __file__
    assert fields["CODE_FUNC"] == "test_a_record_has_its_fields"
    assert fields["CODE_LINE"].isdecimal()


def test_what_a_machines_thread_says_is_of_that_machine(journald: socket.socket, log: logging.Logger) -> None:
    thread = threading.Thread(target=lambda: log.error("it is gone"), name="machine-pump-2")
    thread.start()
    thread.join()
    fields = received(journald)
    assert (fields["ASD_MACHINE"], fields["PRIORITY"]) == ("pump-2", "3")
    assert "ASD_EVENT" not in fields


def test_lines_and_what_looks_like_fields_stay_in_the_message(journald: socket.socket, log: logging.Logger) -> None:
    said = "an error\n  found:    Ä\nPRIORITY=0\nASD_MACHINE=other"
    log.info("%s", said)
    fields = received(journald)
    assert fields["MESSAGE"] == said
    assert fields["PRIORITY"] == "6"
    assert "ASD_MACHINE" not in fields


def test_a_traceback_is_in_the_message(journald: socket.socket, log: logging.Logger) -> None:
    try:
        raise KeyError("a surprise")
    except KeyError:
        log.exception("it failed")
    message = received(journald)["MESSAGE"]
    assert message.startswith("it failed\nTraceback")
    assert message.endswith("KeyError: 'a surprise'")


def test_a_text_without_end_is_cut(journald: socket.socket, log: logging.Logger) -> None:
    log.error("x" * 10_000_000)
    assert 10_000 < len(received(journald)["MESSAGE"]) < 100_000


def test_without_a_journal_it_is_said_on_standard_error(
    journald: socket.socket, log: logging.Logger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "journal").unlink()
    log.error("still said")
    assert capsys.readouterr().err == "still said\n"


@pytest.mark.parametrize("connected", [True, False])
def test_only_a_standard_error_of_the_journals_is_replaced(tmp_path: Path, connected: bool) -> None:
    code = "from asd_edge.daemon.journal import connected_to_journal as c; print(c())"
    with (tmp_path / "stderr").open("w") as stream:
        found = os.fstat(stream.fileno())
        environment = os.environ | {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino + (not connected)}"}
        told = subprocess.run(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=stream, env=environment, text=True, check=True
        )
    assert told.stdout.strip() == str(connected)


def test_without_systemd_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    assert not connected_to_journal()
