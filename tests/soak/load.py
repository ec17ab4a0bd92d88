"""A device with machines that are heard faster than real time, so that scores and alarms come often."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from asd_edge.simulator import OperatingState
from tests.edge.device import ASD_EDGE, fan, write_device
from tests.edge.fan_bundle import NORMAL, make_fan_bundle

RATE = 16_000
OTHER = OperatingState(speed=1.25, load=0.9)
"""What the bundle has not heard: it alarms."""


def alarming_device(folder: Path, port: int, *, machines: int, speed: float, **mqtt: Any) -> Path:
    """Write a device whose machines go from normal to not and back, each at other moments."""
    bundle = folder / "fan.asd"
    make_fan_bundle(bundle)
    normal, other = fan(NORMAL, seed=1, seconds=40.0), fan(OTHER, seed=2, seconds=40.0)
    both = np.tile(np.concatenate([normal, other]), 60)  # 80 minutes: at ten times the speed a run of eight
    tables = []
    for number in range(machines):
        path = folder / f"{number}.wav"
        soundfile.write(path, np.roll(both, -number * 11 * RATE), RATE, "PCM_16")
        tables.append(
            {"id": f"fan-{number}", "source": f"file:{path}", "speed": speed, "factory": "fan/00"},
        )
    return write_device(folder, bundle, port, *tables, **mqtt)


class Runner:
    """`asd-edge run`, started as often as it is killed; its log goes on."""

    def __init__(self, device: Path, log: Path) -> None:
        self._device = device
        self.log = log
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        """Start it."""
        with self.log.open("ab") as log:
            self._child = subprocess.Popen([*ASD_EDGE, "run", "--config", str(self._device)], stderr=log)
        return self._child

    def kill(self) -> None:
        """Kill it as a loss of power would; one that has ended by itself is an error.

        Raises:
            RuntimeError: it had ended.
        """
        child = self._running()
        child.kill()
        child.wait()

    def stop(self, patience_s: float = 30.0) -> float:
        """Stop it as systemd would; return the seconds it took.

        Raises:
            RuntimeError: it had ended, or did not end cleanly.
        """
        child, began = self._running(), time.monotonic()
        child.terminate()
        if (code := child.wait(patience_s)) != 0:
            raise RuntimeError(f"it ended with {code}: {self.last_words()}")
        return time.monotonic() - began

    def last_words(self) -> str:
        """Return the end of its log."""
        return "\n".join(self.log.read_text("utf-8", errors="replace").strip().splitlines()[-8:])

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run it for a while; whatever is left is killed."""
        child = self.start()
        try:
            yield child
        finally:
            child.kill()
            child.wait()

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._child is not None
        if (code := self._child.poll()) is not None:
            raise RuntimeError(f"it had ended with {code}: {self.last_words()}")
        return self._child


def tracebacks(log: Path) -> int:
    """Return how many exceptions a log tells of: those that somebody caught and those of threads."""
    return log.read_text("utf-8", errors="replace").count("Traceback (most recent call last)")
