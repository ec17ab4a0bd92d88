"""A simulated machine as a source: commissioning, tests and the demo without a machine."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from asd_edge.errors import SourceError
from asd_edge.simulator import OperatingState, SimulatedMachine
from asd_edge.sources.block import Block
from asd_edge.sources.observer import NOBODY, Observer
from asd_edge.sources.options import Options, nearest
from asd_edge.sources.pacing import Pace
from asd_edge.sources.recorder import recorder

_STATE_TYPES: Mapping[str, tuple[type, ...]] = {
    "speed": (float, int),
    "load": (float, int),
    "mounting": (str,),
    "fault": (str, type(None)),
    "severity": (float, int),
}
OPTIONS = (*_STATE_TYPES, "seed", "unit", "snr_db", "control", "record")
"""What may stand behind the ? (docs/simulator.md)."""


class SimulatedSource:
    """A simulated machine, heard as if it ran now.

    Args:
        kind: one of the simulator's machines.
        state: what the machine does at first.
        seed: what happens by chance.
        unit: which copy of this kind of machine.
        snr_db: level of the machine above the factory; None for what is usual.
        control: a JSON file of a director, read again whenever it is replaced; its keys (speed, load,
            mounting, fault, severity) take the place of those in `state`.
        record: a WAV file that gets everything that was heard; None for none.
        rate: samples a second.
        speed: seconds of the machine in one of ours; 0 for as fast as possible.
        block_s: seconds of a block.
        observer: of what happens.

    Raises:
        SourceError: a machine, state or control file that cannot be used.
    """

    def __init__(
        self,
        kind: str,
        *,
        state: OperatingState,
        seed: int,
        unit: int,
        snr_db: float | None,
        control: Path | None,
        record: Path | None = None,
        rate: int,
        speed: float,
        block_s: float,
        observer: Observer = NOBODY,
    ) -> None:
        self.rate = rate
        self._record = record
        self._state = state
        self._control = control
        self._stamp: tuple[int, int, int] | None = None
        self._machine = SimulatedMachine(
            kind, seed=seed, state=self._order() or state, sample_rate=rate, snr_db=snr_db, unit=unit
        )
        self._size = max(1, round(block_s * rate))
        self._pace = Pace(speed, observer.waiting)

    def blocks(self) -> Iterator[Block]:
        """Yield blocks without end, each when its last sample is due.

        Raises:
            SourceError: the control file became unusable.
        """
        began = time.time()
        self._pace.start()
        start = 0
        with recorder(self._record, self.rate) as keep:
            while True:
                if order := self._order():
                    self._machine.state = order
                samples = self._machine.render(self._size)  # before it is due, so that it is not late
                if not self._pace.reach((start + self._size) / self.rate):
                    return
                keep(samples)
                yield Block(samples, start, began + start / self.rate)
                start += self._size

    def close(self) -> None:
        """End `blocks` at once, from any thread."""
        self._pace.close()

    def _order(self) -> OperatingState | None:
        """Return what the control file says, if it has changed."""
        if self._control is None:
            return None
        try:
            status = self._control.stat()
            stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
            if stamp == self._stamp:
                return None
            order = json.loads(self._control.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise self._unusable(str(error)) from None
        self._stamp = stamp
        return replace(self._state, **self._checked(order))

    def _checked(self, order: object) -> dict[str, Any]:
        if not isinstance(order, dict):
            raise self._unusable(f"JSON, but not an object: {order!r:.40}")
        for key, value in order.items():
            if key not in _STATE_TYPES:
                raise self._unusable(f"the unknown key {key!r}", nearest(key, _STATE_TYPES))
            if not isinstance(value, _STATE_TYPES[key]) or isinstance(value, bool):
                raise self._unusable(f"{key} = {json.dumps(value):.40}")
        return order

    def _unusable(self, found: str, expected: str | None = None) -> SourceError:
        return SourceError(
            f"The control file {self._control} of a simulated machine cannot be used",
            found=found,
            expected=expected or '{"speed": 1.0, "load": 0.5, "mounting": "A", "fault": null, "severity": 0}',
            remedy="Replace it as a whole: write another file, then rename it over this one.",
        )


def open_simulated(
    uri: str, kind: str, options: str, *, rate: int, speed: float, block_s: float, observer: Observer = NOBODY
) -> SimulatedSource:
    """Make the source of `sim:KIND?OPTIONS`; an option left out takes the simulator's default.

    Raises:
        SourceError: options, a machine, a state or a control file that cannot be used.
    """
    read = Options(uri, options, OPTIONS)
    given: dict[str, Any] = {
        "speed": read.number("speed", float),
        "load": read.number("load", float),
        "mounting": read.text("mounting"),
        "fault": read.text("fault"),
        "severity": read.number("severity", float),
    }
    control, record = read.text("control"), read.text("record")
    return SimulatedSource(
        kind,
        state=replace(OperatingState(), **{key: value for key, value in given.items() if value is not None}),
        seed=read.number("seed", int) or 0,
        unit=read.number("unit", int) or 0,
        snr_db=read.number("snr_db", float),
        control=None if control is None else Path(control),
        record=None if record is None else Path(record),
        rate=rate,
        speed=speed,
        block_s=block_s,
        observer=observer,
    )
