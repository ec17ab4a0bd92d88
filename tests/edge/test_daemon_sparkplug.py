"""`asd-edge run` with JSON and Sparkplug at once: the same said twice, and an independent host that follows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asd_edge.simulator import OperatingState
from tests.edge.device import asd_edge, fan, write_clip, write_device
from tests.edge.fan_bundle import NORMAL, make_fan_bundle
from tests.edge.sparkplug_host import NpmHost
from tests.edge.sparkplug_listener import SparkplugListener

pytestmark = pytest.mark.once


def test_a_recording_is_heard_by_json_and_by_sparkplug(broker: Any, listen: Any, tmp_path: Path) -> None:
    make_fan_bundle(tmp_path / "fan.asd")
    other = OperatingState(speed=1.25, load=0.9)
    sound = [fan(NORMAL, seed=1, seconds=12), np.zeros(8 * 16_000, np.float32), fan(other, seed=2, seconds=22)]
    clip = write_clip(tmp_path / "clip.wav", np.concatenate(sound))
    machine = {"id": "fan-1", "source": f"file:{clip}", "speed": 0.0, "factory": "fan/00"}
    device = write_device(tmp_path, tmp_path / "fan.asd", broker.port, machine)
    with device.open("a") as file:
        file.write(f'[sparkplug]\nenabled = true\ngroup = "plant"\nport = {broker.port}\n')
    json, sparkplug, host = (
        listen(broker.port, "asd-edge/#"),
        SparkplugListener(broker.port),
        NpmHost(broker.port, "plant"),
    )
    try:
        run = asd_edge("run", "--config", device)
        assert run.returncode == 0, run.stderr
        json.wait("/status", lambda status: status["state"] == "offline")
        sparkplug.wait("NDEATH")
        known = host.report()
    finally:
        host.close()
        sparkplug.close()

    assert known["problems"] == []
    fan_1 = known["nodes"]["box"]["devices"]["fan-1"]
    assert not known["nodes"]["box"]["online"]
    assert not fan_1["online"]
    assert fan_1["tags"]["Alarm/Active"]["value"] is True
    told = [value for heard in sparkplug.of("DDATA") for past in (True, False) for value in scores(heard, past)]
    assert told == [score["score"] for score in json.of("/score") if score["score"] is not None]
    assert len(told) > 15
    assert fan_1["tags"]["Score"]["value"] in (told[-1], None)  # None if its end was told before the daemon's


def scores(heard: Any, historical: bool) -> list[float]:
    metrics = [m for m in heard.payload.metrics if m.name == "Score" and m.is_historical == historical]
    return [metric.double_value for metric in metrics if not metric.is_null]
