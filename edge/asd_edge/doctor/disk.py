"""The disk of the state folder: room, kind, whether it takes what is written, and how worn it is."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from asd_edge.doctor.device import Device, is_root, read_number, read_text
from asd_edge.doctor.finding import Finding, fault, ok, warning

_DEFAULT = Path("/var/lib/asd-edge")  # device.state_dir of a device file that says nothing
_IN_MEMORY = ("tmpfs", "ramfs")
_OVER_AN_IMAGE = ("overlay", "squashfs", "aufs")
_FULL_MB, _NEARLY_FULL_MB = 64, 1024  # [ours]: enrolled conditions still fit; a day of histories of many machines does
_INODES = 1000
_SLOW_S = 1.0


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of /proc/self/mountinfo (proc_pid_mountinfo(5))."""

    point: str
    kind: str
    read_only: bool


def check_disk(device: Device) -> Iterator[Finding]:
    """Yield room and kind of the file system that the state folder is on."""
    folder = existing(state_dir(device))
    try:
        room = os.statvfs(folder)
    except OSError as error:
        yield ok(f"{folder}", unseen=f"its disk ({error.strerror}; use sudo)")
        return
    mount = mount_of(folder, device.read("/proc/self/mountinfo") or "")
    megabytes = room.f_bavail * room.f_frsize / 1e6
    yield judge_disk(folder, megabytes, room.f_favail if room.f_files else None, mount)


def judge_disk(folder: Path, megabytes: float, inodes: int | None, mount: Mount | None) -> Finding:
    """Say whether a file system is fit for the state folder.

    Args:
        folder: the folder on it.
        megabytes: room for others than root.
        inodes: files that can still be made; None where there is no such limit.
        mount: where and how it is mounted; None when unknown.
    """
    found = f"{folder} on {mount.kind if mount else 'an unknown file system'}, {megabytes / 1e3:.1f} GB free"
    if inodes is not None and inodes < 10 * _INODES:
        found += f", {inodes} inodes"
    if mount is not None and mount.read_only:
        return fault(
            f"{found}, read-only at {mount.point}",
            "The kernel does so after errors: look at `dmesg`, check the disk, mount it rw; or move state_dir.",
        )
    if megabytes < _FULL_MB or (inodes is not None and inodes < 10):
        return fault(found, "Make room: enrollment, histories and the outbox cannot be written.")
    if mount is not None and mount.kind in _IN_MEMORY:
        return warning(f"{found}: in memory, gone with the next start", "Move device.state_dir to a disk.")
    if mount is not None and mount.kind in _OVER_AN_IMAGE:
        return warning(f"{found}: of a container or an image, gone with it", "Mount a volume for device.state_dir.")
    if megabytes < _NEARLY_FULL_MB or (inodes is not None and inodes < _INODES):
        return warning(found, "Make room, or lower device.history_h.")
    return ok(found)


def mount_of(folder: Path, mountinfo: str) -> Mount | None:
    """Return the mount that a folder is on: the one with the longest path, of two on one path the later."""
    best: Mount | None = None
    for line in mountinfo.splitlines():
        left, dash, right = line.partition(" - ")
        fields, kinds = left.split(), right.split()
        if not dash or len(fields) < 6 or len(kinds) < 3:
            continue
        # Blanks in paths are written \040, tabs and backslashes likewise.
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        options = {*fields[5].split(","), *kinds[2].split(",")}
        if folder.resolve().is_relative_to(point) and (best is None or len(point) >= len(best.point)):
            best = Mount(point, kinds[0], "ro" in options)
    return best


def check_write(device: Device) -> Iterator[Finding]:
    """Yield whether the state folder takes a file, down to the disk."""
    folder = state_dir(device)
    try:
        start = monotonic()
        with tempfile.TemporaryFile(dir=folder) as probe:  # without a name: nothing can be left behind
            probe.write(b"asd-edge doctor" * 256)
            probe.flush()
            os.fsync(probe.fileno())
        took = monotonic() - start
    except FileNotFoundError:
        yield warning(
            f"no folder {folder}", "The service makes it (StateDirectory=); else mkdir it for the daemon's user."
        )
    except PermissionError as error:
        if is_root():
            yield fault(f"{folder}: {error.strerror}", "Let root write there: is it mounted by NFS, or immutable?")
        else:
            yield ok(f"{folder}", unseen="whether it can be written to (it is another user's; use sudo)")
    except OSError as error:
        yield fault(f"{folder}: {error.strerror}", "Make room, or have the disk mounted for writing.")
    else:
        found = f"{folder} took 4 kB to the disk in {1e3 * took:.0f} ms"
        yield warning(found, "The card is slow or worn: replace it, or use an SSD.") if took > _SLOW_S else ok(found)


def check_wear(device: Device) -> Iterator[Finding]:
    """Yield how worn the eMMC is, as it tells itself (JEDEC JESD84-B51: EXT_CSD bytes 267 to 269)."""
    told = False
    for life_time in device.glob("/sys/block/mmcblk*/device/life_time"):
        name = life_time.parents[1].name
        used = [int(tenths, 16) for tenths in re.findall("0x([0-9a-fA-F]{1,2})", read_text(life_time) or "")]
        end = read_number(life_time.with_name("pre_eol_info")) or 0
        if any(used):
            told = True
            yield judge_wear(name, max(used), end)
    if not told:
        yield ok("no eMMC that tells", unseen="wear of SSDs and cards (smartctl or nvme show it to root)")


def judge_wear(name: str, used: int, end: int) -> Finding:
    """Say how much of its life a flash chip has left.

    Args:
        name: the block device.
        used: DEVICE_LIFE_TIME_EST, tenths of the life that are begun; 11: over.
        end: PRE_EOL_INFO, 1 normal, 2: 80 % of the reserve is used, 3: 90 %.
    """
    found = (
        f"{name}: {10 * (used - 1)} to {10 * used} % of its life used" if used <= 10 else f"{name}: its life is over"
    )
    remedy = "Replace the board or the chip, or move device.state_dir to an SSD."
    if used > 10 or end >= 3:
        return fault(found, remedy)
    if used >= 9 or end == 2:
        return warning(found, remedy)
    return ok(found)


def state_dir(device: Device) -> Path:
    """Return the state folder."""
    return _DEFAULT if device.config is None else device.config.device.state_dir


def existing(folder: Path) -> Path:
    """Return the folder, or the first above it that is there, as far as this user can see."""
    while not os.path.exists(folder) and folder != folder.parent:
        folder = folder.parent
    return folder
