"""What the device runtime costs: start, memory, processor, front end.

    python -m tests.bench.runtime

Writes docs/benchmarks/runtime.json. Every speed stands beside the deviation from its reference.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
import soundfile

from asd_edge.dsp.front_end import FrontEnd, FrontEndSpec
from asd_edge.simulator import SimulatedMachine
from tests.bench.machine import machine

RESULTS = Path(__file__).parents[2] / "docs" / "benchmarks" / "runtime.json"
HEAVY = ("torch", "onnxruntime", "paho", "scipy", "scipy.signal", "pydantic")
LISTENING_S = 60.0


def main() -> None:
    """Measure everything and write the results."""
    results = {
        "machine": machine("numpy", "scipy", "onnxruntime", "pydantic", "paho-mqtt", "librosa"),
        "import": measure_import(),
        "first_score": measure_first_score(),
        "front_end": measure_front_end(),
        "daemon": measure_daemon(LISTENING_S),
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


def measure_import(runs: int = 11) -> dict[str, Any]:
    """Seconds of `import asd_edge` in a new interpreter, and what it loads."""
    code = "import time; t = time.perf_counter(); import asd_edge; print(time.perf_counter() - t)"
    seconds = [float(_python(code)) for _ in range(runs)]
    loaded = f"import sys, asd_edge; print([m for m in {HEAVY!r} if m in sys.modules])"
    return {
        "median_s": median(seconds),
        "worst_s": max(seconds),
        "heavy_modules_loaded": _python(loaded).strip(),
    }


def measure_first_score(runs: int = 11) -> dict[str, Any]:
    """Seconds from the start of `asd-edge score` on a file of ten seconds to its first line with a score."""
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "fan.wav"
        soundfile.write(clip, SimulatedMachine("fan", seed=1).render(160_000), 16_000)
        seconds = [_first_score(clip) for _ in range(runs)]
    return {"median_s": median(seconds), "worst_s": max(seconds)}


def _first_score(clip: Path) -> float:
    began = time.perf_counter()
    command = [sys.executable, "-m", "asd_edge.cli", "score", "--factory", "fan/00", "--json", str(clip)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONUNBUFFERED": "1"}) as process:
        assert process.stdout is not None
        assert b'"score"' in process.stdout.readline()
        return time.perf_counter() - began


def _python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def measure_front_end(blocks: int = 400) -> dict[str, Any]:
    """Microseconds a hop of the streaming front end, of the bare FFT and mel product, and of librosa."""
    import librosa

    spec = FrontEndSpec()
    samples = np.random.default_rng(0).normal(0, 0.1, 4000 * blocks // 4).astype(np.float32)
    hops = len(samples) // spec.hop
    front_end = FrontEnd(spec)

    def streamed() -> None:
        front_end.reset()
        for start in range(0, len(samples), 4000):  # a quarter of a second a block, as the daemon's sources give
            front_end.push(samples[start : start + 4000])

    frames = np.lib.stride_tricks.sliding_window_view(samples, spec.window)[:: spec.hop]
    window = np.hanning(spec.window + 1)[:-1].astype(np.float32)
    mel = spec.mel()
    spectrum = np.empty((8, spec.window // 2 + 1), np.complex64)

    def bare() -> None:
        for start in range(0, len(frames) - 7, 8):
            np.fft.rfft(frames[start : start + 8] * window, out=spectrum)
            np.log10(np.maximum((spectrum.real**2 + spectrum.imag**2) @ mel, spec.log_floor))

    def with_librosa() -> None:
        for start in range(0, len(frames) - 7, 8):
            part = samples[start * spec.hop : (start + 7) * spec.hop + spec.window]
            librosa.feature.melspectrogram(
                y=part, sr=16_000, n_fft=1024, hop_length=512, n_mels=128, center=False, fmax=8000
            )

    seconds = _interleaved({"streaming": streamed, "bare": bare, "librosa": with_librosa})
    reference = librosa.feature.melspectrogram(
        y=samples[:160_000].astype(np.float64),
        sr=16_000,
        n_fft=1024,
        hop_length=512,
        n_mels=128,
        center=False,
    )
    ours = FrontEnd(spec).push(samples[:160_000]).features.T
    deviation = float(np.max(np.abs(ours - 10 * np.log10(np.maximum(reference, spec.log_floor)))))
    micro = {name: 1e6 * value / hops for name, value in seconds.items()}
    return {
        "streaming_us_a_hop": micro["streaming"],
        "ratio_to_bare_fft_and_mel": micro["streaming"] / micro["bare"],
        "ratio_of_librosa_to_streaming": micro["librosa"] / micro["streaming"],
        "largest_deviation_from_librosa_float64_db": deviation,
    }


def _interleaved(subjects: dict[str, Callable[[], None]], rounds: int = 7) -> dict[str, float]:
    """Run the subjects in turn, so that a change in the machine's speed meets them all; return median seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    for round_number in range(rounds + 1):
        for name, subject in subjects.items():
            began = time.process_time()
            subject()
            if round_number:  # the first round warms caches
                seconds[name].append(time.process_time() - began)
    return {name: median(values) for name, values in seconds.items()}


def measure_daemon(seconds: float) -> dict[str, Any]:
    """Resident memory and processor share of `asd-edge run` on one channel in real time, default bundle."""

    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "device.toml"
        config.write_text(
            f'[device]\nid = "bench"\nstate_dir = "{folder}/state"\n'
            '[mqtt]\nhost = "127.0.0.1"\nport = 9\n'  # nobody answers: the daemon scores all the same
            '[[machines]]\nid = "fan"\nsource = "sim:fan?seed=1"\nfactory = "fan/00"\n'
        )
        daemon = subprocess.Popen(
            [sys.executable, "-m", "asd_edge.cli", "run", "--config", str(config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        process = psutil.Process(daemon.pid)
        try:
            time.sleep(15.0)  # windows full, allocations settled
            before, began = process.cpu_times(), time.monotonic()
            peak = 0
            while time.monotonic() - began < seconds:
                time.sleep(1.0)
                peak = max(peak, process.memory_info().rss)
            after = process.cpu_times()
            status = Path(f"/proc/{daemon.pid}/status").read_text().split()
            high_water_kib = int(status[status.index("VmHWM:") + 1])
            used = after.user + after.system - before.user - before.system
            share = used / (time.monotonic() - began)
            if daemon.poll() is not None:
                raise RuntimeError(f"the daemon ended with {daemon.returncode} while it was measured")
        finally:
            daemon.terminate()
            daemon.wait(20)
    return {
        "resident_mb": peak / 1e6,
        "high_water_mb": high_water_kib * 1024 / 1e6,
        "share_of_one_core": share,
        "source": "sim:fan in real time, simulated in the same process",
        "seconds": seconds,
    }


if __name__ == "__main__":
    main()
