"""Sound cards by their stable names, and who may open them."""

from __future__ import annotations

import grp
import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from asd_edge.doctor.cards import Card, cards_of
from asd_edge.doctor.device import Device
from asd_edge.doctor.finding import Finding, fault, ok, warning

_UNSTABLE = (
    'Name them by where they are plugged in, with a udev rule: SUBSYSTEM=="sound", KERNELS=="1-2.1", ATTR{id}="Fan7".'
)


def check_microphones(device: Device) -> Iterator[Finding]:
    """Yield each card that can record, by the name that a device file should have."""
    cards = [card for card in cards_of(device) if card.captures]
    alike = Counter(card.usb_id for card in cards if card.usb_id is not None)
    for card in cards:
        if card.usb_id is not None and alike[card.usb_id] > 1:
            found = f"{_described(card)}; {alike[card.usb_id]} alike, whose names follow the order they answered in"
            yield warning(found, _UNSTABLE, subject=card.stable_name)
        else:
            yield ok(_described(card), subject=card.stable_name)
    if not cards:
        yield _none(device)


def _none(device: Device) -> Finding:
    wanted = device.config is not None and any(m.source.startswith("alsa:") for m in device.config.machines)
    if not device.path("/proc/asound/cards").exists():
        found, remedy = "the kernel has no sound (no /proc/asound)", "Load ALSA's drivers: modprobe snd-usb-audio."
    else:
        found, remedy = "no sound card that can record", "Plug the microphone in, and look at `dmesg`."
    return fault(found, remedy) if wanted else ok(f"{found}; none is needed")


def _described(card: Card) -> str:
    parts = [card.name]
    if card.place is not None:
        parts.append(f"at {card.place}")
    holders = [capture.holder for capture in card.captures if capture.holder is not None]
    parts.append(f"open in {', '.join(holders)}" if holders else "free")
    return ", ".join(parts)


def check_audio_access(device: Device) -> Iterator[Finding]:
    """Yield whether the group that the service is in owns the devices that record, and whether this user may."""
    nodes = device.glob("/dev/snd/pcmC*D*c")
    if not nodes:
        yield ok("no /dev/snd to open")
        return
    yield judge_access(nodes, uid=os.geteuid(), groups={os.getegid(), *os.getgroups()})


def judge_access(nodes: list[Path], *, uid: int, groups: set[int]) -> Finding:
    """Say whether the group audio may read and write these device files, and whether this user may.

    Args:
        nodes: device files.
        uid: the user.
        groups: the groups that the user is in.
    """
    owned = {node: node.stat() for node in nodes}
    odd = [node.name for node, status in owned.items() if not _by_audio(status)]
    mine = all(_open_to(status, uid, groups) for status in owned.values())
    if odd:
        return warning(
            f"{', '.join(odd)} not open to the group audio, which the service is in",
            'Restore udev\'s rule: SUBSYSTEM=="sound", GROUP="audio", MODE="0660".',
        )
    if not mine:
        return ok(
            "open to the group audio, which the service is in",
            unseen="sound, for commands of this user, who is not in it (usermod -aG audio USER)",
        )
    return ok("open to the group audio and to this user")


def _by_audio(status: os.stat_result) -> bool:
    wanted = stat.S_IRGRP | stat.S_IWGRP
    return status.st_mode & wanted == wanted and _group(status.st_gid) == "audio"


def _open_to(status: os.stat_result, uid: int, groups: set[int]) -> bool:
    if uid == 0:
        return True
    wanted = 0o6 << (6 if uid == status.st_uid else 3 if status.st_gid in groups else 0)
    return status.st_mode & wanted == wanted


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
