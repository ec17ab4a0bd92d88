"""Temperatures near their limits, and whether heat or the power supply has slowed the device down."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from asd_edge.doctor.device import Device, read_number, read_text
from asd_edge.doctor.finding import Finding, fault, ok, warning

_NEAR = 5.0  # °C [ours]: a fan that clogs closes such a gap within days
_COOL = "Give it air: clean the fan and the fins, keep it out of the sun, or choose a lower power mode."
# Counters of Orin's soctherm (hwmon soctherm_oc), as NVIDIA's developer guide of Jetson Linux 36 names them.
_ALARMS = {"oc1": "under-voltage", "oc2": "average over-current", "oc3": "over-current"}
_SLOWED = ("passive", "max")  # what a device does by itself at these limits; at the others it ends
_ENDS = ("hot", "critical", "crit")


@dataclass(frozen=True, slots=True)
class Limit:
    """A sensor and one of its limits, °C."""

    sensor: str
    now: float
    kind: str
    at: float

    @property
    def margin(self) -> float:
        """How far below the limit it is, °C."""
        return self.at - self.now


def check_temperature(device: Device) -> Iterator[Finding]:
    """Yield the sensor that is nearest to a limit, one for slowing down and one for the end."""
    zones, sensors = zone_temperatures(device), hwmon_temperatures(device)
    limits = [*_zone_limits(device, zones), *_hwmon_limits(device, sensors)]
    known = list(zones.values()) + list(sensors.values())
    if not known:
        yield ok("no sensor to be read", unseen="temperatures (this kernel tells none)")
        return
    hottest, where = max((now, name) for name, now in known)
    found = f"hottest {where} {hottest:.0f} °C"
    near = min(limits, key=lambda limit: limit.margin, default=None)
    if near is not None:
        found += f"; nearest to a limit {near.sensor} {near.now:.0f} of {near.at:.0f} °C ({near.kind})"
    ending = [limit for limit in limits if limit.kind in _ENDS and limit.margin <= _NEAR]
    if ending:
        yield fault(found, f"It will switch itself off. {_COOL}")
    elif near is not None and near.margin <= _NEAR:
        yield warning(found, _COOL)
    else:
        yield ok(found, unseen=None if limits else "limits (the sensors tell none)")


def zone_temperatures(device: Device) -> dict[Path, tuple[str, float]]:
    """Return name and °C of each thermal zone that answers; a zone of a part that is off does not."""
    return _temperatures(device.glob("/sys/class/thermal/thermal_zone*"), "type", "temp")


def _zone_limits(device: Device, zones: dict[Path, tuple[str, float]]) -> Iterator[Limit]:
    for zone, (name, now) in zones.items():
        for kind_file in zone.glob("trip_point_*_type"):
            kind = read_text(kind_file)
            at = read_number(kind_file.with_name(kind_file.name.replace("_type", "_temp")))
            # "active" trips only start a fan; 0 and below stand for none.
            if kind in _SLOWED + _ENDS and at is not None and at > 0:
                yield Limit(name, now, kind, at / 1000.0)


def hwmon_temperatures(device: Device) -> dict[Path, tuple[str, float]]:
    """Return name and °C of each temperature that hwmon has, by its path without `_input`."""
    found = {}
    for chip in device.glob("/sys/class/hwmon/hwmon*"):
        for reading in chip.glob("temp*_input"):
            sensor = reading.with_name(reading.name.removesuffix("_input"))
            if (now := read_number(reading)) is not None:
                label = read_text(sensor.with_name(f"{sensor.name}_label")) or sensor.name
                found[sensor] = (f"{read_text(chip / 'name') or chip.name} {label}", now / 1000.0)
    return found


def _hwmon_limits(device: Device, sensors: dict[Path, tuple[str, float]]) -> Iterator[Limit]:
    for sensor, (name, now) in sensors.items():
        for kind in ("max", "crit"):
            at = read_number(sensor.with_name(f"{sensor.name}_{kind}"))
            if at is not None and 0 < at < 200_000:  # some drivers write 2^31 − 1 or 65261850 for none
                yield Limit(name, now, kind, at / 1000.0)


def _temperatures(folders: list[Path], name_file: str, value_file: str) -> dict[Path, tuple[str, float]]:
    found = {}
    for folder in folders:
        now = read_number(folder / value_file)
        if now is not None and now > -100_000:  # Tegra's zones of parts that are off have answered −256 °C
            found[folder] = (read_text(folder / name_file) or folder.name, now / 1000.0)
    return found


def check_throttling(device: Device) -> Iterator[Finding]:
    """Yield whether something slows the processors now, or has since the start."""
    now = [
        f"{kind} slowed by {state} of {read_number(cooler / 'max_state')} steps"
        for cooler in device.glob("/sys/class/thermal/cooling_device*")
        if re.search("cpu|gpu|processor", kind := read_text(cooler / "type") or "", re.I)
        and "fan" not in kind
        and (state := read_number(cooler / "cur_state"))
        and state > 0  # intel_powerclamp says −1 when it rests
    ]
    alarms = [
        f"{_ALARMS.get(name := counter.name.removesuffix('_event_cnt'), name)} {count} times"
        for chip in device.glob("/sys/class/hwmon/hwmon*")
        if read_text(chip / "name") == "soctherm_oc"
        for counter in sorted(chip.glob("oc*_event_cnt"))
        if (count := read_number(counter))
    ]
    counters = device.glob("/sys/devices/system/cpu/cpu*/thermal_throttle/package_throttle_count")
    heat = max((read_number(counter) or 0 for counter in counters), default=0)
    if alarms:
        yield warning(
            f"slowed down for its power supply since the start: {', '.join(alarms)}",
            "Use the board's own power supply, or a lower power mode (nvpmodel).",
        )
    if heat:
        yield warning(f"the processor slowed down for heat {heat} times since the start", _COOL)
    if now:
        yield warning(f"slowed down now: {', '.join(now)}", _COOL)
    if not (alarms or heat or now):
        yield ok("none that the kernel tells of")
