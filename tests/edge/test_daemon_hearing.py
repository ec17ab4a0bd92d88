"""A source through faults of its sound: what is opened afresh, and what is left alone."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_edge.config import MachineTable
from asd_edge.daemon.listening.hearing import Hearing
from asd_edge.sources.block import Block
from asd_edge.sources.shared import SharedDevices
from asd_edge.sources.watched_folder import WatchedFolder

RATE = 16_000
# Sound, then silence for longer than a microphone is left deaf: 2 s to the fault, 10 s to its renewal.
FALLING_SILENT = np.concatenate([np.random.default_rng(1).normal(0.0, 1000.0, 3 * RATE), np.zeros(14 * RATE)]).astype(
    "<i2"
)


@contextmanager
def hearing(source: str, state: Path) -> Iterator[Hearing]:
    machine = MachineTable(id="fan-1", source=source)
    made = Hearing(machine, rate=RATE, shared=SharedDevices([machine]), state=state, waiting=lambda: None)
    try:
        yield made
    finally:
        made.close()


def hear(made: Hearing, seconds: float) -> list[Block]:
    """What is heard of it without opening it again, up to so many seconds of sound."""
    blocks: list[Block] = []
    for block in made.blocks(0.25):
        blocks.append(block)
        if sum(len(block.samples) for block in blocks) >= seconds * RATE:
            break
    return blocks


def test_a_file_that_falls_silent_is_heard_to_its_end_and_so_is_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_edge.sources.watched_folder._SETTLED_S", 0.05)
    monkeypatch.setattr("asd_edge.sources.folder.ROUND_S", 0.02)
    folder, state = tmp_path / "in", tmp_path / "state"
    folder.mkdir()
    WatchedFolder(folder, state / "folder.json").look(0.0)  # it was watched before: what comes now is new
    for name in "ab":
        soundfile.write(folder / f"{name}.wav", FALLING_SILENT, RATE, "PCM_16")
    with hearing(f"folder:{folder}", state) as made:
        blocks = hear(made, 34.0)
        assert sum(len(block.samples) for block in blocks) == 2 * len(FALLING_SILENT)
        assert blocks[-1].faults == ("silent",)
        assert not made.renewing


def test_a_fifo_that_falls_silent_stays_open(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    sender = threading.Thread(target=lambda: fifo.write_bytes(FALLING_SILENT.tobytes()))
    sender.start()
    with hearing(f"raw:{fifo}", tmp_path) as made:
        blocks = hear(made, 17.0)
    sender.join(5.0)
    assert sum(len(block.samples) for block in blocks) == len(FALLING_SILENT)  # or the sender's pipe was broken
    assert blocks[-1].faults == ("silent",)
