"""A watched folder: what is new, what is complete, what is remembered, and how its files are heard."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from asd_edge.config import MicrophoneTable
from asd_edge.errors import SourceError
from asd_edge.sources import watched_folder
from asd_edge.sources.block import Block, Source
from asd_edge.sources.file import read_clip
from asd_edge.sources.health import MicrophoneHealth
from asd_edge.sources.observer import Observer
from asd_edge.sources.open import open_source
from asd_edge.sources.watched_folder import Bookmark, WatchedFolder

RATE = 16_000
SETTLED_S = watched_folder._SETTLED_S


def put(folder: Path, name: str, *, at: float, size: int = 100) -> Path:
    """Leave a file that was written last at this second."""
    path = folder / name
    path.write_bytes(bytes(size))
    os.utime(path, times=(at, at))
    return path


def found(watched: WatchedFolder, now: float) -> list[str]:
    """What is complete once everything has had time to settle."""
    watched.look(now)
    return [file.name for file in watched.look(now + SETTLED_S)]


def hear(watched: WatchedFolder, now: float) -> list[str]:
    watched.look(now)
    files = watched.look(now + SETTLED_S)
    for file in files:
        watched.heard(file)
    return [file.name for file in files]


def test_what_was_there_before_is_not_heard_and_what_comes_is_heard_once_in_order(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watched = WatchedFolder(tmp_path, None)
    put(tmp_path, "old.wav", at=1000.0)
    assert found(watched, 0.0) == []
    assert f"1 file in {tmp_path} is there already and not heard" in caplog.text
    put(tmp_path, "b.wav", at=2001.0)
    put(tmp_path, "c.FLAC", at=2000.0)
    put(tmp_path, "a.wav", at=2001.0)
    for other in ("notes.txt", ".b.wav.Xy12", "part.wav.tmp", ".hidden.wav"):
        put(tmp_path, other, at=2000.0)
    (tmp_path / "folder.wav").mkdir()
    assert found(watched, 10.0) == ["c.FLAC", "a.wav", "b.wav"]
    assert found(watched, 20.0) == []


def test_a_file_that_grows_is_waited_for(tmp_path: Path) -> None:
    watched = WatchedFolder(tmp_path, None)
    assert found(watched, 0.0) == []
    for second in range(10):
        put(tmp_path, "a.wav", at=1000.0 + second, size=100 + second)
        assert watched.look(10.0 + second) == []
    assert watched.look(19.0 + SETTLED_S - 0.1) == []
    assert [file.name for file in watched.look(19.0 + SETTLED_S)] == ["a.wav"]


def test_a_recording_that_runs_at_the_start_is_heard_once_it_is_over(tmp_path: Path) -> None:
    put(tmp_path, "runs.wav", at=1000.0)
    watched = WatchedFolder(tmp_path, None)
    watched.look(0.0)
    put(tmp_path, "runs.wav", at=1003.0, size=200)
    watched.look(3.0)
    assert found(watched, 4.0) == ["runs.wav"]


def test_a_file_that_is_renamed_in_with_an_old_date_is_new(tmp_path: Path) -> None:
    watched = WatchedFolder(tmp_path, None)
    put(tmp_path, "first.wav", at=1000.0)
    hidden = put(tmp_path, ".transfer", at=10.0)
    assert found(watched, 0.0) == []
    hidden.rename(tmp_path / "second.wav")
    assert found(watched, 10.0) == ["second.wav"]


def test_a_file_that_goes_away_and_comes_back_is_heard_again(tmp_path: Path) -> None:
    watched = WatchedFolder(tmp_path, None)
    watched.look(0.0)
    put(tmp_path, "a.wav", at=1000.0)
    assert found(watched, 10.0) == ["a.wav"]
    (tmp_path / "a.wav").unlink()
    assert found(watched, 20.0) == []
    put(tmp_path, "a.wav", at=2000.0)
    assert found(watched, 30.0) == ["a.wav"]


def test_a_restart_goes_on_after_what_was_heard(tmp_path: Path) -> None:
    folder, bookmark = tmp_path / "in", tmp_path / "state" / "folder.json"
    folder.mkdir()
    put(folder, "before.wav", at=999.0)
    watched = WatchedFolder(folder, bookmark)
    assert hear(watched, 0.0) == []
    put(folder, "a.wav", at=1000.0)
    put(folder, "b.wav", at=1001.0)
    assert hear(watched, 10.0) == ["a.wav", "b.wav"]
    put(folder, "c.wav", at=1002.0)
    put(folder, "d.wav", at=1003.0)
    watched = WatchedFolder(folder, bookmark)
    watched.look(100.0)
    first, second = watched.look(100.0 + SETTLED_S)
    assert (first.name, second.name) == ("c.wav", "d.wav")
    watched.heard(first)  # and is killed while it hears the second
    assert hear(WatchedFolder(folder, bookmark), 200.0) == ["d.wav"]
    assert hear(WatchedFolder(folder, bookmark), 300.0) == []
    assert bookmark.stat().st_size < 1000


def test_an_empty_folder_is_remembered_too(tmp_path: Path) -> None:
    folder, bookmark = tmp_path / "in", tmp_path / "folder.json"
    folder.mkdir()
    assert hear(WatchedFolder(folder, bookmark), 0.0) == []
    put(folder, "while-nobody-listened.wav", at=1000.0)
    assert hear(WatchedFolder(folder, bookmark), 100.0) == ["while-nobody-listened.wav"]


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": "asd-edge-folder", "version": 2}', b"\xff" * 1000])
def test_a_damaged_bookmark_is_a_start_from_now(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    folder, bookmark = tmp_path / "in", tmp_path / "folder.json"
    folder.mkdir()
    bookmark.write_bytes(content)
    put(folder, "old.wav", at=1000.0)
    watched = WatchedFolder(folder, bookmark)
    assert hear(watched, 0.0) == []
    assert "cannot be used" in caplog.text
    put(folder, "new.wav", at=2000.0)
    assert hear(watched, 10.0) == ["new.wav"]
    assert Bookmark.model_validate_json(bookmark.read_bytes()).name == "new.wav"


def test_the_bookmark_of_another_folder_says_nothing(tmp_path: Path) -> None:
    bookmark = tmp_path / "folder.json"
    bookmark.write_text(Bookmark(folder="/somewhere/else", modified_ns=0, name="").model_dump_json())
    (tmp_path / "in").mkdir()
    put(tmp_path / "in", "old.wav", at=1000.0)
    assert hear(WatchedFolder(tmp_path / "in", bookmark), 0.0) == []


def test_a_file_dated_ahead_of_the_clock_makes_no_other_old(tmp_path: Path) -> None:
    bookmark, folder, now = tmp_path / "folder.json", tmp_path / "in", time.time()
    folder.mkdir()
    put(folder, "before.wav", at=now - 100.0)
    watched = WatchedFolder(folder, bookmark)
    assert hear(watched, 0.0) == []
    put(folder, "ahead.wav", at=now + 3600.0)
    assert hear(watched, 10.0) == ["ahead.wav"]
    put(folder, "meanwhile.wav", at=time.time() + 1.0)
    again = WatchedFolder(folder, bookmark)
    assert hear(again, 0.0) == ["meanwhile.wav", "ahead.wav"]  # that one twice, for nobody knows
    assert hear(again, 10.0) == []


def test_a_clock_that_is_set_back_while_it_listens_makes_no_file_old(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bookmark, folder, now = tmp_path / "folder.json", tmp_path / "in", time.time()
    folder.mkdir()
    watched = WatchedFolder(folder, bookmark)
    with patch.object(watched_folder, "time_ns", side_effect=lambda: time.time_ns() + 3600 * 10**9):
        assert hear(watched, 0.0) == []
        put(folder, "a.wav", at=now + 3500.0)
        assert hear(watched, 10.0) == ["a.wav"]
    put(folder, "b.wav", at=now - 20.0)
    assert hear(watched, 20.0) == ["b.wav"]
    assert "The clock was set back" in caplog.text
    put(folder, "c.wav", at=now - 10.0)
    assert hear(WatchedFolder(folder, bookmark), 0.0) == ["c.wav", "a.wav"]


def test_a_clock_that_was_set_back_while_nobody_listened_is_told_and_nothing_after_it_is_old(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bookmark, folder, now = tmp_path / "folder.json", tmp_path / "in", time.time()
    folder.mkdir()
    ahead = Bookmark(folder=str(folder), modified_ns=int((now + 3600.0) * 1e9), name="a.wav")
    bookmark.write_text(ahead.model_dump_json())
    put(folder, "meanwhile.wav", at=now - 100.0)
    watched = WatchedFolder(folder, bookmark)
    assert hear(watched, 0.0) == []
    assert "files that came while nobody listened are not heard" in caplog.text
    put(folder, "b.wav", at=time.time())
    assert hear(watched, 10.0) == ["b.wav"]
    assert hear(WatchedFolder(folder, bookmark), 20.0) == ["b.wav"]


def test_a_bookmark_that_cannot_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "in").mkdir()
    watched = WatchedFolder(tmp_path / "in", tmp_path / "file" / "folder.json")
    assert hear(watched, 0.0) == []
    put(tmp_path / "in", "new.wav", at=2000.0)
    assert hear(watched, 10.0) == ["new.wav"]
    assert "cannot be written" in caplog.text


def test_thousands_of_files_are_looked_at_only_when_the_folder_changes(tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / f"{number}.wav").touch()
    watched = WatchedFolder(tmp_path, None)
    assert found(watched, 0.0) == []
    with patch.object(watched_folder, "_sound_files", side_effect=watched_folder._sound_files) as scan:
        for second in range(10, 60):
            assert watched.look(float(second)) == []
        assert scan.call_count == 0
        with patch.object(watched_folder, "_look_at", side_effect=watched_folder._look_at) as look_at:
            put(tmp_path, "new.wav", at=1e9)
            assert found(watched, 60.0) == ["new.wav"]
        assert {call.args[1] for call in look_at.call_args_list} == {"new.wav"}


# As a source.


class Heard:
    """What a source in a folder gives, in a thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.health = MicrophoneHealth(MicrophoneTable())
        self.source: Source | None = None
        self.blocks: list[Block] = []
        self.error: SourceError | None = None
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def start(self, **settings: int) -> None:
        self.source = open_source(f"folder:{self.folder}", rate=RATE, observer=Observer(health=self.health), **settings)  # type: ignore[arg-type]
        self._thread.start()
        time.sleep(0.2)  # it has looked at what is there

    def _listen(self) -> None:
        assert self.source is not None
        try:
            self.blocks.extend(self.source.blocks())
        except SourceError as error:
            self.error = error

    def stop(self) -> None:
        if self.source is not None:
            self.source.close()
            self._thread.join(5.0)
            assert not self._thread.is_alive()

    def samples(self) -> NDArray[np.float32]:
        return np.concatenate([block.samples for block in self.blocks])

    def until(self, count: int) -> None:
        """Wait until so many samples were heard, then a little for more that should not come."""
        deadline = time.monotonic() + 10.0
        while sum(len(block.samples) for block in list(self.blocks)) < count:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.1)


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    """A folder that is listened to; its files settle, and looks follow each other, sooner than on a device."""
    monkeypatch.setattr("asd_edge.sources.watched_folder._SETTLED_S", 0.05)
    monkeypatch.setattr("asd_edge.sources.folder.ROUND_S", 0.02)
    folder = tmp_path / "in"
    folder.mkdir()
    made = Heard(folder)
    yield made
    made.stop()


def sound(seconds: float, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * RATE)).astype(np.float32)


def record(path: Path, samples: NDArray[np.float32], *, until: float, rate: int = RATE) -> None:
    """Write a recording aside, date it, and rename it in."""
    aside = path.with_name(f".{path.name}")
    soundfile.write(aside, samples, rate, "PCM_16", format=path.suffix[1:])
    os.utime(aside, times=(until, until))
    aside.rename(path)


def test_files_are_streams_of_their_own_at_the_time_of_their_capture(heard: Heard) -> None:
    record(heard.folder / "before.wav", sound(1.0, 9), until=5000.0)
    heard.start()
    now = 1_700_000_000.0
    record(heard.folder / "a.wav", sound(2.0, 1), until=now)
    heard.until(2 * RATE)
    record(heard.folder / "b.flac", sound(1.0, 2), until=now + 61.0)
    heard.until(3 * RATE)
    expected = np.concatenate([sound(2.0, 1), sound(1.0, 2)])
    np.testing.assert_allclose(heard.samples(), expected, atol=2**-15)
    assert heard.blocks[0].start == 0
    assert heard.blocks[0].time == pytest.approx(now - 2.0, abs=0.001)
    (gap,) = [
        (later.start - block.start - len(block.samples), later.time)
        for block, later in pairwise(heard.blocks)
        if later.start != block.start + len(block.samples)
    ]
    assert gap == (60 * RATE, pytest.approx(now + 60.0, abs=0.001))


def test_a_bad_file_is_reported_and_passed_over(heard: Heard, caplog: pytest.LogCaptureFixture) -> None:
    heard.start()
    (heard.folder / "bad.wav").write_bytes(b"no sound at all")
    deadline = time.monotonic() + 10.0
    while heard.health.report.warnings != ("unusable_file",):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert "bad.wav is not a sound file" in caplog.text
    assert "bad.wav is not a sound file; found: " in str(heard.health.report.trouble)
    record(heard.folder / "good.wav", sound(1.0, 1), until=time.time())
    heard.until(RATE)
    assert heard.health.report.warnings == ()
    assert caplog.text.count("is passed over") == 1


def test_sound_after_a_file_that_breaks_off_is_whole(heard: Heard) -> None:
    broken = sound(1.0, 1)
    broken[RATE // 2] = np.nan
    heard.start(source_rate=48_000)
    now = time.time()
    soundfile.write(heard.folder / ".a", np.repeat(broken, 3), 48_000, "FLOAT", format="WAV")
    (heard.folder / ".a").rename(heard.folder / "a.wav")
    time.sleep(0.5)
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * 48_000) / 48_000)
    record(heard.folder / "b.wav", tone.astype(np.float32), until=now, rate=48_000)
    heard.until(2 * RATE)
    alone = read_clip(heard.folder / "b.wav", rate=RATE, source_rate=48_000)
    # Blocks of another size: the same sums, possibly in another order.
    np.testing.assert_allclose(heard.samples()[-2 * RATE :], alone, atol=1e-6)


def test_a_muted_recorder_is_a_fault(heard: Heard) -> None:
    heard.start()
    record(heard.folder / "a.wav", np.zeros(4 * RATE, np.float32), until=time.time())
    heard.until(4 * RATE)
    assert heard.health.report.faults == ("silent",)
    assert heard.blocks[-1].faults == ("silent",)


def test_a_folder_that_goes_away_is_an_error(heard: Heard) -> None:
    heard.start()
    heard.folder.rmdir()
    deadline = time.monotonic() + 10.0
    while heard.error is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert "No such file or directory" in str(heard.error)


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, said in ((tmp_path / "none", "No such file"), (tmp_path / "file", "Not a directory")):
        with pytest.raises(SourceError, match=said):
            open_source(f"folder:{path}", rate=RATE)
    with pytest.raises(SourceError, match="has no speed to choose"):
        open_source(f"folder:{tmp_path}", rate=RATE, speed=2.0)
