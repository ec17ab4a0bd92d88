"""Where each payload goes: the topic tree of one device."""

from __future__ import annotations

from dataclasses import dataclass

from asd_edge.events import AlarmChange, Event, WindowScore


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one device.

    Args:
        prefix: first levels of every topic; may hold slashes (`plant/hall-3`).
        device: the device's id, one level.
    """

    prefix: str
    device: str

    @property
    def status(self) -> str:
        """Retained; the last will goes here too."""
        return f"{self.prefix}/{self.device}/status"

    @property
    def remote_request(self) -> str:
        """What the device listens to when remote enrollment is on."""
        return f"{self.prefix}/{self.device}/remote/request"

    @property
    def remote_response(self) -> str:
        """What it answers there; not retained."""
        return f"{self.prefix}/{self.device}/remote/response"

    @property
    def history(self) -> str:
        """Scores that could not be sent when they were made, many in a message; not retained."""
        return f"{self.prefix}/{self.device}/history"

    def of(self, machine: str, kind: str) -> str:
        """Return the topic of a machine's events of a kind: `score` (one message a window), `alarm` (retained: the
        alarm as it stands) or `event` (conditions change, drift is suspected)."""
        return f"{self.prefix}/{self.device}/{machine}/{kind}"


def kind_of(event: Event) -> str:
    """Return the last level of an event's topic."""
    if isinstance(event, WindowScore):
        return "score"
    return "alarm" if isinstance(event, AlarmChange) else "event"
