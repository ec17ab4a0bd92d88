"""kill -9 at every single step of storing a condition: the old state or the new one, never a mixture."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

# A child is forked for every step. It counts each call of a C function that touches the disk, before and after it
# runs, and kills itself at the step it was given. Nothing is replaced: the code that runs is the product's own.
PROGRAM = """
import json, os, shutil, signal, sys
from pathlib import Path

from asd_edge.bundle.site_store import SiteStore
from tests.edge.test_site_state import CHANGE, condition, enroll, site_with

TOUCHES = {"open", "mkstemp", "mkdir", "write", "flush", "fsync", "fcntl", "chmod", "chown", "replace", "rename",
           "link", "unlink", "close", "ftruncate", "pwrite", "fdopen"}
folder = Path(sys.argv[1])


def begin(name):
    store = SiteStore(folder / name, "fan-7")
    enroll(store, condition("old"))
    enroll(store, condition("newer"))
    return store


def killed_at(step, store):
    child = os.fork()
    if child == 0:
        left = step

        def count(frame, event, function):
            nonlocal left
            if event in ("c_call", "c_return") and getattr(function, "__name__", "") in TOUCHES:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        enroll(store, condition("newest"))
        sys.setprofile(None)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0


step, killed = 0, True
while killed:
    step += 1
    store = begin(f"step-{step}")
    before = store.load()
    killed = killed_at(step, store)
    after = store.load()
    told = {
        "step": step,
        "killed": killed,
        "revision": after.revision,
        "names": [c.name for c in after.conditions],
        "same": after == before,
        "earlier": [store.load_revision(number).revision == number for number in store.revisions()],
    }
    told["next"] = enroll(store, condition("afterwards")).revision
    told["left"] = sorted(path.name for path in store.folder.rglob("*") if path.is_file())
    print(json.dumps(told), flush=True)
    shutil.rmtree(folder / f"step-{step}")
"""


def test_a_writer_killed_at_any_step_leaves_the_old_or_the_new_state(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], cwd=root, capture_output=True, text=True, check=True
    )
    told = [json.loads(line) for line in run.stdout.splitlines()]
    assert [row["killed"] for row in told] == [*[True] * (len(told) - 1), False]
    assert len(told) > 30  # so many steps there are
    old = {"revision": 2, "names": ["old", "newer"], "same": True}
    new = {"revision": 3, "names": ["old", "newer", "newest"], "same": False}
    found = [{key: row[key] for key in old} for row in told]
    turn = found.index(new)
    assert 0 < turn < len(told) - 1
    assert found == [old] * turn + [new] * (len(told) - turn)  # from one step on it is the new one, and stays
    for row in told:
        assert all(row["earlier"]), row
        assert row["next"] == row["revision"] + 1, row
        assert not [name for name in row["left"] if name.endswith(".tmp")], row
