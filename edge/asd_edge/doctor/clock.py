"""The device's clock: scores carry its time, and certificates are judged by it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from time import time

from asd_edge.doctor.device import Device, read_number, read_text
from asd_edge.doctor.finding import Finding, fault, ok, warning

_STA_UNSYNC = 0x0040  # <linux/timex.h>
_TIME_ERROR = 5
_NOT_BEFORE = 2025  # this program is younger
_RTC_OFF_S = 60.0  # what TLS and the order of events bear between a start and the first answer of NTP [ours]
_SET = "Let something set it: timedatectl set-ntp true, or chrony with the plant's own server."


@dataclass(frozen=True, slots=True)
class Kernel:
    """What adjtimex(2) tells: is the clock kept by something, and how far off it may be, seconds."""

    synchronised: bool
    error_s: float


def check_clock(device: Device) -> Iterator[Finding]:
    """Yield whether the clock is right, as far as the device can know."""
    yield judge_clock(time(), kernel_clock(), hardware_clocks(device), zone(device))


def judge_clock(now: float, kernel: Kernel | None, hardware: dict[str, float], zone_name: str) -> Finding:
    """Say whether the time can be right.

    Args:
        now: UTC seconds.
        kernel: what the kernel says of its clock; None when it is not asked.
        hardware: UTC seconds of each hardware clock.
        zone_name: time zone of the device; events are in UTC in any.
    """
    moment = datetime.fromtimestamp(now, timezone.utc)
    off = {name: seconds - now for name, seconds in hardware.items()}
    # One that is right is enough: a Jetson has two, of which often only one has a battery.
    best = min(off.items(), key=lambda item: abs(item[1]), default=None)
    parts = [f"{moment:%Y-%m-%d %H:%M:%S} UTC, zone {zone_name}"]
    if best is not None:
        parts.append(f"hardware clock {best[0]} {best[1]:+.0f} s")
    unseen = None if kernel is not None else "whether something sets the clock (adjtimex is not allowed here)"
    if moment.year < _NOT_BEFORE:
        return fault(", ".join(parts), f"The clock is wrong, and TLS fails with it. {_SET}", unseen=unseen)
    if kernel is not None:
        parts.append(f"set to within {1e3 * kernel.error_s:.0f} ms" if kernel.synchronised else "not synchronised")
        if not kernel.synchronised:
            return warning(", ".join(parts), _SET)
    if best is not None and abs(best[1]) > _RTC_OFF_S:
        return warning(
            ", ".join(parts),
            "The device starts with that time: hwclock --systohc sets it; if it is wrong again, change the battery.",
            unseen=unseen,
        )
    return ok(", ".join(parts), unseen=unseen)


class Timex(ctypes.Structure):
    """struct timex of 64-bit Linux; `state` is what adjtimex returns."""

    state: int

    _fields_ = (
        ("modes", ctypes.c_uint),
        *((name, ctypes.c_long) for name in ("offset", "freq", "maxerror", "esterror")),
        ("status", ctypes.c_int),
        *((name, ctypes.c_long) for name in ("constant", "precision", "tolerance", "seconds", "micros", "tick")),
        *((name, ctypes.c_long) for name in ("ppsfreq", "jitter")),
        ("shift", ctypes.c_int),
        *((name, ctypes.c_long) for name in ("stabil", "jitcnt", "calcnt", "errcnt", "stbcnt")),
        ("tai", ctypes.c_int),
        ("reserved", ctypes.c_int * 11),
    )


def ask_kernel() -> Timex | None:
    """Ask the kernel, which takes no privilege as long as nothing is set; None where even that is forbidden."""
    asked = Timex(modes=0)
    asked.state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(asked))
    return None if asked.state < 0 else asked


def kernel_clock() -> Kernel | None:
    """Return what the kernel says of its clock; None where it may not be asked."""
    asked = ask_kernel()
    if asked is None:
        return None
    return Kernel(asked.state != _TIME_ERROR and not asked.status & _STA_UNSYNC, asked.maxerror / 1e6)


def hardware_clocks(device: Device) -> dict[str, float]:
    """Return UTC seconds of each hardware clock that keeps UTC and answers."""
    return {
        read_text(clock / "name") or clock.name: float(seconds)
        for clock in device.glob("/sys/class/rtc/rtc*")
        if (seconds := read_number(clock / "since_epoch")) is not None
    }


def zone(device: Device) -> str:
    """Return the name of the time zone."""
    if name := device.read("/etc/timezone"):
        return name
    try:
        return os.readlink(device.path("/etc/localtime")).rpartition("zoneinfo/")[2]
    except OSError:
        return "UTC"
