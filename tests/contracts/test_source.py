"""The contract of `Source`, run over every kind: files, a watched folder, raw PCM, a microphone alone and shared, a
simulated machine."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import islice, pairwise
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from asd_edge.config import MachineTable
from asd_edge.sources.block import Block, Source
from asd_edge.sources.observer import NOBODY, Observer
from asd_edge.sources.open import open_machine, open_source
from asd_edge.sources.shared import SharedDevices
from asd_edge.sources.watched_folder import Bookmark
from tests.edge.virtual_microphone import virtual_microphone

RATE = 16_000
SOON_S = 3.0  # sources promise a tenth of a second, and one for a stubborn device; the rest is for a busy machine


def sound(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(5).uniform(-0.5, 0.5, count).astype(np.float32)


def pcm(count: int) -> NDArray[np.int16]:
    return (sound(count) * 32_767).astype(np.int16)


@contextmanager
def file_source(folder: Path, stalled: bool, observer: Observer = NOBODY, source_rate: int = RATE) -> Iterator[Source]:
    path = folder / "sound.wav"
    soundfile.write(path, sound(3 * source_rate), source_rate)
    yield open_source(
        f"file:{path}", rate=RATE, source_rate=source_rate, speed=1e-3 if stalled else 0.0, observer=observer
    )


@contextmanager
def resampled_file_source(folder: Path, stalled: bool, observer: Observer = NOBODY) -> Iterator[Source]:
    with file_source(folder, stalled, observer, source_rate=44_100) as source:
        yield source


@contextmanager
def folder_source(folder: Path, stalled: bool, observer: Observer = NOBODY) -> Iterator[Source]:
    bookmark = folder / "bookmark.json"
    watched = str(folder.absolute())
    bookmark.write_text(Bookmark(folder=watched, modified_ns=0, name="").model_dump_json())  # all that is there is new
    if not stalled:
        path = folder / "sound.wav"
        soundfile.write(path, sound(3 * RATE), RATE)
        os.utime(path, times=(time.time() + 3.0,) * 2)  # as if its capture began now
    with patch("asd_edge.sources.watched_folder._SETTLED_S", 0.0):
        yield open_source(f"folder:{folder}", rate=RATE, bookmark=bookmark, observer=observer)


@contextmanager
def simulated_source(folder: Path, stalled: bool, observer: Observer = NOBODY) -> Iterator[Source]:
    yield open_source("sim:fan?seed=1", rate=RATE, speed=1e-3 if stalled else 0.0, observer=observer)


@contextmanager
def fifo_source(folder: Path, stalled: bool, observer: Observer = NOBODY) -> Iterator[Source]:
    fifo, samples = folder / "fifo", folder / "sound.raw"
    os.mkfifo(fifo)
    pcm(3 * RATE).tofile(samples)
    send = "exec sleep 60" if stalled else f"exec cat '{samples}'"
    with subprocess.Popen(["sh", "-c", f"{send} > '{fifo}'"]) as sender:
        try:
            yield open_source(f"raw:{fifo}", rate=RATE, observer=observer)
        finally:
            sender.kill()


@contextmanager
def microphone_source(folder: Path, stalled: bool, observer: Observer = NOBODY) -> Iterator[Source]:
    with virtual_microphone(folder, None if stalled else pcm(20 * RATE)) as name:
        yield open_source(f"alsa:{name}", rate=RATE, observer=observer)


@contextmanager
def shared_source(folder: Path, stalled: bool, observer: Observer = NOBODY) -> Iterator[Source]:
    # Eight blocks, which a pipe holds at once; after its end a file would be silence at full speed.
    with virtual_microphone(folder, None) as name, (folder / "microphone.raw").open("r+b", buffering=0) as pipe:
        pipe.write(b"" if stalled else pcm(2 * RATE).tobytes())
        machine, other = (MachineTable(id=f"fan-{number}", source=f"alsa:{name}") for number in (1, 2))
        yield open_machine(machine, rate=RATE, shared=SharedDevices([machine, other]), observer=observer)


Maker = Callable[..., AbstractContextManager[Source]]
SOURCES: list[Maker] = [
    file_source,
    resampled_file_source,
    folder_source,
    simulated_source,
    fifo_source,
    microphone_source,
    shared_source,
]
LIVE: set[Maker] = {fifo_source, microphone_source, shared_source}
every_source = pytest.mark.parametrize("make", SOURCES, ids=lambda make: make.__name__)


@every_source
def test_blocks_follow_one_another_in_index_and_time(make: Maker, tmp_path: Path) -> None:
    with make(tmp_path, False) as source:
        before, before_monotonic = time.time(), time.monotonic()
        blocks, arrived = [], []
        for block in islice(source.blocks(), 8):
            assert before_monotonic <= block.arrived <= time.monotonic()
            blocks.append(block)
            arrived.append(time.time())
        source.close()
    assert source.rate == RATE
    assert len(blocks) == 8
    assert blocks[0].start == 0
    for block, following in pairwise(blocks):
        assert following.start == block.start + len(block.samples)
        assert following.arrived >= block.arrived
    for block, at in zip(blocks, arrived, strict=True):
        assert isinstance(block, Block)
        assert block.samples.dtype == np.float32
        assert block.samples.ndim == 1
        assert len(block.samples) > 0
        assert np.max(np.abs(block.samples)) <= 1.0
        if make in LIVE:  # these senders are faster than real time: the wall clock decides, within a second
            assert block.time + len(block.samples) / RATE == pytest.approx(at, abs=1.3)
        else:
            assert block.time == pytest.approx(blocks[0].time + block.start / RATE, abs=1e-5)
    assert np.std(np.concatenate([block.samples for block in blocks])) > 1e-3
    # A live source dates back to when its first block began.
    assert before - 0.5 <= blocks[0].time <= arrived[0]


@every_source
def test_close_from_another_thread_ends_a_source_that_waits(make: Maker, tmp_path: Path) -> None:
    with make(tmp_path, True) as source:
        ended = threading.Event()

        def listen() -> None:
            for _ in source.blocks():
                pass
            ended.set()

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        time.sleep(0.3)
        assert not ended.is_set()
        source.close()
        assert ended.wait(SOON_S)


@every_source
def test_who_waits_for_sound_is_heard_of(make: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for waits in ("folder", "pacing", "pcm", "shared_device"):
        monkeypatch.setattr(f"asd_edge.sources.{waits}.ROUND_S", 0.1)  # a second on a device
    rounds: list[float] = []
    with make(tmp_path, True, Observer(waiting=lambda: rounds.append(time.monotonic()))) as source:
        listener = threading.Thread(target=lambda: list(source.blocks()), daemon=True)
        listener.start()
        deadline = time.monotonic() + SOON_S
        while len(rounds) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        source.close()
        listener.join(SOON_S)
    assert not listener.is_alive()


@every_source
def test_close_between_blocks_ends_the_iteration(make: Maker, tmp_path: Path) -> None:
    with make(tmp_path, False) as source:
        blocks = source.blocks()
        next(blocks)
        source.close()
        # What had been read already may still come, nothing after it.
        assert len(list(blocks)) <= 1


@every_source
def test_a_source_closed_before_it_began_yields_nothing(make: Maker, tmp_path: Path) -> None:
    with make(tmp_path, False) as source:
        source.close()
        assert list(source.blocks()) == []


@every_source
def test_closing_twice_changes_nothing(make: Maker, tmp_path: Path) -> None:
    with make(tmp_path, False) as source:
        next(source.blocks())
        source.close()
        source.close()
