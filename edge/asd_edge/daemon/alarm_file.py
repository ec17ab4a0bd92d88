"""How the alarm of every machine stands, on the disk: `<state_dir>/alarms.json` (docs/alarms.md)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from asd_edge.atomic import atomic_write
from asd_edge.errors import StateError
from asd_edge.events import AlarmChange, Suppression
from asd_edge.strict import Name, RefusalError, Strict, parse_versioned

FORMAT: Final = "asd-edge-alarms"
VERSION: Final = 1
SIZE_LIMIT = 1 << 20

_Moment = Annotated[float, Field(ge=-62_135_596_800.0, lt=253_402_300_800.0)]  # what can be written as a date


class _Alarm(Strict):
    """The last alarm of a machine, as it was announced last. `time` and `since` in UTC seconds."""

    active: bool
    time: _Moment
    since: _Moment
    score: float
    threshold: float
    condition: Annotated[str, Field(min_length=1)]
    severity: Annotated[int, Field(ge=1, le=1_000)]
    suppressed: Suppression | None

    @model_validator(mode="after")
    def _one_that_can_be(self) -> _Alarm:
        if self.suppressed is not None and not self.active:
            raise ValueError("an alarm that has ended is suppressed")
        return self


class _Document(Strict):
    format: Literal["asd-edge-alarms"] = FORMAT
    version: Literal[1] = VERSION
    machines: dict[Name, _Alarm]


class AlarmFile:
    """The file, and the one that it becomes when it is damaged: `alarms.json.damaged`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._damaged = path.with_name(f"{path.name}.damaged")

    def load(self) -> dict[str, AlarmChange]:
        """Return the last alarm of each machine; nothing without a file.

        Raises:
            StateError: it cannot be read or is damaged. It has been set aside, if the disk took that.
        """
        try:
            for leftover in self.path.parent.glob(f".{self.path.name}.*.tmp"):  # of a daemon that was killed
                leftover.unlink(missing_ok=True)
            with self.path.open("rb") as stream:
                data = stream.read(SIZE_LIMIT + 1)
            if len(data) > SIZE_LIMIT:
                raise RefusalError(f"more than {SIZE_LIMIT} bytes", f"at most {SIZE_LIMIT} bytes")
            document = parse_versioned(data, _Document, format=FORMAT, version=VERSION)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._set_aside(error.strerror or str(error), "a file that the daemon may read") from error
        except RefusalError as refusal:
            raise self._set_aside(refusal.found, refusal.expected) from None
        return {machine: AlarmChange(machine, **alarm.model_dump()) for machine, alarm in document.machines.items()}

    def save(self, alarms: Mapping[str, AlarmChange]) -> None:
        """Write the last alarm of each machine; it is on the disk when this returns.

        Raises:
            StateError: the disk does not take it; the file is as it was.
        """
        machines = {machine: _entry(alarm) for machine, alarm in sorted(alarms.items())}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.path) as stream:
                stream.write(_Document(machines=machines).model_dump_json(indent=1).encode() + b"\n")
        except OSError as error:
            raise StateError(
                f"Cannot write how alarms stand to {self.path}",
                found=error.strerror or str(error),
                expected="a state folder with room in it, that the daemon may write to",
                remedy="Make room on its disk or correct the folder's owner. Alarms are raised and ended all the same;"
                " after a restart the device would not know which of them stood.",
            ) from error

    def _set_aside(self, found: str, expected: str) -> StateError:
        try:
            self.path.replace(self._damaged)
            left = f"It is kept as {self._damaged.name}; remove that when you have seen it"
        except OSError as error:
            left = f"It could not be set aside ({error.strerror})"
        return StateError(
            f"How alarms stood is lost: {self.path}",
            found=found,
            expected=expected,
            remedy=f"{left}. An alarm that stood is raised anew if its sound goes on. Examine the disk.",
        )


def _entry(alarm: AlarmChange) -> _Alarm:
    return _Alarm.model_validate({name: getattr(alarm, name) for name in _Alarm.model_fields})
