"""Files of the state that hold something else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.soak.outbox_file import read_outbox
from tests.soak.rig import Rig

_OUTAGE_S = 10.0


def outbox_header(rig: Rig, random: Random) -> None:
    """The first bytes of a file in which events wait."""
    _with_waiting_events(rig, random, lambda size: (0, 100))


def outbox_middle(rig: Rig, random: Random) -> None:
    """Some pages in the middle of it."""
    _with_waiting_events(rig, random, lambda size: (size // 2 & ~4095, 16_384))


def outbox_middle_running(rig: Rig, random: Random) -> None:
    """The same under a daemon that uses it."""
    rig.start()
    rig.wait_scores(random.randrange(20, 60))
    rig.broker.stop()
    rig.run_on(_OUTAGE_S)
    path = _outbox(rig)
    _overwrite(path, path.stat().st_size // 2 & ~4095, 16_384, random)
    rig.run_on(_OUTAGE_S)
    rig.broker.start()
    rig.wait("meanwhile", lambda status: status["state"] == "online")
    rig.wait_scores()


def state_files(rig: Rig, random: Random) -> None:
    """Every other file of the state, while the daemon is not there and an alarm stands."""
    rig.start()
    rig.wait_scores(random.randrange(20, 60))
    rig.wait_alarm()
    rig.stop()
    for path in sorted(rig.state.rglob("*")):
        if path.is_file() and "mqtt.db" not in path.name:
            path.write_bytes(random.randbytes(200))
    rig.start()
    rig.wait("meanwhile", lambda status: bool(status.get("troubles")))
    rig.wait_scores()


def _with_waiting_events(rig: Rig, random: Random, where: Callable[[int], tuple[int, int]]) -> None:
    rig.start()
    rig.wait_scores(random.randrange(20, 60))
    rig.broker.stop()
    rig.run_on(_OUTAGE_S)
    rig.stop()
    path = _outbox(rig)
    rig.replaced_at = read_outbox(path).last_id
    rig.counts["waited_when_damaged"] = len(read_outbox(path).waiting)
    _overwrite(path, *where(path.stat().st_size), random)
    rig.broker.start()
    rig.start()
    rig.wait("meanwhile", lambda status: status["state"] == "online" and status["outbox"]["fault"] is not None)
    rig.wait_scores()


def _outbox(rig: Rig) -> Path:
    return rig.state / "outbox" / "mqtt.db"


def _overwrite(path: Path, start: int, length: int, random: Random) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(random.randbytes(length))
