"""A wall clock that is wrong, and jumps (libfaketime; Debian's package faketime)."""

from __future__ import annotations

import glob
import time
from datetime import datetime, timezone
from pathlib import Path
from random import Random

from tests.soak.rig import Rig

_LASTS_S = 15.0


def jumps(rig: Rig, random: Random) -> None:
    """An hour ahead, back, an hour behind, and back."""
    offset = _start(rig, "+0")
    rig.wait_scores(random.randrange(20, 60))
    for hours in (1, 0, -1, 0):
        offset.write_text(f"{hours * 3600:+d}\n")
        rig.run_on(_LASTS_S)
        rig.wait(f"{hours:+d} h", lambda status: status["state"] == "online")
        rig.wait_scores()


def before_ntp(rig: Rig, random: Random) -> None:
    """A board without a battery starts in 1970; the network's time comes later."""
    offset = _start(rig, f"{60 - round(time.time()):+d}")
    rig.wait_scores(random.randrange(20, 60))
    rig.wait("1970", lambda status: status["state"] == "online")
    offset.write_text("+0\n")
    rig.run_on(_LASTS_S)
    rig.wait("the right time", lambda status: status["state"] == "online")
    rig.wait_scores()


def _start(rig: Rig, offset: str) -> Path:
    """Start the daemon with a wall clock that is so many seconds off; return the file that says so."""
    libraries = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not libraries:
        raise RuntimeError("libfaketime is not installed (apt-get install faketime)")
    path = rig.folder / "faketime"
    path.write_text(offset + "\n")
    rig.start(
        LD_PRELOAD=libraries[0],
        FAKETIME_TIMESTAMP_FILE=str(path),
        FAKETIME_CACHE_DURATION="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
        DONT_FAKE_MONOTONIC="1",
    )
    rig.counts["began"] = datetime.fromtimestamp(time.time() + int(offset), tz=timezone.utc).isoformat()
    return path
