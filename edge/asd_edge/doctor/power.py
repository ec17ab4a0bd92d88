"""Power mode and clock of the processor: a device that is told to be slow is slow."""

from __future__ import annotations

import re
from collections.abc import Iterator

from asd_edge.doctor.device import Device, read_number, read_text
from asd_edge.doctor.finding import Finding, ok, warning

# These drivers choose the frequency in the processor; with them "powersave" is the usual, dynamic governor.
_OWN_GOVERNOR = ("intel_pstate", "amd-pstate-epp", "amd_pstate_epp")


def check_power_mode(device: Device) -> Iterator[Finding]:
    """Yield the power mode: nvpmodel's on a Jetson, the firmware's platform profile elsewhere."""
    if (status := device.read("/var/lib/nvpmodel/status")) is not None:
        yield _nvpmodel(status, device.read("/etc/nvpmodel.conf") or "")
    elif (profile := device.read("/sys/firmware/acpi/platform_profile")) is not None:
        if profile in ("low-power", "quiet"):
            yield warning(f"platform profile {profile}", "powerprofilesctl set balanced, or the firmware's setup.")
        else:
            yield ok(f"platform profile {profile}")
    elif device.is_jetson:
        yield warning("nvpmodel has kept no power mode", "Set one: nvpmodel -q shows it, nvpmodel -m N sets it.")
    else:
        yield ok("this device has none to choose")


def _nvpmodel(status: str, settings: str) -> Finding:
    """Name the mode that /var/lib/nvpmodel/status numbers (`pmode:0002`) as /etc/nvpmodel.conf does."""
    number = re.search(r"pmode:0*(\d+)", status)
    if number is None:
        return warning(f"nvpmodel's status is {status[:40]!r}", "Set the power mode again: nvpmodel -m N.")
    names = dict(re.findall(r"^<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", settings, re.M))
    name = names.get(number[1])
    others = ", ".join(f"{key} {value}" for key, value in names.items() if key != number[1])
    if name is None:
        known = f"; /etc/nvpmodel.conf has {others}" if others else ""
        return warning(f"power mode {number[1]} without a name{known}", "Set a mode of this board: nvpmodel -m N.")
    return ok(f"{number[1]} {name}" + (f" (others: {others})" if others else ""))


def check_cpu(device: Device) -> Iterator[Finding]:
    """Yield cores, governor and highest clock."""
    online, present = (
        cores_in(device.read(f"/sys/devices/system/cpu/{which}") or "") for which in ("online", "present")
    )
    parts = [f"{online} of {present} cores on" if online < present else f"{online} cores"]
    policies = device.glob("/sys/devices/system/cpu/cpufreq/policy*")
    governors = sorted({text for policy in policies if (text := read_text(policy / "scaling_governor"))})
    drivers = {text for policy in policies if (text := read_text(policy / "scaling_driver"))}
    if governors:
        parts.append(f"governor {', '.join(governors)}")
    limits = [
        (limit, most)
        for policy in policies
        if (limit := read_number(policy / "scaling_max_freq")) and (most := read_number(policy / "cpuinfo_max_freq"))
    ]
    if limits:
        limit, most = min(limits)
        parts.append(f"up to {limit / 1e6:.2f} GHz" + (f" of {most / 1e6:.2f}" if limit < most else ""))
    found = ", ".join(parts)
    if "powersave" in governors and not drivers & set(_OWN_GOVERNOR):
        yield warning(
            f"{found}: the lowest clock, always",
            "Set another governor, like schedutil: cpupower frequency-set -g schedutil.",
        )
    else:
        yield ok(found, unseen=None if policies else "the governor (this kernel tells none)")


def cores_in(ranges: str) -> int:
    """Return how many cores a list like `0-3,6` has (Linux, cpu-lists)."""
    pairs = re.findall(r"(\d+)(?:-(\d+))?", ranges)
    return sum(int(last or first) - int(first) + 1 for first, last in pairs)
