"""The build child with real processes: within its limits, last in everything, and gone with whoever started it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest

from asd_edge.serving.build import BuildChild, BuildLimits, Outcome
from asd_edge.serving.failures import FailureBook

MIB = 1 << 20
PATIENCE_S = 20.0


def build(code: str, *, timeout_s: float = PATIENCE_S, memory_mib: int = 512) -> Outcome:
    return BuildChild(BuildLimits(timeout_s, memory_mib * MIB)).run([sys.executable, "-c", code])


def wait_for(path: Path) -> str:
    deadline = monotonic() + PATIENCE_S
    while not (path.exists() and path.read_text().endswith("\n")):
        assert monotonic() < deadline, f"no {path}"
        sleep(0.01)
    return path.read_text()


def wait_gone(*pids: int) -> None:
    deadline = monotonic() + PATIENCE_S
    while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids):
        assert monotonic() < deadline, f"{pids} live on"
        sleep(0.01)


def test_the_last_line_is_the_result_and_the_rest_goes_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    code = (
        "import sys; print('noise'); print('[TRT] fusing \\x1b[31m layers', file=sys.stderr); print('{\"engines\": 2}')"
    )
    assert build(code) == Outcome({"engines": 2})
    assert "Engine build: [TRT] fusing [31m layers" in caplog.messages


def test_it_comes_last() -> None:
    code = (
        "import json, os; print(json.dumps([os.sched_getscheduler(0) == os.SCHED_IDLE or os.nice(0) == 19,"
        " open('/proc/self/oom_score_adj').read().strip()]))"
    )
    assert build(code) == Outcome([True, "1000"])


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import sys; print('no kernel for it', file=sys.stderr); sys.exit(3)", "the build ended with 3: no kernel"),
        ("import os; os.kill(os.getpid(), 9)", "the build was killed by SIGKILL"),
        ("import os; os.abort()", "the build was killed by SIGABRT"),
        ("print('done')", "the build ended without a result"),
        ("", "the build ended without a result"),
    ],
)
def test_a_failure_has_a_reason(code: str, reason: str) -> None:
    outcome = build(code)
    assert outcome.result is None
    assert outcome.error is not None
    assert outcome.error.startswith(reason)


def test_a_command_that_is_not_there() -> None:
    outcome = BuildChild(BuildLimits(PATIENCE_S, 512 * MIB)).run(["/nowhere/at/all"])
    assert outcome.error is not None
    assert "/nowhere/at/all" in outcome.error or "No such file" in outcome.error


def test_one_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = (
        "import os, subprocess, time; child = subprocess.Popen(['sleep', '100']);"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}\\n'); time.sleep(100)"
    )
    assert build(code, timeout_s=1.5).error == "the build was not done after 1.5 s (engine.build_timeout_s)"
    wait_gone(*map(int, wait_for(pids).split()))


@pytest.mark.parametrize("eater", ["itself", "its_child"])
def test_one_that_takes_too_much_memory_is_killed(eater: str) -> None:
    eat = "import time; held = bytearray(b'x') * (200 << 20); time.sleep(100)"
    code = eat if eater == "itself" else f"import subprocess, sys; subprocess.run([sys.executable, '-c', {eat!r}])"
    began = monotonic()
    error = build(code, memory_mib=100).error
    assert error is not None
    assert error.endswith("MiB of memory, 100 are allowed (engine.build_memory_mib)")
    assert 100 < int(error.split()[3]) < 300
    assert monotonic() - began < PATIENCE_S


def test_one_that_leaves_no_memory_to_others_is_killed() -> None:
    """As on a board whose GPU takes of the same memory, which no process has as its own."""
    child = BuildChild(BuildLimits(PATIENCE_S, 512 * MIB, spare_bytes=1 << 50))
    error = child.run([sys.executable, "-c", "import time; time.sleep(100)"]).error
    assert error is not None
    assert error.endswith("MiB of memory were left for everything else during the build, of 1073741824 needed")


def test_address_space_is_no_memory() -> None:
    """TensorRT reserves tens of gigabytes that it never touches."""
    code = "import mmap, time; held = mmap.mmap(-1, 40 << 30, flags=0x4022); time.sleep(0.5); print('{}')"  # NORESERVE
    assert build(code, memory_mib=100) == Outcome({})


def test_the_end_of_the_daemon_ends_it(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = f"import os, time; open({str(pid)!r}, 'w').write(f'{{os.getpid()}}\\n'); time.sleep(100)"
    child = BuildChild(BuildLimits(PATIENCE_S, 512 * MIB))
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(child.run([sys.executable, "-c", code])))
    thread.start()
    running = int(wait_for(pid))
    child.stop()
    thread.join(PATIENCE_S)
    assert child.stopped
    assert outcomes == [Outcome(error="the daemon is stopping")]
    wait_gone(running)
    assert child.run([sys.executable, "-c", code]) == Outcome(error="the daemon is stopping")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_death_of_the_daemon_ends_it(tmp_path: Path, how: signal.Signals) -> None:
    pid = tmp_path / "pid"
    code = f"import os, time; open({str(pid)!r}, 'w').write(f'{{os.getpid()}}\\n'); time.sleep(100)"
    daemon = (
        "import sys; from asd_edge.serving.build import BuildChild, BuildLimits;"
        f"BuildChild(BuildLimits(100.0, 1 << 30)).run([sys.executable, '-c', {code!r}])"
    )
    parent = subprocess.Popen([sys.executable, "-c", daemon], env=os.environ)
    try:
        building = int(wait_for(pid))
        parent.send_signal(how)
        parent.wait(PATIENCE_S)
        wait_gone(building)
    finally:
        parent.kill()
        parent.wait()


def test_a_failure_is_remembered_and_tried_again_ever_more_rarely(tmp_path: Path) -> None:
    now = [1_000_000_000.0]
    book = FailureBook(tmp_path / "cache", lambda: now[0])
    assert book.waits("k") is None
    waits = []
    for _ in range(7):
        failure = book.note("k", "tensorrt/fp32", "out of memory")
        waits.append(failure.again_at - now[0])
        assert book.waits("k") == failure
        assert book.waits("another") is None
        now[0] = failure.again_at
        assert book.waits("k") is None
    assert waits[:4] == [3600.0, 4 * 3600.0, 16 * 3600.0, 64 * 3600.0]
    assert waits[4:] == [7 * 86_400.0] * 3

    again = FailureBook(tmp_path / "cache", lambda: now[0] - 1.0)  # another start of the daemon
    waiting = again.waits("k")
    assert waiting is not None
    assert (waiting.what, waiting.reason, waiting.attempts) == ("tensorrt/fp32", "out of memory", 7)
    assert again.failures() == {"k": waiting}
    again.forget("k")
    assert book.failure("k") is None


def test_the_newest_failures_are_remembered_whatever_their_reason(tmp_path: Path) -> None:
    now = [1_000_000_000.0]
    book = FailureBook(tmp_path, lambda: now[0])
    for number in range(40):
        now[0] += 1.0
        assert book.note(f"k{number}", "tensorrt/fp32", " ").reason == "no reason given"
    book.note("k10", "tensorrt/fp32", "again")  # of the oldest that is left it becomes the newest
    assert set(book.failures()) == {f"k{number}" for number in range(8, 40)}
    assert book.failures()["k10"].attempts == 2
    now[0] += 1.0
    book.note("another", "tensorrt/fp32", "reason")
    assert set(book.failures()) == {"another", *(f"k{number}" for number in range(9, 40))}
    book.clear()
    assert book.failures() == {}


def test_a_clock_that_was_wrong_and_a_damaged_file_hold_nothing_up(tmp_path: Path) -> None:
    FailureBook(tmp_path, lambda: 2_000_000_000.0).note("k", "tensorrt/fp32", "reason")
    assert FailureBook(tmp_path, lambda: 1_000_000_000.0).waits("k") is None
    (tmp_path / "failures.json").write_bytes(b"{")
    book = FailureBook(tmp_path)
    assert book.failure("k") is None
    assert book.note("k", "tensorrt/fp32", "reason").attempts == 1


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    book = FailureBook(tmp_path / "file")
    assert book.note("k", "tensorrt/fp32", "reason").reason == "reason"
    assert book.failure("k") is None
