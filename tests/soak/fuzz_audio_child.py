"""The process that hears mutants: `python -m tests.soak.fuzz_audio_child FOLDER SEED FIRST STOP`.

It must end by itself, within its memory and time, and its last line says what became of the inputs. Whoever starts it
sees from `progress` which one killed it.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from asd_edge.config import MicrophoneTable
from asd_edge.detector import Detector
from asd_edge.errors import SourceError
from asd_edge.events import WindowScore
from asd_edge.pipeline import SegmentStreams
from asd_edge.scoring.decision import DecisionSpec
from asd_edge.sources import folder as folder_source
from asd_edge.sources import watched_folder
from asd_edge.sources.file import read_clip
from asd_edge.sources.health import MicrophoneHealth
from asd_edge.sources.observer import Observer
from asd_edge.sources.open import open_source
from asd_edge.sources.watched_folder import Bookmark
from tests.edge.sound import RATE, conditions_of, noise, pipeline
from tests.soak.audio_mutants import Input, Inputs

MEMORY = 512 << 20
"""Bytes of address space beyond what the process has when it begins: libsndfile's buffers and a second of 64 channels
are far below."""
CPU_S = 5.0
"""For one input."""


def main(folder: str, seed: str, first: str, stop: str) -> None:
    """Hear the inputs from `first` up to `stop`."""
    os.chdir(folder)
    logging.disable()
    watched_folder._SETTLED_S, folder_source.ROUND_S = 0.0, 0.0  # nothing comes any more
    inputs, hearer = Inputs(int(seed)), Hearer()
    for number in range(20):  # everything is imported and has its size then
        hearer.judge(inputs.make(-1 - number), number)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))
    most_s = int(time.process_time() + 60 + 0.5 * (int(stop) - int(first)))
    resource.setrlimit(resource.RLIMIT_CPU, (most_s, most_s))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    counts: Counter[str] = Counter()
    failures: list[str] = []
    slowest, held_mib = 0.0, _mib("VmRSS")
    for number in range(int(first), int(stop)):
        Path("progress").write_text(str(number))
        made = inputs.make(number)
        began = time.process_time()
        try:
            outcome = hearer.judge(made, number)
        except Exception as error:
            outcome = "failed"
            failures.append(f"{number} {made.kind}: {type(error).__name__}: {str(error)[:300]}")
        took = time.process_time() - began
        slowest = max(slowest, took)
        counts[f"{made.kind}: {outcome}"] += 1
        if took > CPU_S:
            failures.append(f"{number} {made.kind}: took {took:.1f} s")
    told = {"counts": counts, "failures": failures, "slowest_s": slowest, "peak_mib": _mib("VmHWM")}
    print(json.dumps(told | {"held_mib": held_mib}))


class Hearer:
    """Hears inputs as a machine of the daemon does."""

    def __init__(self) -> None:
        pipe = pipeline()
        self._streams = SegmentStreams(pipe)
        self._known = conditions_of(noise(10.0), threshold=0.5)

    def judge(self, made: Input, number: int) -> str:
        """Hear an input; return what became of it. Anything but a SourceError is raised."""
        path = Path(made.name)
        path.write_bytes(made.data)
        try:
            if number % 7 == 0 and path.suffix != ".pcm":
                return self._clip(path, made)
            return self._stream(path, made, watched=number % 3 == 0 and path.suffix in (".wav", ".flac"))
        except SourceError:
            return "refused"
        finally:
            path.unlink()

    def _clip(self, path: Path, made: Input) -> str:
        clip = read_clip(path, rate=RATE, channel=made.channel, source_rate=made.source_rate)
        assert clip.dtype == np.float32
        assert np.isfinite(clip).all()
        return "heard"

    def _stream(self, path: Path, made: Input, *, watched: bool) -> str:
        health = MicrophoneHealth(MicrophoneTable())
        detector = Detector("fuzz", self._streams, self._known, DecisionSpec(0.0, 0.0, 0.1))
        raw = path.suffix == ".pcm"
        scheme = "raw" if raw else "folder" if watched else "file"
        bookmark = Path("bookmark.json")
        bookmark.write_text(Bookmark(folder=str(Path.cwd()), modified_ns=0, name="").model_dump_json())
        source = open_source(
            f"{scheme}:{Path.cwd() if watched else path}",
            rate=RATE,
            channel=None if raw else made.channel,
            source_rate=made.source_rate,
            speed=1.0 if raw or watched else 0.0,
            bookmark=bookmark,
            observer=Observer(waiting=lambda: source.close(), health=health),  # once the folder has nothing more
        )
        heard = 0
        for block in source.blocks():
            assert np.isfinite(block.samples).all()
            heard += len(block.samples)
            for event in detector.process(block):
                assert not isinstance(event, WindowScore) or event.score is None or np.isfinite(event.score)
        detector.flush()
        json.dumps(health.report.faults)
        return "refused" if watched and health.report.warnings else "heard" if heard else "empty"


def _mib(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith(field))


if __name__ == "__main__":
    main(*sys.argv[1:])
