"""The DCASE layout: official names of several years, and errors that show what was found."""

from __future__ import annotations

from pathlib import Path

import pytest

from asd_edge.errors import DataError
from asd_train.data.dcase import parse_dataset, read_dataset, read_datasets
from tests.train.trees import touch


def test_names_say_section_domain_split_label_and_attributes(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "fan/train/section_01_source_train_normal_0040_m-n_X.wav",
        "fan/test/section_01_target_test_anomaly_0007_vel_730_ac_0.11.wav",
        "gearbox/train/section_00_target_train_normal_0001_noAttribute.wav",
        "slider/train/section_00_source_train_normal_0000_.wav",
        "fan/attributes_01.csv",
    )
    by_machine = {clip.path.name: clip for clip in read_dataset(tmp_path)}
    assert len(by_machine) == 4
    anomaly = by_machine["section_01_target_test_anomaly_0007_vel_730_ac_0.11.wav"]
    assert (anomaly.machine, anomaly.section, anomaly.domain, anomaly.split) == ("fan", "01", "target", "test")
    assert anomaly.anomalous
    assert anomaly.attributes == "vel_730_ac_0.11"
    normal = by_machine["section_01_source_train_normal_0040_m-n_X.wav"]
    assert (normal.unit, normal.label, normal.anomalous) == ("fan/01", "source/m-n_X", False)
    assert by_machine["section_00_source_train_normal_0000_.wav"].label == "source/all"


def test_a_prefix_keeps_two_machines_of_one_name_apart(tmp_path: Path) -> None:
    name = "fan/train/section_00_source_train_normal_0000_a.wav"
    one, two = touch(tmp_path / "one", name), touch(tmp_path / "two", name)
    with pytest.raises(DataError, match=r"(?s)fan/00.*prefix"):
        read_datasets([str(one), str(two)])
    clips = read_datasets([str(one), f"real={two}"])
    assert [clip.machine for clip in clips] == ["fan", "real-fan"]


@pytest.mark.parametrize(
    ("dataset", "prefix", "folder"),
    [
        ("DIR", "", "DIR"),
        ("real=DIR", "real", "DIR"),
        ("real=a=b/DIR", "real", "a=b/DIR"),
        ("runs/lr=0.1", "", "runs/lr=0.1"),  # a slash is in no prefix
        ("lr=0.1", "", "lr=0.1"),  # an existing folder
        ("real=lr=0.1", "real", "lr=0.1"),
    ],
)
def test_only_a_name_before_the_first_equals_sign_is_a_prefix(
    dataset: str, prefix: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lr=0.1").mkdir()
    assert parse_dataset(dataset) == (prefix, Path(folder))


@pytest.mark.parametrize(("machine", "prefix"), [("hall 3 fan", ""), ("Lüfter", ""), ("f" * 60, "real-")])
def test_a_machine_name_that_no_device_can_use_is_refused(machine: str, prefix: str, tmp_path: Path) -> None:
    touch(tmp_path, f"{machine}/train/section_00_source_train_normal_0000_a.wav")
    with pytest.raises(DataError, match=rf"(?s){prefix}{machine}.*Rename its folder"):
        read_dataset(tmp_path, prefix=prefix)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["clip.wav"], "clip.wav"),
        (["fan/normal/0.wav"], "fan"),
        (["fan/train/hello.wav"], "hello.wav"),
        ([], "an empty folder"),
    ],
)
def test_another_layout_is_refused_and_shown(tmp_path: Path, names: list[str], found: str) -> None:
    with pytest.raises(DataError, match=rf"(?s){found}.*section_00_source_train_normal"):
        read_dataset(touch(tmp_path, *names))


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        read_dataset(tmp_path / "nowhere")


def test_genuine_dcase_clips_are_read(real_data: Path) -> None:
    clips = read_dataset(real_data / "dcase2023_samples")
    assert len(clips) == 28
    assert {clip.machine for clip in clips} == {"ToyCar", "ToyTrain", "bearing", "fan", "gearbox", "slider", "valve"}
    assert {clip.label for clip in clips if clip.machine == "bearing" and clip.split == "train"} == {
        "source/vel_21_loc_A",
        "source/vel_16_loc_A",
    }
