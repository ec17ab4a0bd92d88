"""Plain folders of target clips: what makes a class, and how they join the data sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from asd_edge.errors import DataError
from asd_train.data.dcase import parse_dataset, read_datasets
from asd_train.data.plain import read_labelled_clips, read_target_clips
from tests.train.trees import by_path, touch


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


def test_normal_and_anomalous_clips_of_a_machine_train_and_test(tmp_path: Path) -> None:
    normals = [f"normal/{number:02d}.wav" for number in range(11)]
    touch(tmp_path, *normals, "abnormal/00.wav", "abnormal/01.flac", "notes.txt")
    found = by_path(read_datasets([f"press/07={tmp_path}"]), tmp_path)
    assert {clip.unit for clip in found.values()} == {"press/07"}
    assert {clip.domain for clip in found.values()} == {"source"}
    parts = {name: (clip.split, clip.anomalous) for name, clip in found.items()}
    expected = dict.fromkeys(normals[:9], ("train", False))  # a fifth of eleven, rounded down, is two
    expected |= dict.fromkeys(normals[9:], ("test", False))
    expected |= {"abnormal/00.wav": ("test", True), "abnormal/01.flac": ("test", True)}
    assert parts == expected


def test_conditions_and_kinds_of_fault_are_sub_folders_and_a_fifth_is_of_each(tmp_path: Path) -> None:
    names = [f"normal/{speed}/{speed}-{number}.wav" for speed in ("fast", "slow") for number in range(5)]
    clips = read_labelled_clips(touch(tmp_path, *names, "anomalous/belt/1.wav"), "press", "00")
    tests = [(clip.path.name, clip.label, clip.anomalous) for clip in clips if clip.split == "test"]
    assert tests == [
        ("fast-4.wav", "source/fast", False),
        ("slow-4.wav", "source/slow", False),
        ("1.wav", "source/belt", True),
    ]
    assert sum(clip.split == "train" for clip in clips) == 8


def test_too_few_normal_clips_for_a_fifth_all_train(tmp_path: Path) -> None:
    clips = read_labelled_clips(touch(tmp_path, *(f"normal/{number}.npy" for number in range(4))), "press", "00")
    assert {clip.split for clip in clips} == {"train"}


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("anomalous/1.wav",), "anomalous"),
        (("normal/1.wav", "anomalous/1.wav", "abnormal/1.wav"), "abnormal, anomalous, normal"),
        (("normal/1.wav", "2.wav"), r"2\.wav, normal"),
        (("normal/1.wav", "unsorted/2.wav"), "normal, unsorted"),
        (("normal/notes.txt",), "no clips"),
    ],
)
def test_labelled_folders_that_say_nothing_clear_are_refused(
    names: tuple[str, ...], found: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=found):
        read_datasets([f"press/00={touch(tmp_path, *names)}"])


def test_anomalous_clips_are_never_taken_for_clips_of_a_new_condition(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)target clips alone.*anomalous, normal"):
        read_target_clips(touch(tmp_path, "normal/1.wav", "anomalous/1.wav"), "fan", "00")


def test_training_clips_of_one_name_are_refused_for_a_run_could_not_tell_them_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)same name.*fast/1\.wav.*slow/1\.wav"):
        read_datasets([f"press/00={touch(tmp_path, 'normal/fast/1.wav', 'normal/slow/1.wav')}"])


def test_a_genuine_plain_folder_is_read(real_data: Path) -> None:
    clips = read_datasets([f"fan/00={real_data / 'fan_8ch'}"])
    assert [(clip.path.parent.name, clip.split, clip.anomalous) for clip in clips] == [
        *[("normal", "train", False)] * 4,
        ("normal", "test", False),
        *[("abnormal", "test", True)] * 5,
    ]
