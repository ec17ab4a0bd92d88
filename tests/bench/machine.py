"""What a figure depends on: the date, the processor and the versions."""

from __future__ import annotations

import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path

import psutil


def machine(*packages: str) -> dict[str, str]:
    """Return the date, the processor and the versions of Python and of these packages."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "date": date.today().isoformat(),
        "processor": f"{model}, {psutil.cpu_count()} cores",
        "python": platform.python_version(),
    } | {name: version(name) for name in packages}


def told(machine: dict[str, str]) -> str:
    """Return it as a line."""
    versions = ", ".join(f"{k} {v}" for k, v in machine.items() if k not in ("date", "processor", "python"))
    return f"{machine['date']}, {machine['processor']}, Python {machine['python']}, {versions}"
