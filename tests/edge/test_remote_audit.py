"""The audit file: a line is whole and on the disk, or there is an error; it never grows beyond its bound."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asd_edge.errors import StateError
from asd_edge.remote.audit import Audit, AuditEntry
from asd_edge.remote.command import command_of

COMMAND = command_of(action="commit", device="box", machine="fan-7", nonce="0" * 64, proposal="p1")


def entry(number: int = 0) -> AuditEntry:
    return AuditEntry(
        time="2026-03-01T08:00:00.000Z",
        monotonic_s=float(number),
        request="0" * 64,
        verdict="accepted",
        key="anna",
        command=COMMAND,
    )


def test_each_line_says_who_asked_for_what(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for number in range(3):
        Audit(path).write(entry(number))
    lines = path.read_text().splitlines()
    assert [json.loads(line)["monotonic_s"] for line in lines] == [0.0, 1.0, 2.0]
    assert json.loads(lines[0])["command"]["proposal"] == "p1"
    assert AuditEntry.model_validate_json(lines[0]) == entry()
    assert path.stat().st_mode & 0o777 == 0o600


def test_it_stays_within_two_files_of_the_limit_and_the_newest_are_there(tmp_path: Path) -> None:
    path, limit = tmp_path / "audit.jsonl", 2000
    audit = Audit(path, limit=limit)
    for number in range(50):
        audit.write(entry(number))
    files = [tmp_path / "audit.jsonl.1", path]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert all(file.stat().st_size <= limit for file in files)
    numbers = [json.loads(line)["monotonic_s"] for file in files for line in file.read_text().splitlines()]
    assert numbers == [float(number) for number in range(50)][-len(numbers) :]
    assert len(numbers) > 5


def test_a_line_torn_by_a_power_cut_does_not_tear_the_next(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b'{"time":"2026')
    Audit(path).write(entry())
    torn, whole = path.read_text().splitlines()
    assert torn == '{"time":"2026'
    assert AuditEntry.model_validate_json(whole) == entry()


def test_what_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="audit"):
        Audit(tmp_path / "absent" / "audit.jsonl").write(entry())
    with pytest.raises(StateError, match="/dev/full"):  # a disk without room
        Audit(Path("/dev/full")).write(entry())
