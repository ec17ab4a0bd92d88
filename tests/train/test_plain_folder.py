"""Plain folders of target clips: what makes a class, and how they join the data sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from asd_edge.errors import DataError
from asd_train.data.dcase import parse_dataset, read_datasets
from asd_train.data.plain import read_target_clips


def touch(root: Path, *names: str) -> Path:
    root.mkdir(exist_ok=True)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_a_folder_is_one_class_of_normal_target_clips(tmp_path: Path) -> None:
    clips = read_target_clips(touch(tmp_path, "b.wav", "a.FLAC", "notes.txt", "empty/notes.txt"), "fan", "03")
    assert [clip.path.name for clip in clips] == ["a.FLAC", "b.wav"]
    for clip in clips:
        assert (clip.unit, clip.label, clip.split, clip.anomalous) == ("fan/03", "target/all", "train", False)


def test_sub_folders_are_classes(tmp_path: Path) -> None:
    clips = read_target_clips(touch(tmp_path, "slow/1.wav", "fast/1.wav", "fast/2.wav"), "fan", "00")
    assert [clip.label for clip in clips] == ["target/fast", "target/fast", "target/slow"]


@pytest.mark.parametrize(
    ("names", "found"),
    [((), "no clips"), (("notes.txt", "a/b/c.wav"), "no clips"), (("a.wav", "fast/b.wav"), r"beside sub.*\(fast\)")],
)
def test_folders_that_say_nothing_clear_are_refused(tmp_path: Path, names: tuple[str, ...], found: str) -> None:
    with pytest.raises(DataError, match=found):
        read_target_clips(touch(tmp_path, *names), "fan", "00")


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        read_datasets([f"fan/00={tmp_path / 'nowhere'}"])


def test_target_clips_join_a_machine_of_another_data_set(tmp_path: Path) -> None:
    data = touch(tmp_path / "data", "fan/train/section_00_source_train_normal_0000_a.wav")
    clips = read_datasets([str(data), f"fan/00={touch(tmp_path / 'new', 'x.wav')}"])
    assert [(clip.unit, clip.domain) for clip in clips] == [("fan/00", "source"), ("fan/00", "target")]


def test_a_machine_and_section_before_the_equals_sign_is_no_path(tmp_path: Path) -> None:
    assert parse_dataset("real-fan/00=a/b") == ("real-fan/00", Path("a/b"))
    assert parse_dataset("fan/x=a/b") == ("", Path("fan/x=a/b"))
    existing = touch(tmp_path, "00=a/b.wav") / "00=a"
    assert parse_dataset(str(existing)) == ("", existing)
