"""The newest of every machine, for whoever asks: its last window, and the alarm that stands."""

from __future__ import annotations

from asd_edge.events import AlarmChange, Event, WindowScore


class Newest:
    """Takes every event. Any thread may call anything: each entry is replaced as a whole."""

    def __init__(self) -> None:
        self._windows: dict[str, WindowScore] = {}
        self._alarms: dict[str, AlarmChange] = {}

    def take(self, event: Event) -> None:
        """Remember an event, if it is one of those."""
        if isinstance(event, WindowScore):
            self._windows[event.machine] = event
        elif isinstance(event, AlarmChange):
            self._alarms[event.machine] = event

    def window(self, machine: str) -> WindowScore | None:
        """Return the last window of a machine; None before the first."""
        return self._windows.get(machine)

    def alarm(self, machine: str) -> AlarmChange | None:
        """Return the alarm of a machine that stands; None when none does."""
        alarm = self._alarms.get(machine)
        return alarm if alarm is not None and alarm.active else None
