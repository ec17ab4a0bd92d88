"""The simulated data set: DCASE layout and tables, the same from the same seed, all or nothing on the disk."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
import soundfile

from asd_edge.errors import DataError
from asd_edge.simulator import FAULTS
from asd_train.data.dcase import read_dataset
from asd_train.labels import training_set
from asd_train.progress import Progress
from asd_train.simulate import SEVERITY, plan_section, simulate_dataset

T = TypeVar("T")


def simulate(out: Path, *, seed: int = 1, sections: tuple[int, ...] = (0,), progress: Progress | None = None) -> None:
    simulate_dataset(
        out,
        machines=("fan", "valve"),
        sections=sections,
        train_source=6,
        train_target=2,
        test_per_cell=3,
        seed=seed,
        seconds=0.25,
        progress=progress,
    )


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_reader_finds_every_clip_where_it_belongs(tmp_path: Path) -> None:
    simulate(tmp_path / "data", sections=(0, 3))
    clips = read_dataset(tmp_path / "data")
    cells = Counter((c.machine, c.section, c.split, c.domain, c.anomalous) for c in clips)
    for machine in ("fan", "valve"):
        for section in ("00", "03"):
            assert cells[machine, section, "train", "source", False] == 6
            assert cells[machine, section, "train", "target", False] == 2
            for domain in ("source", "target"):
                assert cells[machine, section, "test", domain, False] == 3
                assert cells[machine, section, "test", domain, True] == 3
    assert len(clips) == 2 * 2 * 20
    # Every machine has at least three classes of normal sound to learn from, none of the target domain.
    classes = training_set(clips, held_out=0.0, seed=0).classes
    assert Counter(name.split("/")[0] for name in classes) == {"fan": 12, "valve": 12}


def test_clips_are_16_bit_at_16_khz_and_named_by_their_attributes(tmp_path: Path) -> None:
    simulate(tmp_path / "data")
    path = tmp_path / "data/fan/train/section_00_source_train_normal_0000_spd_0.90_ld_0.5_mnt_A.wav"
    info = soundfile.info(path)
    assert (info.samplerate, info.channels, info.subtype, info.frames) == (16_000, 1, "PCM_16", 4000)


def test_the_tables_name_every_clip_and_every_fault(tmp_path: Path) -> None:
    simulate(tmp_path / "data")
    with (tmp_path / "data/fan/attributes_00.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["file_name", "d1p", "d1v", "d2p", "d2v", "d3p", "d3v"]
    for row in rows:
        path = tmp_path / "data" / row["file_name"]
        assert path.is_file()
        assert path.stem.endswith("_".join(row[f"d{n}{part}"] for n in (1, 2, 3) for part in "pv"))
    assert len(rows) == 20
    with (tmp_path / "data/fan/faults_00.csv").open() as stream:
        faults = list(csv.DictReader(stream))
    assert len(faults) == 6
    assert all("anomaly" in row["file_name"] and row["fault"] in FAULTS["fan"] for row in faults)
    assert all(SEVERITY[0] <= float(row["severity"]) <= SEVERITY[1] for row in faults)


def test_a_seed_gives_the_same_files_again_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        simulate(tmp_path / name, seed=seed)
    first, again, other = (digests(tmp_path / name) for name in ("first", "again", "other"))
    assert first == again
    assert first.keys() == other.keys()
    assert not {first[name] for name in first if name.endswith(".wav")} & set(other.values())


def test_no_two_clips_of_a_data_set_are_equal(tmp_path: Path) -> None:
    simulate(tmp_path / "data", sections=(0, 1))
    clips = [digest for name, digest in digests(tmp_path / "data").items() if name.endswith(".wav")]
    assert len(set(clips)) == len(clips)


def test_more_clips_leave_the_first_ones_as_they_are() -> None:
    small, large = (
        {(c.split, c.domain, c.anomalous, c.index): (c.seed, c.state) for c in plan}
        for plan in (
            plan_section("pump", 0, train_source=4, train_target=2, test_per_cell=3, seed=1),
            plan_section("pump", 0, train_source=9, train_target=5, test_per_cell=8, seed=1),
        )
    )
    assert small.items() <= large.items()


def test_severities_are_graded_evenly_for_every_fault() -> None:
    plan = plan_section("gearbox", 0, train_source=0, train_target=0, test_per_cell=36, seed=0)
    anomalies = [clip.state for clip in plan if clip.anomalous]
    for fault in FAULTS["gearbox"]:
        grades = sorted(state.severity for state in anomalies if state.fault == fault)
        assert len(grades) == 36
        middle = sum(SEVERITY) / 2.0
        assert 15 <= sum(grade < middle for grade in grades) <= 21


class Interrupted(Progress):
    """A progress bar that is watched by somebody impatient."""

    def __init__(self, after: int) -> None:
        super().__init__(enabled=False)
        self._after = after

    def track(self, items: Iterable[T], what: str, total: int) -> Iterator[T]:
        for number, item in enumerate(super().track(items, what, total)):
            if number == self._after:
                raise KeyboardInterrupt
            yield item


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "data", progress=Interrupted(after=10))
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_filled_and_a_full_one_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    simulate(tmp_path / "data")
    before = digests(tmp_path / "data")
    with pytest.raises(DataError, match="new or empty folder"):
        simulate(tmp_path / "data", seed=2)
    assert digests(tmp_path / "data") == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match="new or empty folder"):
        simulate(tmp_path / "file")


def test_an_unknown_machine_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="toaster"):
        simulate_dataset(tmp_path / "data", machines=("fan", "toaster"))
    assert list(tmp_path.iterdir()) == []
