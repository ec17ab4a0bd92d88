"""A state folder whose disk is full, or takes nothing."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from pathlib import Path
from random import Random

from tests.soak.outbox_file import read_last_id
from tests.soak.rig import Rig

_LASTS_S = 20.0


def full(rig: Rig, random: Random) -> None:
    """A small tmpfs that somebody else fills."""
    filler = _fill_up(rig, random)
    rig.wait("meanwhile", lambda status: status.get("health", "normal") != "normal")
    rig.run_on(_LASTS_S)
    filler.unlink()
    rig.wait("afterwards", lambda status: status.get("health", "normal") == "normal")
    rig.wait_scores()


def full_without_broker(rig: Rig, random: Random) -> None:
    """The same while nothing can be sent either: what was not committed is counted."""
    filler = _fill_up(rig, random)
    rig.broker.stop()
    rig.run_on(_LASTS_S)
    rig.broker.start()
    rig.wait("meanwhile", lambda status: status.get("health", "normal") != "normal")
    filler.unlink()
    rig.wait("afterwards", lambda status: status.get("health", "normal") == "normal")
    rig.wait_scores()


def read_only(rig: Rig, random: Random) -> None:
    """A flash card that gives up: ext4 turns itself read-only; later another one is mounted in its place."""
    image, other = rig.folder / "image", rig.folder / "other"
    for card in (image, other):
        subprocess.run(["truncate", "-s", "96M", card], check=True)
        subprocess.run(["mkfs.ext4", "-q", card], check=True)
    _mount(rig, "-o", "loop", str(image))
    rig.start()
    rig.wait_scores(random.randrange(20, 60))
    # ext4(5): abort simulates what an error of the device does.
    subprocess.run(["mount", "-o", "remount,abort", rig.state], check=True)
    rig.wait("meanwhile", lambda status: status.get("health", "normal") != "normal")
    rig.run_on(_LASTS_S)
    rig.replaced_at = read_last_id(rig.state / "outbox" / "mqtt.db")
    subprocess.run(["umount", "--lazy", rig.state], check=True)
    subprocess.run(["mount", "-o", "loop", other, rig.state], check=True)
    rig.wait("afterwards", lambda status: status.get("outbox", {"fault": ""})["fault"] is None)
    rig.wait_scores()


def read_only_at_start(rig: Rig, random: Random) -> None:
    """A state folder that nothing can be written to from the start; later it can."""
    _mount(rig, "-t", "tmpfs", "-o", "size=96m", "none")
    subprocess.run(["mount", "-o", "remount,ro", rig.state], check=True)
    rig.start()
    rig.wait_scores()
    rig.wait("meanwhile", lambda status: status.get("health", "normal") != "normal")
    subprocess.run(["mount", "-o", "remount,rw", rig.state], check=True)
    rig.wait("afterwards", lambda status: status.get("outbox", {"fault": ""})["fault"] is None)
    rig.wait_scores()


def _fill_up(rig: Rig, random: Random) -> Path:
    """Start the daemon on a small disk, then fill that to the last byte; return the file that does."""
    _mount(rig, "-t", "tmpfs", "-o", "size=64m", "none")
    rig.start()
    rig.wait_scores(random.randrange(20, 60))
    filler = rig.state / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        for size in (1 << 16, 1 << 12):
            with suppress(OSError):
                while True:
                    file.write(b"x" * size)
    deadline = time.monotonic() + 10.0
    with filler.open("ab", buffering=0) as file:  # what the daemon gives up, too: its reserve
        while time.monotonic() < deadline:
            with suppress(OSError):
                file.write(b"x" * 4096)
                continue
            time.sleep(0.05)
    return filler


def _mount(rig: Rig, *what: str) -> None:
    subprocess.run(["mount", *what, str(rig.state)], check=True)
    rig.on_end(lambda: subprocess.run(["umount", "--lazy", str(rig.state)], check=False))
