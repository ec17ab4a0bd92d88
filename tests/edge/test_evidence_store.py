"""Clips on the disk: whole or not there, private, and never more or older than allowed."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from asd_edge.errors import StateError
from asd_edge.evidence.age import RunningClock
from asd_edge.evidence.index import ClipIndex
from asd_edge.evidence.manifest import MANIFEST, ClipManifest, Label
from asd_edge.evidence.store import ClipStore, members_of
from asd_edge.strict import utc_time

FILES = {"sound.flac": bytes(range(256)) * 8, "scores.csv": b"at_s\n"}


def manifest(name: str, made_at_s: float, *, machine: str = "fan", label: Label | None = None) -> ClipManifest:
    return ClipManifest(
        id=name,
        device="box",
        machine=machine,
        bundle_id="b" * 64,
        condition="rpm1200",
        score=0.9,
        threshold=0.5,
        first_utc="2026-01-01T00:00:10.000Z",
        since_utc="2026-01-01T00:00:30.000Z",
        alarm_utc="2026-01-01T00:00:42.000Z",
        rate=16_000,
        samples=672_000,
        since_sample=320_000,
        alarm_sample=512_000,
        made_at_s=made_at_s,
        files=members_of(FILES),
        label=label,
    )


def labelled(verdict: str = "normal") -> Label:
    return Label.model_validate({"verdict": verdict, "note": "a door", "author": "alice", "time_utc": utc_time(0.0)})


@pytest.fixture
def store(tmp_path: Path) -> ClipStore:
    (tmp_path / "state").mkdir()
    return ClipStore(tmp_path / "state")


def save(store: ClipStore, name: str, made_at_s: float, **fields: object) -> Path:
    return store.save(manifest(name, made_at_s, **fields), FILES)  # type: ignore[arg-type]


def looked(store: ClipStore) -> ClipIndex:
    index = ClipIndex(store, lambda: None)
    index.look()
    return index


def names(store: ClipStore) -> list[str]:
    return [clip.id for clip in store.clips()]


def test_what_was_saved_is_read_and_belongs_to_its_owner_alone(store: ClipStore) -> None:
    path = save(store, "one", 5.0)
    (clip,) = store.clips("fan")
    assert clip.manifest == manifest("one", 5.0)
    assert {name: clip.read(name) for name in FILES} == FILES
    assert clip.size == sum(file.stat().st_size for file in path.iterdir())
    assert path == store.folder / "fan" / "one"
    for folder in (store.folder, path.parent, path):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert store.clips("pump") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_writes_is_the_services(store: ClipStore) -> None:
    os.chown(store.folder.parent, 61_234, 61_234)
    save(store, "one", 0.0)
    store.label(store.find("one"), labelled())
    owned = [store.folder, *store.folder.rglob("*")]
    assert len(owned) == 6
    assert {(path.stat().st_uid, path.stat().st_gid) for path in owned} == {(61_234, 61_234)}


def test_a_label_replaces_the_one_before_and_nothing_else(store: ClipStore) -> None:
    path = save(store, "one", 5.0)
    store.label(store.find("one"), labelled("anomalous"))
    store.label(store.find("one"), labelled("normal"))
    assert store.find("one").manifest == manifest("one", 5.0, label=labelled("normal"))
    assert sorted(file.name for file in path.iterdir()) == sorted([*FILES, MANIFEST])
    assert stat.S_IMODE((path / MANIFEST).stat().st_mode) == 0o600
    with pytest.raises(StateError, match="no such clip"):
        store.find("two")


def test_a_clip_is_always_there_while_it_is_labelled(store: ClipStore) -> None:
    save(store, "one", 0.0)
    clip, stopping = store.find("one"), threading.Event()

    def keep_labelling() -> None:
        while not stopping.is_set():
            store.label(clip, labelled())

    thread = threading.Thread(target=keep_labelling)
    thread.start()
    try:
        seen = [store.clips() for _ in range(300)]
    finally:
        stopping.set()
        thread.join()
    assert {tuple((clip.id, clip.fault) for clip in clips) for clips in seen} == {(("one", None),)}


def test_room_is_made_by_the_oldest_and_labels_are_kept_longest(store: ClipStore) -> None:
    for number, name in enumerate("abcd"):
        save(store, name, float(number))
    index = looked(store)
    store.label(store.find("a"), labelled())  # as a command does meanwhile
    index.look()
    size = store.find("b").size
    index.shrink(4 * size + 400)  # of four clips, one of which has a label
    assert names(store) == ["a", "b", "c", "d"]
    for most, left in ((3, "acd"), (2, "ad"), (1, "a")):
        index.shrink(most * size + 400)
        assert names(store) == list(left)
        assert (index.count, index.size) == (most, sum(clip.size for clip in store.clips()))


def test_a_manifest_is_read_once_and_again_when_it_has_changed(store: ClipStore) -> None:
    paths = [save(store, f"clip-{number}", float(number)) for number in range(5)]
    beats: list[int] = []
    index = ClipIndex(store, lambda: beats.append(1))
    index.look()
    assert len(beats) == 5  # a look at thousands is one of many steps
    unread = paths[4] / MANIFEST
    before = unread.stat()
    unread.write_bytes(b"{")
    os.utime(unread, ns=(before.st_atime_ns, before.st_mtime_ns))
    store.label(store.find("clip-0"), labelled())
    store.remove(paths[1])
    index.look()
    assert (index.count, index.newest_s) == (4, 4.0)
    index.shrink(store.find("clip-0").size)
    assert names(store) == ["clip-0"]


def test_age_is_counted_in_running_time(store: ClipStore) -> None:
    for number in range(4):
        save(store, f"clip-{number}", 100.0 * number, label=labelled() if number == 1 else None)
    looked(store).forget(200.0, damaged_before=0.0)
    assert names(store) == ["clip-2", "clip-3"]


def test_a_clip_that_cannot_be_read_is_shown_and_outlives_no_other_rule(store: ClipStore) -> None:
    path = save(store, "bad", 9.0)
    save(store, "good", 1.0)
    (path / MANIFEST).write_bytes(b'{"format": "asd-edge-clip", "version": 2}')
    bad, good = store.clips()
    assert (bad.id, bad.manifest, bad.fault) == ("bad", None, "version 2, written by a newer asd-edge")
    assert good.manifest is not None
    with pytest.raises(StateError, match="newer"):
        bad.read("sound.flac")
    with pytest.raises(StateError, match="newer"):
        store.label(bad, labelled())
    looked(store).forget(0.0, damaged_before=time.time() - 3_600.0)
    assert names(store) == ["bad", "good"]
    looked(store).forget(0.0, damaged_before=time.time() + 3_600.0)
    assert names(store) == ["good"]


def test_a_file_that_is_not_what_was_written_is_refused(store: ClipStore, tmp_path: Path) -> None:
    path = save(store, "one", 0.0)
    clip = store.find("one")
    sound = path / "sound.flac"
    sound.write_bytes(FILES["sound.flac"][::-1])
    with pytest.raises(StateError, match="another content"):
        clip.read("sound.flac")
    sound.write_bytes(FILES["sound.flac"] + b"more")
    with pytest.raises(StateError, match="more than 2048 bytes"):
        clip.read("sound.flac")
    (tmp_path / "secret").write_bytes(FILES["sound.flac"])
    sound.unlink()
    sound.symlink_to(tmp_path / "secret")
    with pytest.raises(StateError, match="symbolic links"):
        clip.read("sound.flac")
    with pytest.raises(StateError, match="no picture"):
        clip.read("picture.png")


def test_another_clips_manifest_is_refused(store: ClipStore) -> None:
    path = save(store, "one", 0.0)
    path.rename(path.with_name("two"))
    (clip,) = store.clips()
    assert clip.fault == "the manifest of fan/one"


def test_a_removed_clip_is_gone_and_removing_it_again_is_no_error(store: ClipStore) -> None:
    save(store, "one", 0.0)
    clip = store.find("one")
    store.remove(clip.path)
    store.remove(clip.path)
    assert store.clips() == []
    assert list((store.folder / "fan").iterdir()) == []


@pytest.mark.parametrize("where", ["evidence", "evidence/fan"])
def test_no_link_leads_out_of_the_evidence(store: ClipStore, tmp_path: Path, where: str) -> None:
    """A service that was taken over has root delete somebody else's folders: what looks like clips, and whole ones."""
    save(store, "one", 0.0)
    (clip,) = store.clips()
    link = store.folder.parent / where
    link.rename(tmp_path / "elsewhere")
    link.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / ".other.tmp").mkdir()
    before = sorted(tmp_path.rglob("*"))
    if where == "evidence":
        with pytest.raises(StateError, match="Not a directory"):
            store.clips()
    else:
        assert store.clips() == []
    for act in (
        lambda: store.remove(clip.path),
        lambda: store.label(clip, labelled()),
        lambda: clip.read("scores.csv"),
    ):
        with pytest.raises(StateError, match="Not a directory"):
            act()
    with suppress(StateError):
        store.clear_leftovers(lambda: None)
    with pytest.raises(StateError):
        save(store, "two", 0.0)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_clip_that_is_a_link_is_none(store: ClipStore, tmp_path: Path) -> None:
    path = save(store, "one", 0.0)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert store.clips() == []
    with pytest.raises(StateError):
        store.remove(path)
    assert sorted(file.name for file in (tmp_path / "elsewhere").iterdir()) == sorted([*FILES, MANIFEST])


def test_a_folder_that_the_daemon_did_not_make_is_no_clip(store: ClipStore) -> None:
    save(store, "one", 0.0)
    own, lost = store.folder / "fan" / "my-notes", store.folder / "fan" / "20260301T081542Z-3f9a1c"
    for folder in (own, lost):
        folder.mkdir()
        (folder / "sound.flac").touch()
    assert names(store) == [lost.name, "one"]  # its manifest is lost, its sound is there
    looked(store).shrink(0)
    assert os.listdir(store.folder / "fan") == [own.name]


def test_a_folder_that_is_no_folder_is_an_error_of_ours(store: ClipStore) -> None:
    store.folder.touch()
    with pytest.raises(StateError, match="Not a directory"):
        store.clips()
    with pytest.raises(StateError, match="File exists"):
        save(store, "one", 0.0)


def test_the_running_clock_counts_on_over_restarts_and_needs_no_file(tmp_path: Path) -> None:
    now, path = 1_000.0, tmp_path / "running.json"
    clock = RunningClock(path, clock=lambda: now)
    now += 500.0
    assert clock.now() == 500.0
    clock.save()
    now = 3.0  # the computer was started again
    again = RunningClock(path, clock=lambda: now)
    now += 10.0
    assert again.now() == 510.0
    path.write_bytes(b"{")
    assert RunningClock(path, at_least=400.0, clock=lambda: now).now() == 400.0


KILLED = """
import json, shutil, sys
from pathlib import Path

from asd_edge.evidence.store import ClipStore
from tests.edge.killed_at import killed_at
from tests.edge.test_evidence_store import FILES, labelled, manifest, save

folder, action = Path(sys.argv[1]), sys.argv[2]


def work(store):
    if action == "save":
        save(store, "new", 2.0)
    else:
        store.remove(store.find("old").path)


step, killed = 0, True
while killed:
    step += 1
    store = ClipStore(folder / f"step-{step}")
    store.folder.parent.mkdir()
    save(store, "old", 1.0)
    killed = killed_at(step, lambda: work(store))
    clips = store.clips()
    for clip in clips:
        assert clip.fault is None, (step, clip.fault)
        assert {name: clip.read(name) for name in FILES} == FILES
    store.clear_leftovers(lambda: None)
    left = sorted(path.name for path in store.folder.glob("fan/**/.*"))
    told = {"killed": killed, "clips": [[clip.id, clip.manifest.verdict] for clip in clips], "left": left}
    print(json.dumps(told), flush=True)
    shutil.rmtree(store.folder.parent)
"""


@pytest.mark.parametrize(
    ("action", "new"),
    [("save", [["old", "unknown"], ["new", "unknown"]]), ("remove", [])],
)
def test_a_kill_at_any_step_leaves_whole_clips_alone(tmp_path: Path, action: str, new: list[list[str]]) -> None:
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), action], cwd=root, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    told = [json.loads(line) for line in run.stdout.splitlines()]
    assert [row["killed"] for row in told] == [*[True] * (len(told) - 1), False]
    assert len(told) > 8
    seen = [row["clips"] for row in told]
    turn = seen.index(new)
    assert 0 < turn < len(told)
    assert seen == [[["old", "unknown"]]] * turn + [new] * (len(told) - turn)
    assert {tuple(row["left"]) for row in told} == {()}
