"""Which clips make centres and which thresholds, wherever the data set lies, and what is refused before any work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

from asd_edge.errors import DataError
from asd_edge.scoring.backends.nearest_centre import NearestCentre
from asd_train.commission import MachineReference, commission
from asd_train.data.clip import Clip
from asd_train.data.dcase import read_dataset
from asd_train.labels import training_set
from asd_train.progress import Progress
from tests.edge.sound import RATE, noise, pipeline, tone
from tests.train.clips import clip


def recorded(root: Path, *clips: Clip) -> list[Clip]:
    """Give each clip a sound of its own: noise, and a tone that its attributes choose."""
    found = []
    for number, item in enumerate(clips):
        path = root / item.path
        path.parent.mkdir(parents=True, exist_ok=True)
        hertz = 500.0 + 400.0 * int(item.attributes.rpartition("_")[2])
        soundfile.write(path, noise(2.0, seed=number) + tone(2.0, hertz), RATE)
        found.append(replace(item, path=path))
    return found


def reference(clips: list[Clip], *held_out: str) -> MachineReference:
    progress = Progress(enabled=False)
    (only,) = commission(
        pipeline(), NearestCentre(), clips, held_out=held_out, quantile=0.99, channel=None, progress=progress
    )
    return only


SOURCE = [clip(number, attributes=f"spd_{number % 2}") for number in range(8)]


def test_held_out_clips_calibrate_and_make_no_centre_wherever_the_data_set_has_moved(tmp_path: Path) -> None:
    recorded(tmp_path / "here", *SOURCE)
    kept = training_set(read_dataset(tmp_path / "here"), held_out=0.25, seed=0).held_out
    assert len(kept) == 2
    (tmp_path / "here").rename(tmp_path / "there")
    moved = read_dataset(tmp_path / "there")
    (source,) = reference(moved, *(item.key for item in kept)).imprints
    windows_a_clip = 3  # six segments, windows of four
    assert source.calibration.count == 2 * windows_a_clip
    (everything,) = reference(moved).imprints
    assert everything.calibration.count == 8 * windows_a_clip  # each clip left out in turn


def test_a_run_whose_held_out_clips_are_all_gone_is_refused_before_any_clip_is_read() -> None:
    with pytest.raises(DataError, match=r"(?s)threshold of fan/00.*fan/00/0099\.wav.*trained on"):
        reference(SOURCE, "fan/00/0099.wav", "pump/00/0001.wav")


def test_data_without_training_normals_is_refused() -> None:
    others = [clip(0, split="test"), clip(1, anomalous=None), clip(2, split="supplemental")]
    with pytest.raises(DataError, match=r"(?s)no training normals.*--data"):
        reference(others)


def test_target_clips_that_all_differ_in_their_attributes_share_one_centre(tmp_path: Path) -> None:
    target = [clip(number, domain="target", attributes=f"spd_{number}") for number in range(10)]
    (imprint,) = reference(recorded(tmp_path, *target)).imprints
    assert imprint.labels == ("target/all",)
    assert imprint.condition.fitted["references"].shape == (1, 128)
    assert imprint.calibration.count == 10 * 3


def test_a_single_clip_keeps_its_label_beside_one_that_has_two(tmp_path: Path) -> None:
    target = [clip(number, domain="target", attributes=f"spd_{number // 2}") for number in range(3)]
    (imprint,) = reference(recorded(tmp_path, *target)).imprints
    assert imprint.labels == ("target/spd_0", "target/spd_1")


def test_one_target_clip_alone_is_refused_by_the_name_of_its_machine(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)fan/00.*8 source clips, 1 target clips.*at least two"):
        reference(recorded(tmp_path, *SOURCE, clip(0, domain="target")))
