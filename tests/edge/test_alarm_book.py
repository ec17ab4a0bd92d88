"""Alarms outlive the daemon: the book after a restart, a kill -9, with a damaged file, on a disk that takes nothing."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asd_edge.daemon.alarm_file import AlarmFile
from asd_edge.daemon.alarms import AlarmBook
from asd_edge.detector import Detector
from asd_edge.errors import StateError
from asd_edge.events import AlarmChange
from asd_edge.pipeline import SegmentStreams
from asd_edge.sinks.payloads import schema
from asd_edge.sources.block import Block
from tests.edge.sound import RATE, pipeline
from tests.edge.test_detector_alarms import DECISION, KNOWN, SOUNDS

BEGAN = AlarmChange("fan-7", 1_000.5, True, 990.25, 0.3, 0.2, "factory/source", 750)
ENDED = replace(BEGAN, time=1_100.0, active=False, score=0.1)
OTHER = replace(BEGAN, machine="pump-2", suppressed="microphone", cause="suppression")


class Told:
    """A book over a file, and what it has published so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.published: list[AlarmChange] = []
        self.on_disk: list[Any] = []
        self.faults = 0
        self._arrived = threading.Condition()
        self.book = AlarmBook(path, self._take, self._changed)

    def _take(self, change: AlarmChange) -> None:
        machines = json.loads(self.path.read_text())["machines"] if self.path.is_file() else {}
        with self._arrived:
            self.published.append(change)
            self.on_disk.append(machines)
            self._arrived.notify_all()

    def _changed(self) -> None:
        with self._arrived:
            self.faults += 1
            self._arrived.notify_all()

    def wait(self, until: Callable[[], bool]) -> None:
        with self._arrived:
            assert self._arrived.wait_for(until, 20)

    def close(self) -> list[AlarmChange]:
        self.book.stop(10)
        return self.published


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "alarms.json"


def started(path: Path) -> Told:
    told = Told(path)
    told.book.start()
    return told


@pytest.fixture
def restart(path: Path) -> Iterator[Callable[[], Told]]:
    """Start a daemon's book; the one before ends as a killed process does: it is told nothing any more."""
    begun: list[Told] = []

    def begin() -> Told:
        begun.append(started(path))
        return begun[-1]

    yield begin
    for told in begun:
        told.close()


def same_but_time(got: AlarmChange, expected: AlarmChange) -> bool:
    return replace(got, time=0.0) == replace(expected, time=0.0)


def test_who_comes_later_is_told_alone(
    path: Path, restart: Callable[[], Told], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    told, late = restart(), list[AlarmChange]()
    told.book.take(BEGAN)
    told.book.announce("fan-7", late.append)
    assert told.close() == [BEGAN]
    (said,) = late
    assert same_but_time(said, replace(BEGAN, cause="start"))
    assert caplog.text.count("Machine fan-7") == 1


def test_an_alarm_stands_after_a_restart_with_what_was_said_of_it(path: Path, restart: Callable[[], Told]) -> None:
    first = restart()
    for change in (BEGAN, OTHER):
        first.book.take(change)
    assert first.close() == [BEGAN, OTHER]
    second = restart()
    assert second.book.standing("fan-7") == replace(BEGAN, cause="sound")
    assert second.book.standing("pump-2") == replace(OTHER, cause="sound")
    assert second.book.standing("press-1") is None
    before = time.time()
    for machine in ("fan-7", "pump-2", "press-1"):
        second.book.announce(machine)
    fan, pump, press = second.close()
    assert same_but_time(fan, replace(BEGAN, cause="start"))
    assert same_but_time(pump, replace(OTHER, cause="start"))
    assert same_but_time(press, AlarmChange("press-1", 0.0, active=False, cause="start"))
    assert before <= fan.time <= time.time()


def test_what_is_published_is_on_the_disk_before(path: Path, restart: Callable[[], Told]) -> None:
    told = restart()
    for change in (BEGAN, replace(BEGAN, severity=900, cause="severity"), ENDED, replace(BEGAN, since=1_200.0)):
        told.book.take(change)
    told.close()
    assert [(disk["fan-7"]["active"], disk["fan-7"]["severity"]) for disk in told.on_disk] == [
        (True, 750),
        (True, 900),
        (False, 750),
        (True, 750),
    ]
    assert told.on_disk[-1]["fan-7"]["since"] == 1_200.0


def test_an_end_that_was_written_and_never_published_is_said_at_the_next_start(
    path: Path, restart: Callable[[], Told]
) -> None:
    AlarmFile(path).save({"fan-7": ENDED})  # kill -9 between the two
    told = restart()
    assert told.book.standing("fan-7") is None
    told.book.announce("fan-7")
    (said,) = told.close()
    assert same_but_time(said, replace(ENDED, cause="start"))
    assert said.since == BEGAN.since


def test_a_machine_that_is_gone_has_its_alarm_ended_and_is_forgotten_at_the_start_after(
    path: Path, restart: Callable[[], Told]
) -> None:
    AlarmFile(path).save({"fan-7": BEGAN, "pump-2": OTHER})
    removed = replace(OTHER, active=False, suppressed=None, cause="removed")
    for _ in range(2):  # once more, for whoever was not told before the first start was killed
        told = restart()
        told.book.retain(["fan-7"])
        (said,) = told.close()
        assert same_but_time(said, removed)
    assert set(AlarmFile(path).load()) == {"fan-7"}
    told = restart()
    told.book.retain(["fan-7"])
    assert told.close() == []


def test_a_machine_that_comes_back_has_no_alarm(path: Path, restart: Callable[[], Told]) -> None:
    AlarmFile(path).save({"pump-2": OTHER})
    told = restart()
    told.book.retain([])
    told.book.retain(["pump-2"])
    assert told.book.standing("pump-2") is None
    told.book.announce("pump-2")
    assert [(change.active, change.cause) for change in told.close()] == [(False, "removed"), (False, "start")]


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
MOMENTS = st.floats(-1e9, 2.5e11)


@settings(max_examples=25)
@given(
    st.dictionaries(
        st.from_regex(r"\A[A-Za-z0-9_-]{1,64}\Z"),
        st.builds(
            AlarmChange,
            machine=st.just(""),
            time=MOMENTS,
            active=st.just(True),
            since=MOMENTS,
            score=NUMBERS,
            threshold=NUMBERS,
            condition=st.text(min_size=1, max_size=9).filter(lambda text: text.isprintable()),
            severity=st.integers(1, 1000),
            suppressed=st.sampled_from([None, "stopped", "microphone"]),
        ),
        max_size=5,
    )
)
def test_the_file_gives_back_exactly_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, drawn: dict[str, AlarmChange]
) -> None:
    file = AlarmFile(tmp_path_factory.getbasetemp() / "round" / "alarms.json")
    alarms = {machine: replace(alarm, machine=machine) for machine, alarm in drawn.items()}
    file.save(alarms)
    assert file.load() == alarms
    for alarm in alarms.values():
        jsonschema.Draft202012Validator(schema("alarm")).validate(alarm.to_json() | {"id": 1})


GOOD = json.loads(
    '{"format": "asd-edge-alarms", "version": 1, "machines": {"fan-7": {"active": true, "time": 5.0, "since": 4.0,'
    ' "score": 0.3, "threshold": 0.2, "condition": "c", "severity": 700, "suppressed": null}}}'
)


def damaged(**changes: Any) -> bytes:
    return json.dumps(GOOD | {"machines": {"fan-7": GOOD["machines"]["fan-7"] | changes}}).encode()


DAMAGES = {
    "empty": b"",
    "torn": damaged()[:60],
    "zeros": bytes(200),
    "not text": b"\xff\xfe" * 50,
    "another format": json.dumps(GOOD | {"format": "asd-edge-site"}).encode(),
    "a newer version": json.dumps(GOOD | {"version": 2}).encode(),
    "a list": b"[]",
    "an unknown key": damaged(colour="red"),
    "a missing key": json.dumps(GOOD | {"machines": {"fan-7": {"active": True}}}).encode(),
    "a number in quotes": damaged(since="4.0"),
    "no number": damaged(score=0.0).replace(b'"score": 0.0', b'"score": NaN'),
    "a moment that is no date": damaged(since=1e300),
    "a severity of nobody": damaged(severity=0),
    "ended and suppressed": damaged(active=False, suppressed="stopped"),
    "a machine that is a path": json.dumps(GOOD | {"machines": {"../x": GOOD["machines"]["fan-7"]}}).encode(),
    "too large": damaged() + b" " * (2 << 20),
    "too deep": b"[" * 100_000,
}


def test_the_undamaged_one_is_read(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(damaged())
    assert AlarmFile(path).load()["fan-7"].since == 4.0


@pytest.mark.parametrize("content", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_set_aside_and_said_once_and_the_book_begins_anew(
    path: Path, restart: Callable[[], Told], caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    told = restart()
    assert told.book.standing("fan-7") is None
    assert path.with_name("alarms.json.damaged").read_bytes() == content
    assert told.faults == 1
    assert isinstance(told.book.fault, StateError)
    assert caplog.text.count("How alarms stood is lost") == 1
    told.book.announce("fan-7")
    told.book.take(BEGAN)
    assert [change.cause for change in told.close()] == ["start", "sound"]
    again = restart()
    assert again.book.standing("fan-7") is not None
    assert again.book.fault is None


def test_a_folder_in_its_place_is_set_aside_too(path: Path, restart: Callable[[], Told]) -> None:
    path.mkdir(parents=True)
    told = restart()
    assert told.book.fault is not None
    told.book.take(BEGAN)
    told.close()
    assert AlarmFile(path).load() == {"fan-7": BEGAN}


def test_a_disk_that_takes_nothing_keeps_no_alarm_from_being_published_and_is_tried_again(
    path: Path, restart: Callable[[], Told], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_edge.daemon.alarms._RETRY_S", 0.05)
    told = restart()
    path.parent.write_text("in the folder's place")
    told.book.take(BEGAN)
    told.book.take(OTHER)
    told.wait(lambda: len(told.published) == 2)
    assert told.book.standing("fan-7") == BEGAN  # in memory
    assert told.faults == 1
    assert "Cannot write how alarms stand" in str(told.book.fault)
    path.parent.unlink()
    told.wait(lambda: told.faults == 2)
    assert told.book.fault is None
    assert set(AlarmFile(path).load()) == {"fan-7", "pump-2"}
    assert caplog.text.count("Cannot write how alarms stand") == 1


def test_a_listener_that_fails_keeps_the_next_alarm_from_nobody(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    published: list[AlarmChange] = []

    def publish(change: AlarmChange) -> None:
        if change == BEGAN:
            raise KeyError("a surprise")
        published.append(change)

    book = AlarmBook(path, publish)
    book.start()
    book.take(BEGAN)
    book.take(OTHER)
    book.stop(10)
    assert published == [OTHER]
    assert "a surprise" in caplog.text


def test_changes_of_many_threads_are_published_in_their_order(path: Path, restart: Callable[[], Told]) -> None:
    told = restart()

    def tell(machine: str) -> None:
        for number in range(20):
            told.book.take(replace(BEGAN, machine=machine, time=float(number), active=number % 2 == 0))

    threads = [threading.Thread(target=tell, args=(f"m{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    published = told.close()
    for i in range(4):
        assert [change.time for change in published if change.machine == f"m{i}"] == list(range(20))
    assert AlarmFile(path).load() == {
        f"m{i}": replace(BEGAN, machine=f"m{i}", time=19.0, active=False) for i in range(4)
    }


PROGRAM = """
import json, sys
from dataclasses import replace
from pathlib import Path

from asd_edge.daemon.alarm_file import AlarmFile
from tests.edge.killed_at import killed_at
from tests.edge.test_alarm_book import BEGAN, ENDED, OTHER

step, killed = 0, True
while killed:
    step += 1
    file = AlarmFile(Path(sys.argv[1]) / f"step-{step}" / "alarms.json")
    file.save({"fan-7": BEGAN, "pump-2": OTHER})
    killed = killed_at(step, lambda: file.save({"fan-7": ENDED, "pump-2": OTHER}))
    loaded = AlarmFile(file.path).load()
    told = {
        "killed": killed,
        "other": loaded["pump-2"] == replace(OTHER, cause="sound"),
        "fan": {BEGAN: "old", ENDED: "new"}[loaded["fan-7"]],
        "files": sorted(path.name for path in file.path.parent.iterdir()),
    }
    print(json.dumps(told))
"""


def test_kill_9_at_any_step_of_writing_leaves_the_old_or_the_new_alarms(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, timeout=120, check=True
    )
    told = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(told) > 10
    assert all(one["other"] and one["files"] == ["alarms.json"] for one in told)
    fans = [one["fan"] for one in told]
    assert fans == sorted(fans, reverse=True)  # old, then new from one step on
    assert set(fans) == {"old", "new"}
    assert [one["killed"] for one in told] == [True] * (len(told) - 1) + [False]


def test_a_detector_made_anew_ends_the_alarm_that_the_book_remembers(path: Path, restart: Callable[[], Told]) -> None:
    """The real detector before and after a kill -9, the book in between."""

    def listen(told: Told, sounds: list[str]) -> None:
        told.book.announce("fan-7")
        alarm = told.book.standing("fan-7")
        detector = Detector("fan-7", SegmentStreams(pipeline()), KNOWN, DECISION, alarm=alarm)
        for second, sound in enumerate(sounds):
            for event in detector.process(Block(SOUNDS[sound], second * RATE, 1_000.0 + second)):
                if isinstance(event, AlarmChange):
                    told.book.take(event)
        told.close()

    first = restart()
    listen(first, ["normal", "fault", "fault", "fault"])
    assert [(change.active, change.cause) for change in first.published] == [(False, "start"), (True, "sound")]
    second = restart()
    listen(second, ["fault", "fault", "normal", "normal", "normal"])
    assert [(change.active, change.cause) for change in second.published] == [(True, "start"), (False, "sound")]
    assert {change.since for change in [*first.published[1:], *second.published]} == {first.published[1].since}


@pytest.fixture(autouse=True)
def _info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
