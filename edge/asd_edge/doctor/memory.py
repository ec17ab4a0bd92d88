"""Memory that is free, and what the device swaps to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from asd_edge.doctor.device import Device
from asd_edge.doctor.finding import Finding, fault, ok, warning

# The daemon takes about 100 MB with the default bundle; a TensorRT build takes more, for seconds. [ours]
_TOO_LITTLE_MB = 64
_LITTLE_MB = 256


def check_memory(device: Device) -> Iterator[Finding]:
    """Yield memory and swap."""
    fields = {name: int(kb) for name, kb in re.findall(r"^(\w+):\s+(\d+) kB", device.read("/proc/meminfo") or "", re.M)}
    if not {"MemTotal", "MemAvailable"} <= fields.keys():
        yield ok("unknown", unseen="memory (/proc/meminfo cannot be read)")
        return
    available = fields["MemAvailable"] / 1e3
    found = f"{available:.0f} of {fields['MemTotal'] / 1e3:.0f} MB available, {_swap(device, fields)}"
    if available < _TOO_LITTLE_MB:
        yield fault(found, "End other programs: the kernel is about to end one by itself.")
    elif available < _LITTLE_MB:
        yield warning(found, "End other programs, or give it zram; keep engines from being built here.")
    else:
        yield ok(found)


def _swap(device: Device, fields: dict[str, int]) -> str:
    areas = [line.split()[0] for line in (device.read("/proc/swaps") or "").splitlines()[1:] if line.split()]
    if not areas:
        return "no swap"
    kinds = sorted({"zram" if Path(area).name.startswith("zram") else area for area in areas})
    used = (fields.get("SwapTotal", 0) - fields.get("SwapFree", 0)) / 1e3
    return f"swap {used:.0f} of {fields.get('SwapTotal', 0) / 1e3:.0f} MB used ({', '.join(kinds)})"
