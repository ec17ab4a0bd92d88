"""A watchdog that is quiet only while every thread gets on."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from asd_edge.daemon.watchdog import Watchdog
from asd_edge.heart import Heart


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listener


def told(systemd: socket.socket) -> int:
    """Return how often WATCHDOG=1 has come since it was last asked: a few times, a socket holds no more."""
    count = 0
    while True:
        try:
            assert systemd.recv(100) == b"WATCHDOG=1"
        except BlockingIOError:
            return count
        count += 1


def rounds(watchdog: Watchdog, clock: Clock, seconds: float, *beating: Heart) -> None:
    """Look every half second."""
    for _ in range(round(seconds / 0.5)):
        clock.now += 0.5
        for heart in beating:
            heart.beat()
        watchdog.look()


def test_systemd_hears_of_it_twice_in_its_period_and_no_more_once_a_thread_stands_still(
    systemd: socket.socket, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "10000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    watchdog = Watchdog(clock)
    one, other = watchdog.heart("machine fan-1", 20.0), watchdog.heart("scorer", 20.0)
    rounds(watchdog, clock, 30.0, one, other)
    assert told(systemd) == 6
    rounds(watchdog, clock, 20.0, one)
    assert told(systemd) == 4
    assert watchdog.stuck == ()
    rounds(watchdog, clock, 60.0, one)
    assert told(systemd) == 0
    assert watchdog.stuck == ("scorer has not moved for 20 s",)
    assert caplog.text.count("A thread is stuck: scorer has not moved for 20 s") == 1
    rounds(watchdog, clock, 10.0, one, other)
    assert told(systemd) == 2
    assert "No thread is stuck any more" in caplog.text


def test_a_source_that_hangs_is_told_and_ends_nothing(
    systemd: socket.socket, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "10000000")
    watchdog, heart, in_source = Watchdog(clock), Heart("machine fan-1", 20.0), [True]
    watchdog.watch(heart, lambda: in_source[0])
    scorer = watchdog.heart("scorer", 20.0)
    heart.beat()
    rounds(watchdog, clock, 25.0, scorer)
    assert told(systemd) == 5
    rounds(watchdog, clock, 25.0, scorer)
    assert watchdog.stuck == ("machine fan-1 has not moved for 20 s",)
    assert (watchdog.hangs(heart), watchdog.hangs(scorer)) == (True, False)
    assert told(systemd) == 5
    in_source[0] = False  # it hangs in our own code
    rounds(watchdog, clock, 10.0, scorer)
    assert told(systemd) == 0
    rounds(watchdog, clock, 10.0, scorer, heart)
    assert told(systemd) == 2
    assert not watchdog.hangs(heart)


@pytest.mark.parametrize(
    ("usec", "pid", "tells"),
    [
        ("1000000", None, True),
        ("1000000", "1", False),  # another process of the unit
        (None, None, False),
        ("0", None, False),
        ("soon", None, False),
    ],
)
def test_only_who_is_watched_tells(
    systemd: socket.socket,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    usec: str | None,
    pid: str | None,
    tells: bool,
) -> None:
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", pid)):
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    watchdog = Watchdog(clock)
    watchdog.look()
    assert (told(systemd) == 1) is tells
    assert watchdog.round_s == (0.25 if tells else 0.5)


def test_who_waits_for_work_is_not_stuck_and_who_has_work_in_hand_may_be(clock: Clock) -> None:
    watchdog = Watchdog(clock)
    heart = watchdog.heart("control", 20.0)
    assert watchdog.threads == ()
    heart.beat()
    heart.rest()
    assert watchdog.threads == ("control",)
    rounds(watchdog, clock, 1000.0)
    assert watchdog.stuck == ()
    heart.beat()
    rounds(watchdog, clock, 21.0)
    assert watchdog.stuck == ("control has not moved for 20 s",)


def test_a_process_that_was_stopped_as_a_whole_is_not_stuck(clock: Clock) -> None:
    """SIGSTOP, SIGCONT: hours pass between two looks, and nothing has moved meanwhile."""
    watchdog = Watchdog(clock)
    heart = watchdog.heart("scorer", 20.0)
    rounds(watchdog, clock, 5.0, heart)
    clock.now += 7200.0
    rounds(watchdog, clock, 10.0)
    assert watchdog.stuck == ()
    rounds(watchdog, clock, 10.0)
    assert watchdog.stuck


def test_a_thread_that_died_is_stuck_at_once_and_one_that_ended_never(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    watchdog = Watchdog(clock)
    hearts = [watchdog.heart("history"), watchdog.heart("remote")]

    def live(heart: Heart, errors: tuple[str, ...]) -> None:
        with heart:
            for error in errors:
                raise KeyError(error)

    threads = [threading.Thread(target=live, args=(h, e)) for h, e in zip(hearts, (("x",), ()), strict=True)]
    for thread in threads:
        thread.start()
        thread.join()
    rounds(watchdog, clock, 100.0)
    assert watchdog.threads == ()
    assert watchdog.stuck == ("history died of KeyError: 'x'",)
    assert [record.levelno for record in caplog.records] == [logging.CRITICAL]
    watchdog.forget(hearts[0])
    watchdog.look()
    assert watchdog.stuck == ()
