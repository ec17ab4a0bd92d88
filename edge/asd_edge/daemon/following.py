"""Evidence as the device file has it: when that changes, another one takes over."""

from __future__ import annotations

from collections.abc import Callable

from asd_edge.config import DeviceConfig
from asd_edge.daemon.evidence import Evidence, EvidenceReport
from asd_edge.events import Event

_END_S = 2.0  # for a clip that is being recorded: it is written as it is


class FollowingEvidence:
    """The evidence of the device file in force.

    Args:
        config: the device.
        make: makes the evidence of a device file.
    """

    def __init__(self, config: DeviceConfig, make: Callable[[DeviceConfig], Evidence]) -> None:
        self._config, self._make = config, make
        self._evidence = make(config)

    @property
    def report(self) -> EvidenceReport:
        """How it does; any thread may ask."""
        return self._evidence.report

    def start(self) -> None:
        """Begin to write."""
        self._evidence.start()

    def stop(self, patience_s: float) -> None:
        """Write the rest, then end; return after `patience_s` at the latest."""
        self._evidence.stop(patience_s)

    def heard(self, event: Event) -> None:
        """Take what was said of a machine; returns at once, in any thread."""
        self._evidence.heard(event)

    def plan(self, config: DeviceConfig) -> Callable[[], None]:
        """Return what puts another device file in force."""

        def follow() -> None:
            if (config.evidence, config.machines) != (self._config.evidence, self._config.machines):
                before, self._evidence = self._evidence, self._make(config)
                before.stop(_END_S)
                self._evidence.start()
            self._config = config

        return follow
