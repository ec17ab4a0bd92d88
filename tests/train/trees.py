"""Small data sets on disk, in the layouts of every year; only names matter, so the files are empty."""

from __future__ import annotations

from pathlib import Path

from asd_train.data.clip import Clip


def touch(root: Path, *names: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def write(path: Path, *lines: str, newline: str = "\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(newline.join((*lines, "")).encode())
    return path


def facts(clip: Clip) -> tuple[object, ...]:
    """What a test compares: split, domain, label as None, True or False, attributes, role."""
    return clip.split, clip.domain, clip.anomalous, clip.attributes, clip.role


def by_path(clips: list[Clip], root: Path) -> dict[str, Clip]:
    return {str(clip.path.relative_to(root)): clip for clip in clips}


YEARS: dict[int, dict[str, tuple[object, ...]]] = {
    # A development set and an evaluation set of each year: path -> unit, split, domain, anomalous, attributes, role.
    2020: {
        "dev_data/fan/train/normal_id_00_00000000.wav": ("fan/00", "train", "source", False, "", "mixture"),
        "dev_data/fan/test/normal_id_00_00000000.wav": ("fan/00", "test", "source", False, "", "mixture"),
        "dev_data/fan/test/anomaly_id_06_00000361.wav": ("fan/06", "test", "source", True, "", "mixture"),
        "dev_data/ToyConveyor/train/normal_id_01_00000999.wav": (
            *("ToyConveyor/01", "train", "source", False, "", "mixture"),
        ),
        "eval_data/fan/train/normal_id_05_00000000.wav": ("fan/05", "train", "source", False, "", "mixture"),
        "eval_data/fan/test/id_05_00000000.wav": ("fan/05", "test", "source", None, "", "mixture"),
    },
    2021: {
        "dev/valve/train/section_00_source_train_normal_0000_pat_00.wav": (
            *("valve/00", "train", "source", False, "pat_00", "mixture"),
        ),
        "dev/valve/train/section_02_target_train_normal_0002_pat_02.wav": (
            *("valve/02", "train", "target", False, "pat_02", "mixture"),
        ),
        "dev/valve/source_test/section_00_source_test_normal_0000.wav": (
            *("valve/00", "test", "source", False, "", "mixture"),
        ),
        "dev/valve/target_test/section_00_target_test_anomaly_0099.wav": (
            *("valve/00", "test", "target", True, "", "mixture"),
        ),
        "add/valve/train/section_03_source_train_normal_0000_pat_00.wav": (
            *("valve/03", "train", "source", False, "pat_00", "mixture"),
        ),
        "eval/valve/source_test/section_03_source_test_0000.wav": (
            *("valve/03", "test", "source", None, "", "mixture"),
        ),
        "eval/valve/target_test/section_03_target_test_0199.wav": (
            *("valve/03", "test", "target", None, "", "mixture"),
        ),
    },
    2022: {
        "dev_bearing/bearing/train/section_00_source_train_normal_0000_vel_9_loc_A.wav": (
            *("bearing/00", "train", "source", False, "vel_9_loc_A", "mixture"),
        ),
        "dev_bearing/bearing/test/section_02_target_test_anomaly_0049_vel_16_f-n_D.wav": (
            *("bearing/02", "test", "target", True, "vel_16_f-n_D", "mixture"),
        ),
        "eval_bearing/bearing/train/section_03_target_train_normal_0009_vel_1.wav": (
            *("bearing/03", "train", "target", False, "vel_1", "mixture"),
        ),
        "eval_bearing/bearing/test/section_03_0000.wav": ("bearing/03", "test", "unknown", None, "", "mixture"),
        "eval_bearing/bearing/test/section_04_test_0001.wav": ("bearing/04", "test", "unknown", None, "", "mixture"),
    },
    2023: {
        "dev_data/raw/slider/train/section_00_source_train_normal_0999_vel_730_ac_0.11.wav": (
            *("slider/00", "train", "source", False, "vel_730_ac_0.11", "mixture"),
        ),
        "dev_data/raw/gearbox/test/section_00_source_test_normal_0049_volt_1.5_wt_150.wav": (
            *("gearbox/00", "test", "source", False, "volt_1.5_wt_150", "mixture"),
        ),
        "eval_data/raw/ToyTank/train/section_00_source_train_normal_0000_car_C2_spd_34V_mic_1.wav": (
            *("ToyTank/00", "train", "source", False, "car_C2_spd_34V_mic_1", "mixture"),
        ),
        "eval_data/raw/ToyTank/test/section_00_0000.wav": ("ToyTank/00", "test", "unknown", None, "", "mixture"),
    },
    2024: {
        "gearbox/train/section_00_source_train_normal_0001_noAttribute.wav": (
            *("gearbox/00", "train", "source", False, "", "mixture"),
        ),
        "gearbox/test/section_00_target_test_anomaly_0050_noAttribute.wav": (
            *("gearbox/00", "test", "target", True, "", "mixture"),
        ),
        "BrushlessMotor/test/section_00_0200.wav": ("BrushlessMotor/00", "test", "unknown", None, "", "mixture"),
        "RoboticArm/train/section_00_source_train_normal_0000_weight10_BckgD.wav": (
            *("RoboticArm/00", "train", "source", False, "weight10_BckgD", "mixture"),
        ),
    },
    2025: {
        "fan/train/section_00_source_train_normal_0000_m-n_X_.wav": (
            *("fan/00", "train", "source", False, "m-n_X", "mixture"),
        ),
        "fan/train/section_00_source_train_normal_0001_.wav": ("fan/00", "train", "source", False, "", "mixture"),
        "fan/supplemental/section_00_machine_0001_.wav": (*("fan/00", "supplemental", "unknown", False, "", "clean"),),
        "fan/supplemental/section_00_noise_0001_.wav": ("fan/00", "supplemental", "unknown", None, "", "noise"),
        "fan/supplemental/section_00_source_supplemental_machine_0000_noAttribute.wav": (
            *("fan/00", "supplemental", "source", False, "", "clean"),
        ),
        "fan/supplemental/section_00_noise_supplemental_normal_0000.wav": (
            *("fan/00", "supplemental", "unknown", None, "", "noise"),
        ),
        "AutoTrash/test/section_00_0000.wav": ("AutoTrash/00", "test", "unknown", None, "", "mixture"),
    },
    2026: {
        "dev_data/raw/ToyCarEmu/train/section_00_source_train_normal_0989_.wav": (
            *("ToyCarEmu/00", "train", "source", False, "", "mixture"),
        ),
        "dev_data/raw/ToyCarEmu/test/section_00_target_test_anomaly_0049_.wav": (
            *("ToyCarEmu/00", "test", "target", True, "", "mixture"),
        ),
        "eval_data/raw/Sander/test/section_00_test_0199.wav": ("Sander/00", "test", "unknown", None, "", "mixture"),
    },
}
