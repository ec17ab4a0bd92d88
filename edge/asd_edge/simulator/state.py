"""What a simulated machine is told to do: speed, load, mounting and the fault it has."""

from __future__ import annotations

from dataclasses import dataclass

from asd_edge.errors import SourceError


@dataclass(frozen=True, slots=True)
class OperatingState:
    """One operating condition, with the fault the machine has in it.

    Attributes:
        speed: relative to the rated speed, 0 (stands still) to 2.
        load: 0 (idle running) to 1 (rated load); pressure for a pump or a valve, payload for a slider.
        mounting: one capital letter; each is another base, another place of the microphone.
        fault: a name of `FAULTS[kind]`, or None.
        severity: 0 (the fault cannot be heard) to 1 (blatant).

    Raises:
        SourceError: a value outside its range.
    """

    speed: float = 1.0
    load: float = 0.5
    mounting: str = "A"
    fault: str | None = None
    severity: float = 0.0

    def __post_init__(self) -> None:
        for name, highest in (("speed", 2.0), ("load", 1.0), ("severity", 1.0)):
            value = getattr(self, name)
            if not 0.0 <= value <= highest:
                raise SourceError(
                    f"A simulated machine cannot have this {name}",
                    found=f"{name} = {value}",
                    expected=f"a number between 0 and {highest:g}",
                    remedy=f"Give another {name}.",
                )
        if not (len(self.mounting) == 1 and "A" <= self.mounting <= "Z"):
            raise SourceError(
                "A simulated machine cannot have this mounting",
                found=f"mounting = {self.mounting!r}",
                expected="one capital letter, A to Z",
                remedy="Give another mounting.",
            )
