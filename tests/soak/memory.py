"""Resident memory and open files of the daemon with sixteen channels, over hours of sound heard as fast as it can."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import soundfile

from asd_edge.benchmark.throughput import noise
from tests.edge.device import write_device
from tests.edge.tiny_bundle import STREAMED, make_tiny_bundle
from tests.soak.load import RATE, Runner, tracebacks
from tests.soak.stage import stage

CHANNELS = 16
HOURS = {"tiny": 8.0, "default": 1.0}
_BEGINNING = 1 / 8  # of the sound, after which memory should not grow any more
_WINDOW = 1 / 16  # of the sound, whose median counts at the beginning and at the end
_PATIENCE_S = 4 * 3600.0


def run(*, seed: int, quick: bool) -> dict[str, Any]:
    """Hear hours with a light embedder, and one with the network that is shipped."""
    share = 1 / 40 if quick else 1.0
    return {bundle: _grow(bundle, hours * share) for bundle, hours in HOURS.items()} | {"seed": seed}


def _grow(bundle: str, hours: float) -> dict[str, Any]:
    samples: list[tuple[float, dict[str, float]]] = []  # seconds heard, figures
    with ExitStack() as stack:
        folder, broker, subscriber = stage(stack)
        path = Path("default")
        if bundle == "tiny":
            path = folder / "tiny.asd"
            make_tiny_bundle(path, **STREAMED)
        sound = _write_noise(folder / "noise.wav", hours * 3600.0)
        machines = (
            {"id": f"noise-{i:02}", "source": f"file:{sound}", "speed": 0.0, "factory": "fan/00"}
            for i in range(CHANNELS)
        )
        daemon = Runner(write_device(folder, path, broker.port, *machines), folder / "log")
        child = stack.enter_context(daemon.running())
        watched, began = psutil.Process(child.pid), time.monotonic()
        while child.poll() is None:
            if time.monotonic() - began > _PATIENCE_S:
                raise RuntimeError(f"{subscriber.heard_s(RATE)} s heard after {_PATIENCE_S:.0f} s")
            samples.append((subscriber.heard_s(RATE), _figures(watched)))
            time.sleep(1.0)
        if child.returncode != 0:
            raise RuntimeError(f"the daemon ended with {child.returncode}: {daemon.last_words()}")
        took, scores, exceptions = time.monotonic() - began, len(subscriber.ledger.received), tracebacks(daemon.log)
    return _growth([sample for sample in samples if sample[1]], hours) | {
        "channels": CHANNELS,
        "hours": hours,
        "seconds": took,
        "scores_received": scores,
        "exceptions_in_the_log": exceptions,
    }


def _figures(process: psutil.Process) -> dict[str, float]:
    try:
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        kib = {line.split()[0].rstrip(":"): int(line.split()[1]) for line in rollup.splitlines()[1:]}
        return {
            "resident_mb": kib["Rss"] * 1.024e-3,
            "anonymous_mb": kib["Anonymous"] * 1.024e-3,
            "files": process.num_fds(),
            "threads": process.num_threads(),
        }
    except (OSError, KeyError, psutil.Error):  # it has ended
        return {}


def _growth(samples: list[tuple[float, dict[str, float]]], hours: float) -> dict[str, Any]:
    """Compare the medians of a window after the beginning and of one at the end."""
    heard = hours * 3600.0
    figures: dict[str, Any] = {}
    for name in ("resident_mb", "anonymous_mb", "files", "threads"):
        early = median([f[name] for at, f in samples if _BEGINNING <= at / heard <= _BEGINNING + _WINDOW] or [0.0])
        late = median([f[name] for at, f in samples if at / heard >= 1.0 - _WINDOW] or [0.0])
        figures[name] = {
            "beginning": early,
            "end": late,
            "growth": late - early,
            "largest": max(f[name] for _, f in samples),
        }
    figures["samples"] = [
        [round(at), {k: round(v, 2) for k, v in f.items()}] for at, f in samples[:: max(1, len(samples) // 60)]
    ]
    return figures


def _write_noise(path: Path, seconds: float) -> Path:
    """Write noise that repeats itself every ten seconds: the same for all channels, which costs the same."""
    ten, left = noise(10.0, RATE), round(seconds * RATE)
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
        while left > 0:
            file.write(ten[:left])
            left -= len(ten)
    return path
