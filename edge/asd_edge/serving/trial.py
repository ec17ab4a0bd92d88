"""A mark on the disk that an engine is on trial: what finds it at a start knows that the process died with that engine.

An engine is foreign machine code in the daemon's own process, which it can take with it: by a segmentation fault, or by
memory that the kernel ends the process for. Started again, it would load the same engine again, and so for ever.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final, Literal

from asd_edge.atomic import atomic_write
from asd_edge.errors import StateError
from asd_edge.strict import RefusalError, Strict, Text, parse_versioned

_log = logging.getLogger(__name__)

FORMAT: Final = "asd-edge-engine-on-trial"
VERSION: Final = 1
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class OnTrial(Strict):
    """The engine on trial. `key`, `what`: as serving/failures.py has them; `boot_id`: Linux's (random(4))."""

    format: Literal["asd-edge-engine-on-trial"] = FORMAT
    version: Literal[1] = VERSION
    key: Text
    what: Text
    boot_id: Text


class Trial:
    """The mark, in the state folder, which one daemon at a time uses; a cache may be shared."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "engine-on-trial.json"
        self.mark: OnTrial | None = None
        """What is on trial in this process; None when nothing is."""

    def begin(self, key: str, what: str) -> None:
        """Leave the mark, before an engine is touched.

        Raises:
            StateError: it cannot be left; then the engine must not be used.
        """
        mark = OnTrial(key=key, what=what, boot_id=_boot_id())
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self._path, like=self._path.parent) as stream:
                stream.write(mark.model_dump_json(indent=1).encode() + b"\n")
        except OSError as error:
            raise StateError(
                "An engine that may end the process is not tried",
                found=f"{self._path}: {error.strerror or error}",
                expected="a state folder that this user can write, with room on its disk",
                remedy="Correct device.state_dir or its permissions.",
            ) from error
        self.mark = mark

    def end(self) -> None:
        """Take the mark away: the engine is not used any more, or the process ends as it should."""
        self.mark = None
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("An engine counts as one that ended the process at the next start: %s", error)

    def left(self) -> OnTrial | None:
        """Return the mark that a process left that died; None where there is none, or the device was started since.

        Of an earlier start of the device it says nothing [ours]: power cuts are common, and no fault of an engine.
        """
        try:
            mark = parse_versioned(self._path.read_bytes(), OnTrial, format=FORMAT, version=VERSION)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, RefusalError) as error:
            _log.warning("Whether an engine ended the process is not known: %s has %s", self._path, error)
            return None
        return mark if mark.boot_id == _boot_id() else None


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text("utf-8").strip() or "unknown"
    except OSError:
        return "unknown"
