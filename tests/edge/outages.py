"""Events for sinks, and what became of them."""

from __future__ import annotations

from typing import Any

from asd_edge.events import AlarmChange, WindowScore, WindowState
from asd_edge.sinks.payloads import DeviceReport, EngineReport
from asd_edge.sinks.topics import Topics

TOPICS = Topics("asd-edge", "box")
REPORT = DeviceReport("0.1.0", "0" * 64, EngineReport("onnxruntime", "fp32"), ())


def score(number: int) -> WindowScore:
    return WindowScore("fan", number, number + 1, float(number), WindowState.SCORED, -30.0, 0.1, 0.2, "factory")


def alarm(number: int, *, active: bool) -> AlarmChange:
    return AlarmChange("fan", float(number), active, float(number), 0.3, 0.2, "factory", 750)


def history(listener: Any) -> list[dict[str, Any]]:
    """Every event that came in a batch, in the order in which they came."""
    return [event for batch in listener.of("/history") for event in batch["events"]]
