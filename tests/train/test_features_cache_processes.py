"""kill -9 at every step of filling the cache, and processes that fill it at once: an entry is whole or not there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

# Children are forked from one process, which imports everything once. A child that is to be killed counts each call of
# a C function that touches the disk, before and after it runs, and kills itself at the step it was given.
PROGRAM = """
import json, os, shutil, signal, sys
from pathlib import Path

import numpy as np

from asd_edge.dsp.front_end import FrontEnd
from tests.train.test_features_cache import SPEC, Cache, assert_computed, features, write

TOUCHES = {"open", "mkstemp", "mkdir", "write", "flush", "fsync", "chmod", "replace", "unlink", "close", "fdopen"}
folder = Path(sys.argv[1])
clips = [write(folder / f"{i}.wav", i) for i in range(3)]


def child(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return pid


def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killed_at(step, cache):
    def fill():
        left = step

        def count(frame, event, function):
            nonlocal left
            if event in ("c_call", "c_return") and getattr(function, "__name__", "") in TOUCHES:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        features(cache, clips)
        sys.setprofile(None)

    return ended(child(fill)) == -signal.SIGKILL


def at_once(cache, count):
    begin, go = os.pipe()

    def fill():
        os.close(go)
        os.read(begin, 1)  # all wait here until the parent closes its end
        corpus, read = features(cache, clips)
        assert_computed(corpus, clips)

    pids = [child(fill) for _ in range(count)]
    os.close(go)
    os.close(begin)
    return [ended(pid) for pid in pids]


print(json.dumps(at_once(Cache(folder / "at once"), 4)))
print(json.dumps([path.suffix for path in (folder / "at once").iterdir()]))
step, killed = 0, True
while killed:
    step += 1
    cache = Cache(folder / f"step-{step}")
    killed = killed_at(step, cache)
    left = list(cache.folder.glob(".*.tmp")) if cache.folder.exists() else []
    for path in left:
        os.utime(path, (0.0, 0.0))  # long ago
    corpus, read = features(cache, clips)
    assert_computed(corpus, clips)
    after = len(list(cache.folder.iterdir()))
    print(json.dumps({"killed": killed, "left": len(left), "read": read, "after": after}), flush=True)
"""


def test_an_entry_is_whole_or_not_there(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], cwd=root, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    exits, files, *told = [json.loads(line) for line in run.stdout.splitlines()]
    assert exits == [0, 0, 0, 0], run.stderr
    assert files == [".pack"]
    assert [row["killed"] for row in told] == [*[True] * (len(told) - 1), False]
    assert len(told) > 20  # so many steps there are
    reads = [row["read"] for row in told]
    turn = reads.index(0)
    assert 0 < turn < len(told) - 1
    assert reads == [3] * turn + [0] * (len(told) - turn)  # from one step on the entry is there
    assert any(row["left"] for row in told)
    assert all(row["after"] == 1 for row in told)  # and what a killed process left is gone
