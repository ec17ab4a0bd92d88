"""What `asd-edge clips export` writes is a data set for `asd-train`, as it is."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from asd_edge.errors import StateError
from asd_edge.evidence.export import TAKEN, export_clips
from asd_edge.evidence.manifest import ClipManifest, Label
from asd_edge.evidence.recorded import flac
from asd_edge.evidence.store import ClipStore, members_of
from asd_edge.strict import utc_time
from asd_train.data.dcase import read_datasets
from asd_train.data.machine import SPLIT_FOLDERS
from asd_train.data.plain import ANOMALOUS, NORMAL
from tests.train.trees import facts

RATE = 16_000


def sound(seconds: float, seed: int) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-9_000, 9_000, round(seconds * RATE)).astype(np.int16)


def pcm(path: Path) -> NDArray[np.int16]:
    return np.asarray(soundfile.read(path, dtype="int16")[0])


def save(
    store: ClipStore,
    name: str,
    samples: NDArray[np.int16],
    verdict: str | None,
    condition: str = "slow",
    *,
    machine: str = "press",
) -> None:
    label = verdict and {"verdict": verdict, "note": "=a, door", "author": "alice", "time_utc": utc_time(0.0)}
    files = {"sound.flac": flac(samples, RATE)}
    manifest = ClipManifest(
        id=name,
        device="box",
        machine=machine,
        bundle_id="b" * 64,
        condition=condition,
        score=0.9,
        threshold=0.5,
        first_utc="2026-01-01T00:00:10Z",
        since_utc="2026-01-01T00:00:30Z",
        alarm_utc="2026-01-01T00:00:42Z",
        rate=RATE,
        samples=len(samples),
        since_sample=20 * RATE,
        alarm_sample=32 * RATE,
        made_at_s=0.0,
        files=members_of(files),
        label=Label.model_validate(label) if label else None,
    )
    store.save(manifest, files)


@pytest.fixture
def store(tmp_path: Path) -> ClipStore:
    store = ClipStore(tmp_path)
    save(store, "a", sound(42.0, 1), "normal", "factory/source")
    save(store, "b", sound(42.0, 2), "anomalous")
    save(store, "c", sound(22.0, 3), "normal")
    save(store, "d", sound(12.0, 4), None)
    save(store, "e", sound(12.0, 5), "unknown")
    return store


def test_labelled_clips_become_training_normals_and_anomalies_to_test_with(store: ClipStore, tmp_path: Path) -> None:
    exported = export_clips(store.clips(), tmp_path / "data", unlabelled=False)
    assert exported.pieces == {"normal": 4 + 2, "anomalous": 2}
    assert exported.left_out == (("d", "no label"), ("e", "no label"))
    clips = read_datasets([str(tmp_path / "data")])
    assert {clip.unit for clip in clips} == {"press/00"}
    source = ("train", "source", False, "condition_factory-source", "mixture")
    slow = ("train", "source", False, "condition_slow", "mixture")
    anomaly = ("test", "source", True, "condition_slow", "mixture")
    assert [facts(clip) for clip in clips] == [source] * 4 + [slow] * 2 + [anomaly] * 2
    read = {
        kind: np.concatenate([pcm(clip.path) for clip in clips if facts(clip) == kind]) for kind in map(facts, clips)
    }
    np.testing.assert_array_equal(read[source], sound(42.0, 1))
    np.testing.assert_array_equal(read[slow], sound(22.0, 3))
    np.testing.assert_array_equal(read[anomaly], sound(42.0, 2)[20 * RATE :])  # before, nobody knows what it was
    assert {len(pcm(clip.path)) for clip in clips} == {round(10.5 * RATE), 11 * RATE}
    with (tmp_path / "data" / "clips.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["file"] for row in rows} == {str(clip.path.relative_to(tmp_path / "data")) for clip in clips}
    assert {(row["clip"], row["first_s"]) for row in rows if row["verdict"] == "anomalous"} == {
        ("b", "20.000"),
        ("b", "31.000"),
    }
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_clips_without_a_label_are_never_normal_or_anomalous(store: ClipStore, tmp_path: Path) -> None:
    export_clips(store.clips(), tmp_path / "data", unlabelled=True)
    hidden = [clip for clip in read_datasets([str(tmp_path / "data")]) if clip.anomalous is None]
    assert [facts(clip) for clip in hidden] == [("test", "unknown", None, "", "mixture")] * 2
    # Beside the data set that a model was trained with, the machine gets a name of its own by a prefix.
    both = read_datasets([f"field={tmp_path / 'data'}", str(tmp_path / "data")])
    assert {clip.machine for clip in both} == {"press", "field-press"}


def test_no_machine_is_taken_for_a_part_of_the_layout(tmp_path: Path) -> None:
    store = ClipStore(tmp_path)
    names = sorted({*SPLIT_FOLDERS, NORMAL, *ANOMALOUS})
    assert set(names) == TAKEN
    for seed, machine in enumerate(names):
        save(store, f"clip-{seed}", sound(1.0, seed), "normal", machine=machine)
    export_clips(store.clips(), tmp_path / "data", unlabelled=False)
    read = {clip.machine: pcm(clip.path) for clip in read_datasets([str(tmp_path / "data")])}
    for seed, machine in enumerate(names):
        np.testing.assert_array_equal(read[f"machine-{machine}"], sound(1.0, seed))


def test_a_damaged_clip_is_left_out_and_nothing_is_half_written(store: ClipStore, tmp_path: Path) -> None:
    for name in "abc":
        (store.folder / "press" / name / "sound.flac").write_bytes(b"fLaC")
    with pytest.raises(StateError, match=r"5 clips \(another content than was written, no label\)"):
        export_clips(store.clips(), tmp_path / "data", unlabelled=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evidence"]
    exported = export_clips(store.clips(), tmp_path / "data", unlabelled=True)
    assert dict(exported.left_out) == dict.fromkeys("abc", "another content than was written")


def test_a_folder_that_holds_something_is_not_replaced(store: ClipStore, tmp_path: Path) -> None:
    out = tmp_path / "data"
    out.mkdir()
    export_clips(store.clips(), out, unlabelled=False)
    before = sorted(out.rglob("*"))
    with pytest.raises(StateError, match="not empty"):
        export_clips(store.clips(), out, unlabelled=False)
    assert sorted(out.rglob("*")) == before
    with pytest.raises(StateError, match="No such file"):
        export_clips(store.clips(), tmp_path / "no" / "data", unlabelled=False)
