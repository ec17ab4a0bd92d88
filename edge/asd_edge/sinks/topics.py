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

    def score(self, machine: str) -> str:
        """One message a window."""
        return f"{self.prefix}/{self.device}/{machine}/score"

    def alarm(self, machine: str) -> str:
        """Retained; the machine's alarm as it stands."""
        return f"{self.prefix}/{self.device}/{machine}/alarm"

    def event(self, machine: str) -> str:
        """One message whenever something else happens to the machine: conditions change, drift is suspected."""
        return f"{self.prefix}/{self.device}/{machine}/event"

    def of(self, event: Event) -> str:
        """Return the topic that an event is published on."""
        if isinstance(event, WindowScore):
            return self.score(event.machine)
        return self.alarm(event.machine) if isinstance(event, AlarmChange) else self.event(event.machine)
