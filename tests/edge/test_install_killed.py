"""kill -9 at every single step of an installation, and a full disk: the old bundle or the new one, whole, and a record
that agrees."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from asd_edge.errors import StateError
from tests.edge.installing import Box

PROGRAM = """
import json, shutil, sys
from pathlib import Path

from asd_edge.serving.status import status
from tests.edge.installing import Box
from tests.edge.killed_at import killed_at

folder = Path(sys.argv[1])
template = Box(folder / "template")
for release in (1, 2, 3):
    template.bundle(f"{release}.asd", release)


def begin(name):  # releases 1 and 2 are installed; the files are those that installations leave
    box = Box(folder / name)
    for part in ("keys", "1.asd", "2.asd", "3.asd"):
        shutil.copy(template.folder / part, box.folder / part)
    box.path.write_bytes((box.folder / "2.asd").read_bytes())
    box.previous.write_bytes((box.folder / "1.asd").read_bytes())
    box.state.mkdir()
    return box


step, killed = 0, True
while killed:
    step += 1
    box = begin(f"step-{step}")
    killed = killed_at(step, lambda: box.install(box.folder / "3.asd"))
    told = {"killed": killed, "releases": box.releases(), "status": status(box.config).present.release}
    again = box.install(box.folder / "3.asd")
    told["next"] = [again.changed, *box.releases()]
    record = json.loads((box.state / "installed.json").read_text())
    told["recorded"] = [record["history"][-1]["release"], record["highest"]["release"]]
    told["left"] = sorted(path.name for path in (*box.path.parent.iterdir(), *box.state.iterdir()))
    print(json.dumps(told), flush=True)
    shutil.rmtree(box.folder)
"""


def test_an_installation_killed_at_any_step_leaves_the_old_or_the_new_bundle(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], cwd=root, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    told = [json.loads(line) for line in run.stdout.splitlines()]
    assert [row["killed"] for row in told] == [*[True] * (len(told) - 1), False]
    assert len(told) > 30  # so many steps there are
    present = [row["releases"][0] for row in told]
    turn = present.index(3)
    assert 0 < turn < len(told) - 1
    # From one step on it is the new one, and stays.
    assert present == [2] * turn + [3] * (len(told) - turn)
    assert told[-1]["releases"] == [3, 2]
    for number, row in enumerate(told):
        assert row["status"] == row["releases"][0], row
        assert row["next"] == [number < turn, 3, 2], row
        assert row["recorded"] == [3, 3], row
        assert row["left"] == ["bundle.asd", "bundle.previous.asd", "install.lock", "installed.json"], row


@pytest.mark.parametrize("where", ["at", "state"])
def test_a_full_disk_changes_nothing(tmp_path: Path, where: str) -> None:
    """A tiny file system of its own, filled to the last byte; skipped where nothing may be mounted."""
    box = Box(tmp_path)
    folder = box.folder / where
    folder.mkdir(exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)], check=False).returncode:
        pytest.skip("no right to mount a small file system")
    try:
        box.install(box.bundle("a.asd", 1))
        with (folder / "filler").open("wb", buffering=0) as filler:
            while os.statvfs(folder).f_bavail:
                filler.write(b"x" * 4096)
        before = box.everything()
        with pytest.raises(StateError, match="No space left"):
            box.install(box.bundle("b.asd", 2))
        assert box.everything() == before
    finally:
        subprocess.run(["umount", str(folder)], check=True)
