"""What has happened in the demo so far, as it was seen over MQTT."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Point:
    """One published window: its end in seconds of sound, and what was said about it."""

    at_s: float
    score: float | None
    threshold: float | None
    condition: str | None

    @property
    def over(self) -> bool:
        """Whether the score is above its threshold."""
        return self.score is not None and self.threshold is not None and self.score > self.threshold


@dataclass
class Story:
    """Scores, alarms, chapters and the enrollment, in seconds of sound since the source began.

    `alarms`: [began, ended]; ended is None while an alarm stands. `chapters`: (began, label).
    """

    rate: int
    points: list[Point] = field(default_factory=list)
    alarms: list[tuple[float, float | None]] = field(default_factory=list)
    chapters: list[tuple[float, str]] = field(default_factory=list)
    enrolled_at_s: float | None = None
    received: int = 0

    @property
    def now_s(self) -> float:
        """Seconds of sound that have been scored."""
        return self.points[-1].at_s if self.points else 0.0

    @property
    def alarm(self) -> bool:
        """Whether an alarm stands."""
        return bool(self.alarms) and self.alarms[-1][1] is None

    def take_score(self, payload: dict[str, Any]) -> Point:
        """Add a score payload."""
        self.received += 1
        point = Point(payload["stop"] / self.rate, payload["score"], payload["threshold"], payload["condition"])
        self.points.append(point)
        return point

    def take_alarm(self, payload: dict[str, Any]) -> None:
        """Add an alarm payload. It follows the score of the window that changed it, so it belongs to now."""
        self.received += 1
        if payload["active"] and not self.alarm:
            self.alarms.append((self.now_s, None))
        elif not payload["active"] and self.alarm:
            self.alarms[-1] = (self.alarms[-1][0], self.now_s)
