"""`asd-edge run` with sixteen channels, seen from outside: its memory as it runs on, and how late its scores are."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
import soundfile

from asd_edge.benchmark.throughput import noise
from asd_edge.bundle.archive import write_bundle
from asd_edge.bundle.fields import SegmentFields, WindowFields
from asd_edge.bundle.graphs import Graphs, StreamGraph
from asd_edge.bundle.variants import FactoryCondition, FactoryMachine
from asd_export.graph import OPSET
from tests.bench.networks import FRONT_END, Made
from tests.edge.broker import Broker, Listener
from tests.edge.device import ASD_EDGE, write_device
from tests.edge.tiny_bundle import CALIBRATION, tiny_description, tiny_golden

CHANNELS = 16
FRAMES = 1_000_000
BEGINNING = 100_000
"""Frames after which memory should not grow any more."""
_PATIENCE_S = 600.0


class TimedListener(Listener):
    """Notes in every message when it came."""

    def _keep(self, client: Any, userdata: Any, message: Any) -> None:
        now = time.time()
        super()._keep(client, userdata, message)
        self.messages[-1][1]["arrived"] = now

    def frames(self) -> int:
        """Return how many frames the scores so far have covered, of all machines together."""
        newest: dict[str, int] = {score["machine"]: score["stop"] for score in self.of("/score")}
        return sum(newest.values()) // FRONT_END.hop


def memory(bundle: str = "default", frames: int = FRAMES) -> dict[str, Any]:
    """Resident memory of the daemon while it scores a million frames as fast as it can, MB."""
    seconds = frames / CHANNELS * FRONT_END.hop / FRONT_END.sample_rate
    sampled: list[tuple[int, float]] = []  # frames scored, MB
    with _running(bundle, "fan/00", seconds=seconds, speed=0.0) as (process, heard):
        watched = psutil.Process(process.pid)
        deadline = time.monotonic() + _PATIENCE_S
        while process.poll() is None:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{heard.frames()} of {frames} frames scored after {_PATIENCE_S:.0f} s")
            if resident := watched.memory_info().rss:  # none once it has ended and is not waited for
                sampled.append((heard.frames(), resident / 1e6))
            time.sleep(0.5)
        scored, messages = heard.frames(), len(heard.of("/score"))
        status = heard.of("/status")[-1]
    if process.returncode != 0:
        raise RuntimeError(f"the daemon ended with {process.returncode}: {status}")
    early = [mb for at, mb in sampled if 1.0 <= at / BEGINNING <= 1.5]
    late = [mb for at, mb in sampled if at >= frames - BEGINNING / 2]
    return {
        "channels": CHANNELS,
        "frames_scored": scored,
        "scores_received": messages,
        "scores_dropped": status["messages"]["dropped"],
        "largest_mb": max(mb for _, mb in sampled),
        "after_the_beginning_mb": median(early),
        "at_the_end_mb": median(late),
        "growth_mb": median(late) - median(early),
        "samples": [[at, round(mb, 3)] for at, mb in sampled[:: max(1, len(sampled) // 40)]],
    }


def latency(made: Made, seconds: float = 40.0) -> dict[str, Any]:
    """How late scores are through daemon and broker, in real time, seconds."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "noise.asd"
        _write(made, bundle)
        with _running(str(bundle), "noise/00", seconds=seconds, speed=1.0) as (process, heard):
            if process.wait(seconds + 60.0) != 0:
                raise RuntimeError(f"the daemon ended with {process.returncode}")
            scores = heard.of("/score")
    received = [score["arrived"] - _seconds(score["time"]) for score in scores]
    sent = [score["delay_s"] for score in scores]
    context = made.stream.reach * FRONT_END.hop / FRONT_END.sample_rate
    return {
        "channels": CHANNELS,
        "scores": len(scores),
        "context_s": context,
        "received_s": _percentiles(received),
        "delay_s": _percentiles(sent),
    }


def _seconds(utc: str) -> float:
    return datetime.fromisoformat(utc.replace("Z", "+00:00")).timestamp()


def _percentiles(values: list[float]) -> dict[str, float]:
    return {f"p{share}": float(np.percentile(values, share)) for share in (50, 99)} | {"worst": max(values)}


@contextmanager
def _running(
    bundle: str, factory: str, *, seconds: float, speed: float
) -> Iterator[tuple[subprocess.Popen[bytes], TimedListener]]:
    """Run the daemon on so many seconds of noise a channel, with a real broker and a subscriber."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sound = _write_noise(folder / "noise.wav", seconds)
        machine = {"source": f"file:{sound}", "speed": speed, "factory": factory}
        broker = Broker(folder)
        broker.start()
        heard = TimedListener(broker.port)
        machines = ({"id": f"noise-{i:02}"} | machine for i in range(CHANNELS))
        config = write_device(folder, Path(bundle), broker.port, *machines)
        process = subprocess.Popen([*ASD_EDGE, "run", "--config", str(config)], stderr=subprocess.DEVNULL)
        try:
            yield process, heard
        finally:
            process.kill()
            process.wait()
            heard.close()
            broker.stop()


def _write_noise(path: Path, seconds: float) -> Path:
    """Write noise that repeats itself every ten seconds: the same for all channels, which costs the same."""
    rate = FRONT_END.sample_rate
    ten, left = noise(10.0, rate), round(seconds * rate)
    with soundfile.SoundFile(path, "w", rate, 1, "PCM_16") as file:
        while left > 0:
            file.write(ten[:left])
            left -= len(ten)
    return path


def _write(made: Made, path: Path) -> None:
    """Write a bundle that has a centre for noise."""
    pipeline, stream = made.pipeline(), made.stream
    dims = made.network.dims
    condition = FactoryCondition(
        name="source",
        arrays={"references": (1, dims)},
        labels=("source/noise",),
        threshold=1.9,
        calibration=CALIBRATION,
    )
    graph = StreamGraph.of(
        stream.tensors, bands=FRONT_END.bands, pooled=stream.pooled, dims=dims, reach=stream.reach, opset=OPSET
    )
    description = tiny_description(
        name="noise",
        segment=SegmentFields.of(pipeline.segment),
        window=WindowFields.of(pipeline.window),
        embedder="stream",
        graphs=Graphs(segment=None, stream=graph),
        machines=(FactoryMachine(machine="noise", section="00", idle_floor=0.0, conditions=(condition,)),),
    )
    arrays = {"mel": FRONT_END.mel(), "conditions": np.ones(dims, np.float32)}
    graphs = {"stream.fp32.onnx": stream.stream, "head.fp32.onnx": stream.head}
    write_bundle(path, description, graphs=graphs, arrays=arrays, golden=tiny_golden(description, graphs))
