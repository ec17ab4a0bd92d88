"""kill -9 at every single step of a change: the old state or the new one, never a mixture."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
import json, os, shutil, sys
from pathlib import Path

from types import SimpleNamespace

from asd_edge.bundle.site_store import SiteStore
from asd_edge.enrollment.commit import roll_back
from asd_edge.errors import StateError
from tests.edge.killed_at import killed_at
from tests.edge.test_site_state import OTHER, condition, enroll

folder, action = Path(sys.argv[1]), sys.argv[2]
BUNDLE = SimpleNamespace(embedding_id=OTHER, bundle_id="b" * 64)


def begin(name):
    store = SiteStore(folder / name, "fan-7")
    enroll(store, condition("old"))
    enroll(store, condition("newer"))
    if action == "mend":  # the current state is damaged, on the disk alone
        (folder / name / "damaged").write_bytes(b"{")
        os.replace(folder / name / "damaged", store.path)
    return store


def change(store):
    if action == "enroll":
        return enroll(store, condition("newest"))
    with store.exclusive("alice"):
        return roll_back(store, BUNDLE, None, author="alice")[1]


def known(store):
    try:
        state = store.load()
    except StateError:
        return None
    return [state.revision, [c.name for c in state.conditions]]


step, killed = 0, True
while killed:
    step += 1
    store = begin(f"step-{step}")
    killed = killed_at(step, lambda: change(store))
    told = {
        "killed": killed,
        "known": known(store),
        "earlier": [store.load_revision(number).revision == number for number in store.revisions()],
    }
    told["next"] = change(store).revision
    told["left"] = sorted(path.name for path in store.folder.rglob("*") if path.is_file())
    print(json.dumps(told), flush=True)
    shutil.rmtree(folder / f"step-{step}")
"""


@pytest.mark.parametrize(
    ("action", "old", "new", "next_after_old"),
    [
        ("enroll", [2, ["old", "newer"]], [3, ["old", "newer", "newest"]], 3),
        ("roll_back", [2, ["old", "newer"]], [3, ["old"]], 3),
        ("mend", None, [3, ["old"]], 3),
    ],
)
def test_a_change_killed_at_any_step_leaves_the_old_or_the_new_state(
    tmp_path: Path, action: str, old: Any, new: Any, next_after_old: int
) -> None:
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), action], cwd=root, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    told = [json.loads(line) for line in run.stdout.splitlines()]
    assert [row["killed"] for row in told] == [*[True] * (len(told) - 1), False]
    assert len(told) > 30  # so many steps there are
    turn = [row["known"] for row in told].index(new)
    assert 0 < turn < len(told) - 1
    # From one step on it is the new one, and stays.
    assert [row["known"] for row in told] == [old] * turn + [new] * (len(told) - turn)
    for number, row in enumerate(told):
        assert all(row["earlier"]), row
        assert row["next"] == (next_after_old if number < turn else 4), row
        assert not [name for name in row["left"] if name.endswith(".tmp")], row
