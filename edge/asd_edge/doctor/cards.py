"""The sound cards as ALSA's own files in /proc/asound tell them; nothing is opened."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from asd_edge.doctor.device import Device, read_text

_LINE = re.compile(r"^\s*(\d+) \[(.{1,16}?)\s*\]: (\S+) - (.*)$")


@dataclass(frozen=True, slots=True)
class Capture:
    """A PCM that records: `holder` is who has it open, None for nobody; `rates` and `channels` those it offers.

    Only USB cards tell what they offer; the others have none here.
    """

    number: int
    holder: str | None
    rates: tuple[int, ...] | range | None
    channels: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Card:
    """A sound card. `place` is where it is plugged in, None unless on USB; `usb_id` vendor and product."""

    number: int
    id: str
    driver: str
    name: str
    place: str | None
    usb_id: str | None
    captures: tuple[Capture, ...]

    @property
    def stable_name(self) -> str:
        """The ALSA name that stays the same when cards are counted in another order."""
        return f"hw:CARD={self.id}"


def cards_of(device: Device) -> list[Card]:
    """Return the sound cards; none where the kernel has no sound."""
    lines = (device.read("/proc/asound/cards") or "").splitlines()
    found = []
    for at, line in enumerate(lines):
        if (parts := _LINE.match(line)) is None:
            continue
        number = int(parts[1])
        long_name = lines[at + 1] if at + 1 < len(lines) else ""
        place = re.search(r" at (usb-[^,\s]+)", long_name)
        found.append(
            Card(
                number=number,
                id=device.read(f"/proc/asound/card{number}/id") or parts[2],
                driver=parts[3],
                name=parts[4].strip(),
                place=None if place is None else place[1],
                usb_id=device.read(f"/proc/asound/card{number}/usbid"),
                captures=tuple(
                    _capture(device, number, folder) for folder in device.glob(f"/proc/asound/card{number}/pcm*c")
                ),
            )
        )
    return found


def _capture(device: Device, card: int, folder: Path) -> Capture:
    number = int(folder.name.removeprefix("pcm").removesuffix("c"))
    rates, channels = _offered(device.read(f"/proc/asound/card{card}/stream{number}") or "")
    return Capture(number, _holder(device, folder), rates, channels)


def _holder(device: Device, folder: Path) -> str | None:
    for status in folder.glob("sub*/status"):
        if owner := re.search(r"^owner_pid\s*:\s*(\d+)", read_text(status) or "", re.M):
            # A thread's number is as good as a process's: /proc finds both.
            return f"{device.read(f'/proc/{owner[1]}/comm') or 'a process'} ({owner[1]})"
    return None


def _offered(stream: str) -> tuple[tuple[int, ...] | range | None, tuple[int, ...]]:
    """Return rates and channels under `Capture:` of /proc/asound/cardN/streamM."""
    _, _, capture = stream.partition("Capture:")
    rates: set[int] = set()
    span: range | None = None
    for listed in re.findall(r"^\s*Rates: (.+)$", capture, re.M):
        if between := re.match(r"(\d+) - (\d+) \(continuous\)", listed):
            span = range(int(between[1]), int(between[2]) + 1)
        else:
            rates |= {int(rate) for rate in re.findall(r"\d+", listed)}
    channels = {int(count) for count in re.findall(r"^\s*Channels: (\d+)", capture, re.M)}
    return span or tuple(sorted(rates)) or None, tuple(sorted(channels))
