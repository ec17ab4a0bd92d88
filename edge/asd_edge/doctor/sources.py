"""Each machine's source: is there what its text names. Nothing is heard; `asd-edge run --check` does that."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path

from asd_edge.config import MachineTable
from asd_edge.doctor.cards import Capture, Card, cards_of
from asd_edge.doctor.device import Device, ask, silent
from asd_edge.doctor.finding import Finding, fault, ok, warning
from asd_edge.errors import AsdEdgeError
from asd_edge.sources.open import open_machine
from asd_edge.sources.options import nearest, read_alsa

# hw:CARD=Device,DEV=0 · plughw:1,0 · sysdefault:Device: a plugin's name, then a card and perhaps one of its PCMs.
_ON_CARD = re.compile(r"^(\w+):(?:CARD=)?([A-Za-z0-9_]+)(?:,(?:DEV=)?(\d+))?(?:,.*)?$")
_AS_IT_IS = "hw"  # the one plugin that converts nothing
_RATE = 16_000  # where no bundle says another


def check_sources(device: Device) -> Iterator[Finding]:
    """Yield for each machine whether its source is there."""
    if device.config is None:
        return
    bundle = device.usable_bundle
    rate = _RATE if bundle is None else bundle.manifest.front_end.sample_rate
    cards = cards_of(device)
    for machine in device.config.machines:
        scheme = machine.source.partition(":")[0]
        if scheme == "alsa":
            yield judge_alsa(machine, cards, rate)
        elif scheme == "raw":
            yield _raw(machine)
        else:
            yield _opened(machine, rate)


def judge_alsa(machine: MachineTable, cards: list[Card], rate: int) -> Finding:
    """Say whether the ALSA device that a machine names is a card that is there, and records as it is asked to."""
    try:
        name, channels = read_alsa(machine.source)
    except AsdEdgeError as error:
        return fault(error.found, error.remedy, subject=machine.id)
    parts = _ON_CARD.match(name)
    if parts is None:
        return _plugin(machine, name)
    plugin, wanted, number = parts[1], parts[2], int(parts[3] or 0)
    card = next((card for card in cards if wanted in (card.id, str(card.number))), None)
    if card is None:
        recording = [card.id for card in cards if card.captures]
        known = f"there is {nearest(wanted, recording)}" if recording else "there is none that records"
        return fault(f"no card {wanted}; {known}", "Plug it in, or correct the source.", subject=machine.id)
    capture = next((capture for capture in card.captures if capture.number == number), None)
    if capture is None:
        return fault(
            f"{card.name} ({card.id}) does not record on its device {number}",
            "Choose a device of `arecord -l`.",
            subject=machine.id,
        )
    if plugin == _AS_IT_IS and (refused := _not_offered(capture, channels, machine.source_rate or rate)) is not None:
        return fault(f"{card.stable_name} {refused[0]}", refused[1], subject=machine.id)
    if wanted == str(card.number) and wanted != card.id:
        return warning(
            f"card number {wanted}, now {card.name}: the numbers change at a start",
            f"Name it {plugin}:CARD={card.id}.",
            subject=machine.id,
        )
    return _held(machine, card, capture)


def _not_offered(capture: Capture, channels: int | None, rate: int) -> tuple[str, str] | None:
    """Return what the hardware lacks, and the remedy; None when it lacks nothing, or does not tell."""
    if capture.rates is not None and rate not in capture.rates:
        rates = capture.rates
        offered = f"{rates[0]} to {rates[-1]}" if isinstance(rates, range) else ", ".join(map(str, rates))
        return f"offers {offered} Hz, not {rate}", "Set source_rate to one of these: it is resampled."
    asked = channels or 1
    if capture.channels and asked not in capture.channels:
        offered = ", ".join(map(str, capture.channels))
        return f"has {offered} channels, not {asked}", f"Write ?channels={capture.channels[0]} behind the name."
    return None


def _held(machine: MachineTable, card: Card, capture: Capture) -> Finding:
    found = f"{card.stable_name}, {card.name}"
    if capture.holder is None:
        return ok(f"{found}, free", subject=machine.id, unseen="sound itself: asd-edge run --check listens")
    if capture.holder.startswith("arecord "):  # which is what the daemon listens with
        return ok(f"{found}, open in {capture.holder}", subject=machine.id)
    return warning(
        f"{found}, held by {capture.holder}",
        "It hears for one at a time: end that program (PulseAudio and PipeWire: switch the card's profile off).",
        subject=machine.id,
    )


def _plugin(machine: MachineTable, name: str) -> Finding:
    """Say whether ALSA's configuration knows a name that tells no card, like `default`."""
    try:
        answer = ask("arecord", "-L", timeout_s=3.0)
    except TimeoutError as error:
        return silent(error, subject=machine.id)
    if answer is None:
        return fault("no program arecord", "Install it: apt-get install alsa-utils", subject=machine.id)
    known = [line.strip() for line in answer.output.splitlines() if line and not line[0].isspace()]
    if name not in known:
        return warning(
            f"{name} is not among the names of `arecord -L`",
            "Name a card, like alsa:hw:CARD=Device, or add the name to /etc/asound.conf.",
            subject=machine.id,
        )
    return warning(
        f"{name} follows ALSA's configuration to some card",
        "Name the card itself, like alsa:hw:CARD=Device.",
        subject=machine.id,
    )


def _raw(machine: MachineTable) -> Finding:
    path = Path(machine.source.partition(":")[2])
    if str(path) == "-":
        return ok("standard input", subject=machine.id)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return fault(
            f"{path}: {error.strerror}", f"Make it before the daemon starts: mkfifo {path}", subject=machine.id
        )
    kind = "a FIFO" if stat.S_ISFIFO(mode) else "a file" if stat.S_ISREG(mode) else None
    if kind is None:
        return fault(f"{path} is neither a FIFO nor a file", f"mkfifo {path}", subject=machine.id)
    return ok(f"{path}, {kind}", subject=machine.id, unseen="whether anybody writes to it")


def _opened(machine: MachineTable, rate: int) -> Finding:
    """Open a recording or a simulation, which takes nothing from anybody, and close it."""
    try:
        open_machine(machine, rate=rate).close()
    except AsdEdgeError as error:
        return fault(f"{error.what}: {error.found}", error.remedy, subject=machine.id)
    return ok(f"{machine.source} can be read", subject=machine.id)
