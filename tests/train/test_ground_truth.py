"""The organisers' ground truth: what their names hide, in the tables of every year, and tables that do not agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from asd_edge.errors import DataError
from asd_train.data.clip import Clip
from asd_train.data.dcase import read_datasets
from tests.train.trees import by_path, facts, touch, write


def read(root: Path, *truths: Path, dataset: str = "{}") -> dict[str, Clip]:
    return by_path(read_datasets([dataset.format(root / "data")], ground_truth=truths), root / "data")


def test_2020_has_one_list_with_labels(tmp_path: Path) -> None:
    touch(
        tmp_path / "data", "fan/test/id_01_00000000.wav", "pump/test/id_01_00000000.wav", "fan/test/id_01_00000009.wav"
    )
    truth = write(
        tmp_path / "eval_data_list.csv",
        "fan",
        "id_01_00000000.wav,normal_id_01_00000098.wav,0",
        "pump",
        "id_01_00000000.wav,anomaly_id_01_00000064.wav,1",
    )
    found = read(tmp_path, truth)
    assert found["fan/test/id_01_00000000.wav"].anomalous is False
    assert found["pump/test/id_01_00000000.wav"].anomalous is True
    assert found["fan/test/id_01_00000009.wav"].anomalous is None  # the list says nothing of it


def test_2021_has_labels_in_a_file_for_each_domain(tmp_path: Path) -> None:
    names = [f"fan/{domain}_test/section_03_{domain}_test_0000.wav" for domain in ("source", "target")]
    touch(tmp_path / "data", *names)
    folder = tmp_path / "evaluator" / "ground_truth_data"
    write(folder / "ground_truth_fan_section_03_source_test.csv", "\ufeffsection_03_source_test_0000.wav,0")
    write(folder / "ground_truth_fan_section_03_target_test.csv", "section_03_target_test_0000.wav,1")
    found = read(tmp_path, tmp_path / "evaluator")
    assert [facts(found[name])[1:3] for name in names] == [("source", False), ("target", True)]


def evaluator(root: Path, machine: str, *, names: bool = True) -> Path:
    """Write the tables of 2023 and later: clip 0 a source normal, clip 1 a target anomaly."""
    for kind, zero, one in (
        ("data", "0", "1"),
        ("domain", "0", "1"),
        ("attributes", "section_00_source_test_normal_0007_vel_9", "section_00_target_test_anomaly_0003_ac_0.12"),
    ):
        if kind != "attributes" or names:
            table = root / f"ground_truth_{kind}" / f"ground_truth_{machine}_section_00_test.csv"
            write(table, f"section_00_0000.wav,{zero}", f"section_00_0001.wav,{one}")
    return root


@pytest.mark.parametrize("name", ["section_00_{}.wav", "section_00_test_{}.wav", "section_00_{}.npy"])
def test_2022_and_later_hide_domain_and_attributes_too(name: str, tmp_path: Path) -> None:
    names = [f"fan/test/{name.format(number)}" for number in ("0000", "0001")]
    touch(tmp_path / "data", *names)
    found = read(tmp_path, evaluator(tmp_path / "evaluator", "fan"), dataset="y23={}")
    assert [facts(found[name]) for name in names] == [
        ("test", "source", False, "vel_9", "mixture"),
        ("test", "target", True, "ac_0.12", "mixture"),
    ]
    assert {clip.machine for clip in found.values()} == {"y23-fan"}  # the organisers know no prefix


def test_2022_has_attributes_in_a_folder_for_each_machine(tmp_path: Path) -> None:
    touch(tmp_path / "data", "fan/test/section_00_0001.wav")
    folder = evaluator(tmp_path / "evaluator", "fan", names=False)
    before = "fan/test/section_00_target_test_anomaly_0003_vel_8_loc_H.wav"
    write(
        folder / "ground_truth_attributes" / "fan" / "attributes_00.csv",
        "file_name,d1p,d1v,file_name_with_full_attributes",
        f"fan/test/section_00_0001.wav,loc,H,{before}",
    )
    assert read(tmp_path, folder)["fan/test/section_00_0001.wav"].attributes == "vel_8_loc_H"


def test_2024_says_hidden_attributes_in_a_third_column(tmp_path: Path) -> None:
    touch(tmp_path / "data", "fan/test/section_00_0002.wav")
    stem = "section_00_target_test_normal_0002"
    table = tmp_path / "ground_truth_attributes" / "ground_truth_fan_section_00_test.csv"
    write(table, f"section_00_0002.wav,{stem}_noAttribute,{stem}_fl_0_nos_1.wav")
    found = read(tmp_path, tmp_path / "ground_truth_attributes")["fan/test/section_00_0002.wav"]
    assert facts(found)[1:4] == ("target", False, "fl_0_nos_1")


def test_a_name_from_before_may_leave_the_split_out(tmp_path: Path) -> None:
    touch(tmp_path / "data", "RoboticArm/test/section_00_0001.wav")
    truth = write(
        tmp_path / "eval_data_list_2024.csv",
        "RoboticArm",
        "section_00_0001.wav,section_00_target_normal_0091_weight35_BckgE.wav",
    )
    (found,) = read(tmp_path, truth).values()
    assert facts(found)[1:4] == ("target", False, "weight35_BckgE")


def test_numbers_count_and_a_table_of_names_that_contradicts_one_is_not_believed_at_all(tmp_path: Path) -> None:
    names = [f"ToyCar/test/section_00_000{number}.wav" for number in range(3)]
    touch(tmp_path / "data", *names, "fan/test/section_00_0000.wav")
    truth = evaluator(evaluator(tmp_path / "evaluator", "fan"), "ToyCar", names=False)
    write(
        tmp_path / "eval_data_list_2022.csv",
        "ToyCar",
        "section_00_0000.wav,section_00_source_test_anomaly_0001_car_A.wav",  # a normal one by the numbers
        "section_00_0001.wav,section_00_target_test_anomaly_0001_car_B.wav",
        "section_00_0002.wav,section_00_target_test_anomaly_0002_car_C.wav",
        "fan",
        "section_00_0000.wav,section_00_source_test_normal_0007_vel_9.wav",
    )
    found = read(tmp_path, truth, tmp_path / "eval_data_list_2022.csv")
    assert [facts(found[name])[1:4] for name in names] == [
        ("source", False, ""),
        ("target", True, ""),
        ("unknown", None, ""),
    ]
    assert found["fan/test/section_00_0000.wav"].attributes == "vel_9"  # another machine is another table


def test_what_a_clips_own_name_says_stays(tmp_path: Path) -> None:
    own = "fan/test/section_00_source_test_normal_0000_vel_1.wav"
    touch(tmp_path / "data", own, "fan/test/section_00_0001.wav")
    truth = evaluator(tmp_path / "evaluator", "fan")
    write(truth / "ground_truth_data" / "ground_truth_fan_section_99_test.csv", f"{Path(own).name},1")
    assert facts(read(tmp_path, truth)[own])[1:4] == ("source", False, "vel_1")


@pytest.mark.parametrize(
    ("table", "row", "message"),
    [
        ("ground_truth_data/ground_truth_fan_section_00_test.csv", "section_00_0000.wav,2", r"cannot be read.*wav,2"),
        (
            "ground_truth_data/ground_truth_fan_section_00_test.csv",
            "section_00_0000.wav,1",
            r"half.*ground_truth_domain",
        ),
        ("ground_truth_domain/ground_truth_fan_section_00_test.csv", "section_00_0000.wav,1", r"half.*its domain"),
        ("ground_truth_data/ground_truth_pump_section_00_test.csv", "section_00_0000.wav,1", r"not of these data sets"),
        ("labels.csv", "section_00_0000.wav,1", r"no ground truth.*eval_data_list"),
    ],
)
def test_a_ground_truth_that_cannot_serve_is_refused(table: str, row: str, message: str, tmp_path: Path) -> None:
    touch(tmp_path / "data", "fan/test/section_00_0000.wav")
    write(tmp_path / "truth" / table, row)
    with pytest.raises(DataError, match=f"(?s){message}"):
        read(tmp_path, tmp_path / "truth")


def test_years_that_say_different_things_of_one_clip_are_refused(tmp_path: Path) -> None:
    touch(tmp_path / "data", "fan/test/section_00_0000.wav")
    table = "ground_truth_data/ground_truth_fan_section_00_test.csv"
    for year, label in (("y23", "0"), ("y26", "1")):
        write(tmp_path / year / table, f"section_00_0000.wav,{label}")
    with pytest.raises(DataError, match=r"(?s)different things of section_00_0000 of the machine fan.*one year"):
        read(tmp_path, tmp_path / "y23", tmp_path / "y26")


def test_a_table_that_is_no_text_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "data", "fan/test/section_00_0000.wav")
    table = tmp_path / "ground_truth_data" / "ground_truth_fan_section_00_test.csv"
    table.parent.mkdir()
    table.write_bytes(b"\xff\xfe\x00section")
    with pytest.raises(DataError, match=r"(?s)cannot be read.*comma-separated"):
        read(tmp_path, table.parent)
