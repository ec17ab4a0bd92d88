"""The child process that does a command: last in line, watched, and gone when the daemon is."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from asd_edge.remote.runner import OUTPUT_LIMIT, Runner


def runner(code: str, **options: float) -> Runner:
    return Runner((sys.executable, "-c", code), **options)


def test_the_child_gets_arguments_and_little_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials")
    monkeypatch.setenv("SECRET", "1")
    code = (
        "import json, os, sys, time\n"
        "time.sleep(0.1)\n"
        "print(json.dumps([sys.argv[1:], os.nice(0), sys.stdin.read(), sorted(os.environ)]))"
    )
    outcome = runner(code).run(["enroll", "--json"])
    assert outcome.error is None
    arguments, nice, stdin, environment = outcome.result
    assert arguments == ["enroll", "--json"]
    assert nice == max(10, os.getpriority(os.PRIO_PROCESS, 0))
    assert stdin == ""
    assert set(environment) <= {"PATH", "PYTHONPATH", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR"}


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import sys; sys.exit('error: no such machine')", "error: no such machine"),
        ("import sys; sys.exit(3)", "ended with 3"),
        ("print('hello')", "else than JSON"),
        ("print('NaN')", "NaN"),
        (f"print('1' * {OUTPUT_LIMIT + 1}); import time; time.sleep(60)", f"more than {OUTPUT_LIMIT} bytes"),
        (f"import sys; print('1' * {OUTPUT_LIMIT + 1}, file=sys.stderr)", f"more than {OUTPUT_LIMIT} bytes"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "ended with -9"),
    ],
)
def test_a_child_that_fails_gives_an_error(code: str, error: str) -> None:
    outcome = runner(code).run([])
    assert outcome.result is None
    assert outcome.error is not None
    assert error in outcome.error


def test_a_child_that_does_its_work_in_silence_has_done_it() -> None:
    outcome = runner("import sys; print('done', file=sys.stderr)").run([])
    assert (outcome.result, outcome.error) == (None, None)


def test_an_executable_that_is_not_there_is_an_error() -> None:
    assert "cannot be started" in str(Runner(("/nonexistent",)).run([]).error)


GRANDCHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"


def test_a_child_that_hangs_is_killed_with_its_own_children() -> None:
    before = set(psutil.Process().children(recursive=True))
    outcome = runner(GRANDCHILD, timeout_s=1.0).run([])
    assert "after 1 s" in str(outcome.error)
    assert set(psutil.Process().children(recursive=True)) <= before


def test_a_stop_kills_the_child_and_lets_no_other_begin(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    code = f"import os, time; os.mknod({str(begun)!r}); time.sleep(60)"
    child, outcomes = runner(code), []
    thread = threading.Thread(target=lambda: outcomes.append(child.run([])))
    thread.start()
    while not begun.exists():
        time.sleep(0.01)
    child.stop()
    thread.join(10)
    assert "daemon is stopping" in str(outcomes[0].error)
    assert "daemon is stopping" in str(child.run([]).error)
    os.unlink(begun)
    child.stop()  # once more harms nobody
    assert not begun.exists()
