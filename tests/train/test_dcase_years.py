"""The DCASE Task 2 data sets of every year, as the organisers lay them out."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from asd_edge.errors import DataError
from asd_edge.sources.file import read_clip
from asd_train.data.dcase import read_dataset, read_datasets
from asd_train.data.dcase2022 import parse_name
from tests.train.trees import YEARS, by_path, facts, touch, write


@pytest.mark.parametrize("year", YEARS)
def test_every_name_of_a_year_says_what_the_organisers_mean_by_it(year: int, tmp_path: Path) -> None:
    expected = YEARS[year]
    found = by_path(read_datasets([str(touch(tmp_path, *expected))]), tmp_path)
    assert {path: (clip.unit, *facts(clip)) for path, clip in found.items()} == expected


@pytest.mark.parametrize("year", [2020, 2021, 2022, 2023, 2026])  # their trees above have a folder for each set
def test_sets_given_one_by_one_are_the_same_as_in_one_folder(year: int, tmp_path: Path) -> None:
    together = read_datasets([str(touch(tmp_path, *YEARS[year]))])
    parts = sorted({name.split("/")[0] for name in YEARS[year]})
    assert sorted(read_datasets([str(tmp_path / part) for part in parts]), key=str) == sorted(together, key=str)


ATTRIBUTES = ["", "vel_9_loc_A", "car_C2_spd_34V_mic_1", "volt_1.5_wt_150", "vel_730_ac_0.11", "pat_01", "m-n_X"]


@given(
    section=st.integers(0, 99).map("{:02d}".format),
    domain=st.sampled_from(["source", "target"]),
    split=st.sampled_from(["train", "test"]),
    label=st.sampled_from(["normal", "anomaly"]),
    number=st.integers(0, 9999).map("{:04d}".format),
    attributes=st.sampled_from(ATTRIBUTES) | st.from_regex(r"[a-zA-Z0-9]+(?:[_.-][a-zA-Z0-9]+){0,5}", fullmatch=True),
    end=st.sampled_from(["", "_"]),
)
def test_a_name_made_of_its_parts_is_read_as_these_parts(
    section: str, domain: str, split: str, label: str, number: str, attributes: str, end: str
) -> None:
    stem = "_".join(part for part in ("section", section, domain, split, label, number, attributes) if part) + end
    named = parse_name(stem)
    assert named is not None
    assert (named.section, named.domain, named.split) == (section, domain, split)
    assert named.anomalous is (label == "anomaly")
    assert named.attributes == ("" if attributes == "noAttribute" else attributes)


def test_a_table_tells_the_attributes_that_a_name_hides_and_never_those_it_shows(tmp_path: Path) -> None:
    names = (
        "fan/train/section_00_source_train_normal_0000_.wav",
        "fan/train/section_00_source_train_normal_0001_noAttribute.wav",
        "fan/train/section_00_source_train_normal_0002_vel_9_loc_A.wav",
        "fan/train/section_00_source_train_normal_0003_.wav",
        "fan/test/section_00_test_0004.wav",
        "ToyCar/train/section_00_source_train_normal_0000_.wav",
    )
    touch(tmp_path, *names)
    write(
        tmp_path / "fan" / "attributes_00.csv",
        "file_name,d1p,d1v,d2p,d2v",
        f"{names[0]},vel,9,loc,B",
        f"{names[1]},vel,0.11,,",
        f"{names[2]},vel,9,,",
        f"{names[3]},noAttribute",
        "fan/test/section_00_0004.wav,vel,7,,",
        newline="\r\n",
    )
    write(  # without folder and suffix, as the toy machines of 2025 have it
        tmp_path / "ToyCar" / "attributes_00.csv", "file_name,d1p,d1v", "section_00_source_train_normal_0000_,car,A1"
    )
    found = by_path(read_dataset(tmp_path), tmp_path)
    attributes = ["vel_9_loc_B", "vel_0.11", "vel_9_loc_A", "", "vel_7", "car_A1"]
    assert [found[name].attributes for name in names] == attributes


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("fan/train/section_00_source_test_normal_0000_a.wav", ""),  # a test clip among the training clips
        ("fan/train/section_00_0000.wav", ""),  # nothing says that it is normal
        ("fan/train/section_00_normal_0000.wav", ""),  # ... or of which domain
        ("fan/test/section_00_source_train_normal_0000_a.wav", ""),
        ("fan/source_test/section_00_target_test_normal_0000.wav", ""),
        ("fan/supplemental/section_00_source_train_normal_0000.wav", ""),  # neither machine nor noise
        ("fan/test/normal_id_00_00000000.wav", "fan/train/section_00_source_train_normal_0000_a.wav"),
        ("fan/train/section_00_source_train_normal_0000_a.mp3", ""),
    ],
)
def test_a_clip_that_its_folder_contradicts_is_refused(name: str, other: str, tmp_path: Path) -> None:
    touch(tmp_path, "fan/train/section_00_source_train_normal_0009_a.wav", name, *filter(None, [other]))
    with pytest.raises(DataError, match=rf"(?s)cannot be read.*{Path(name).name}.*Rename the clip"):
        read_dataset(tmp_path)


def test_a_clip_that_is_there_as_sound_and_as_features_is_refused(tmp_path: Path) -> None:
    stem = "fan/train/section_00_source_train_normal_0000_a"
    with pytest.raises(DataError, match="is there twice"):
        read_dataset(touch(tmp_path, f"{stem}.wav", f"{stem}.npy"))


def test_hidden_files_and_other_folders_are_left_alone(tmp_path: Path) -> None:
    clip = "fan/train/section_00_source_train_normal_0000_a.WAV"
    touch(
        tmp_path, clip, "fan/train/.DS_Store", "fan/train/._x.wav", "README.md", "processed/features.bin", "fan/a.csv"
    )
    assert list(by_path(read_dataset(tmp_path), tmp_path)) == [clip]


def test_features_stand_in_the_place_of_sound(tmp_path: Path) -> None:
    (clip,) = read_dataset(touch(tmp_path, "fan/train/section_00_source_train_normal_0000_a.npy"))
    assert clip.is_features
    assert clip.attributes == "a"


def test_two_years_with_the_same_machines_are_told_apart_only_by_a_prefix(tmp_path: Path) -> None:
    clip = "fan/train/section_00_source_train_normal_0000_a.wav"
    touch(tmp_path, f"y22/{clip}", f"y23/{clip}")
    with pytest.raises(DataError, match=r"(?s)fan/00.*y22.*y23.*prefix"):
        read_dataset(tmp_path)
    assert [c.machine for c in read_datasets([f"y22={tmp_path}/y22", f"y23={tmp_path}/y23"])] == ["y22-fan", "y23-fan"]


def test_the_two_microphones_of_2026_are_channels_of_one_clip(tmp_path: Path) -> None:
    path = tmp_path / "fan" / "train" / "section_00_source_train_normal_0000_.wav"
    path.parent.mkdir(parents=True)
    near, far = np.full(1600, 0.5), np.full(1600, -0.25)
    soundfile.write(path, np.stack([near, far], axis=1), 16_000, subtype="FLOAT")
    (clip,) = read_dataset(tmp_path)
    for channel, sound in enumerate((near, far)):
        np.testing.assert_array_equal(read_clip(clip.path, rate=16_000, channel=channel), sound)


@pytest.mark.parametrize(
    ("names", "found", "remedy"),
    [
        (
            ["fan/normal/0.wav", "fan/abnormal/0.wav"],
            "fan/; the first clip is fan/abnormal/0.wav",
            "plain folder.*fan/00=",
        ),
        (["train/section_00_source_train_normal_0000_a.wav"], "train/", "one machine's folder.*around it"),
        (["normal_id_00_00000000.wav"], "normal_id_00", "names are those of DCASE Task 2 of 2020.*fan/train/normal_id"),
        (["fan/section_00_source_train_normal_0000_a.wav"], "fan/", "of 2022 and later.*fan/train/section_00"),
        (["monday/a.wav"], "monday/", "normal/ and anomalous/"),
        (["notes.txt"], "notes.txt; no clips", "one folder a machine"),
    ],
)
def test_a_wrong_layout_is_shown_beside_the_known_ones_with_what_to_do(
    names: list[str], found: str, remedy: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as error:
        read_dataset(touch(tmp_path, *names))
    assert found in error.value.found
    for year in ("2020", "2021", "2022 and later"):
        assert f"DCASE Task 2 of {year}: fan/" in error.value.expected
    assert re.search(remedy, error.value.remedy)


def test_genuine_flights_are_read(real_data: Path) -> None:
    clips = read_dataset(real_data / "flights")
    counts = {
        (split, domain): sum((c.split, c.domain) == (split, domain) for c in clips)
        for split in ("train", "test")
        for domain in ("source", "target")
    }
    assert counts == {("train", "source"): 60, ("train", "target"): 10, ("test", "source"): 87, ("test", "target"): 100}
    assert {c.label for c in clips} == {"source/mission_ccw-f8", "target/mission_cw-f8"}
