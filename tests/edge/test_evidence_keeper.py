"""Room for a new clip is made by old ones, before it is written, and not for one that cannot come."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from asd_edge.config import EvidenceTable
from asd_edge.errors import StateError
from asd_edge.events import AlarmChange
from asd_edge.evidence.keeper import ClipKeeper
from asd_edge.evidence.recorded import Recorded
from asd_edge.evidence.store import ClipStore

MIB = 1 << 20
MOST = EvidenceTable.model_validate({"max_mib": 32})


class Sized(Recorded):
    """One whose files have a given size."""

    mib = 1

    def files(self) -> dict[str, bytes]:
        return {"sound.flac": bytes(self.mib * MIB)}


def recorded(machine: str = "fan") -> Sized:
    alarm = AlarmChange(machine, 1_000.0, True, 990.0, 0.9, 0.5, "a", 600)
    return Sized(alarm, np.zeros(16_000, np.int16), 16_000, 0, 0, 16_000, ())


@pytest.fixture
def keeper(tmp_path: Path) -> ClipKeeper:
    """One with a clip of 31.5 MiB."""
    keeper = ClipKeeper(MOST, "box", "b" * 64, tmp_path, lambda: None)
    _, path = keeper.keep(recorded())
    os.truncate(path / "sound.flac", 31 * MIB + MIB // 2)
    return ClipKeeper(MOST, "box", "b" * 64, tmp_path, lambda: None)


def test_the_oldest_goes_for_a_new_one(keeper: ClipKeeper, tmp_path: Path) -> None:
    manifest, path = keeper.keep(recorded("pump"))
    assert [(clip.id, clip.path) for clip in ClipStore(tmp_path).clips()] == [(manifest.id, path)]
    assert (keeper.count, keeper.size) == (1, sum(file.stat().st_size for file in path.iterdir()))


def test_room_is_made_before_a_clip_is_written(keeper: ClipKeeper, tmp_path: Path) -> None:
    (tmp_path / "evidence" / "pump").touch()  # where a folder should be: the new one cannot be written
    with pytest.raises(StateError, match="File exists"):
        keeper.keep(recorded("pump"))
    assert ClipStore(tmp_path).clips() == []


def test_nothing_goes_for_a_clip_that_is_larger_than_all_may_be(keeper: ClipKeeper, tmp_path: Path) -> None:
    large = recorded()
    object.__setattr__(large, "mib", 33)
    with pytest.raises(StateError, match="Raise evidence"):
        keeper.keep(large)
    assert len(ClipStore(tmp_path).clips()) == 1


def test_the_last_space_of_a_disk_is_not_a_clip_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = ClipKeeper(MOST.model_copy(update={"enabled": True}), "box", "b" * 64, tmp_path, lambda: None)
    monkeypatch.setattr("asd_edge.evidence.keeper._LEFT_FREE", 1 << 60)  # no disk has that
    for do in (lambda: keeper.keep(recorded()), keeper.tidy):
        with pytest.raises(StateError, match="nearly full"):
            do()
    assert ClipStore(tmp_path).clips() == []
    monkeypatch.undo()
    keeper.tidy()
    keeper.keep(recorded())
