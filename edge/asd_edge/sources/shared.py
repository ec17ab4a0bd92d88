"""Which machines of a device file hear one ALSA device, and what they want of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from asd_edge.config import MachineTable
from asd_edge.errors import ConfigError, SourceError
from asd_edge.sources.options import read_alsa
from asd_edge.sources.shared_device import SharedDevice


class SharedDevices:
    """The ALSA devices of a device file that several machines name, each opened once for all of them.

    A device has the channels that its machines give (`alsa:NAME?channels=N`), or as many as the highest of their
    `channel` needs.

    Args:
        machines: all machines of the device file; those with other sources do not matter here.
        before: those of the device file before; a device that goes on as it was stays open.

    Raises:
        ConfigError: machines that want one device with different channels or rates.
    """

    def __init__(self, machines: Iterable[MachineTable], before: SharedDevices | None = None) -> None:
        self._sharing: dict[str, list[MachineTable]] = {}
        for machine in machines:
            if (name := _device_name(machine)) is not None:
                self._sharing.setdefault(name, []).append(machine)
        # A machine that has its device for itself reads it by itself: what it is late for waits in the pipe.
        self._devices = {name: _device(name, together) for name, together in self._sharing.items() if len(together) > 1}
        for name, device in self._devices.items():
            open_already = None if before is None else before._devices.get(name)
            if open_already is not None and open_already.channels == device.channels:
                self._devices[name] = open_already

    def device(self, machine: MachineTable) -> SharedDevice | None:
        """Return the device that a machine shares; None if it shares none, or has a source that cannot be read."""
        name = _device_name(machine)
        return None if name is None else self._devices.get(name)

    def others(self, machine: MachineTable) -> list[int]:
        """Return the channels of its device that are other machines'."""
        together = self._sharing.get(_device_name(machine) or "", [])
        return sorted({other.channel or 0 for other in together} - {machine.channel or 0})


def _device_name(machine: MachineTable) -> str | None:
    if not machine.source.startswith("alsa:"):
        return None
    with suppress(SourceError):  # who opens this machine's source will say it, and the others are heard
        return read_alsa(machine.source)[0] or None
    return None


def _device(name: str, machines: list[MachineTable]) -> SharedDevice:
    given = [machine for machine in machines if _channels(machine) is not None]
    channels = _agreed(name, given, "?channels", _channels, f"Write alsa:{name}?channels=N with the same N everywhere.")
    _agreed(
        name,
        machines,
        "source_rate",
        lambda machine: machine.source_rate,
        "Give each of them the same source_rate, or none.",
    )
    return SharedDevice(name, channels=channels or 1 + max(machine.channel or 0 for machine in machines))


def _channels(machine: MachineTable) -> int | None:
    return read_alsa(machine.source)[1]


def _agreed(
    name: str, machines: list[MachineTable], key: str, value_of: Callable[[MachineTable], int | None], remedy: str
) -> int | None:
    """Return the one value that all these machines have."""
    machines_with: dict[int | None, list[str]] = {}
    for machine in machines:
        machines_with.setdefault(value_of(machine), []).append(machine.id)
    if len(machines_with) > 1:
        raise ConfigError(
            f"The machines that share the microphone {name} do not want the same of it",
            found="; ".join(
                f"{'no ' + key if value is None else f'{key} = {value}'} ({', '.join(ids)})"
                for value, ids in machines_with.items()
            ),
            expected=f"one {key}, since the device is opened once for all of them",
            remedy=remedy,
        )
    return next(iter(machines_with), None)
