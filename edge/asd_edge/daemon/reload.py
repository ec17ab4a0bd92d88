"""Read the device file anew while the daemon runs: all of it comes into force, or nothing."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns, time
from typing import Protocol

from asd_edge.config import DeviceConfig, load_config
from asd_edge.control import RELOAD_S
from asd_edge.daemon.notify import notify
from asd_edge.daemon.order import Order
from asd_edge.errors import AsdEdgeError, ConfigError, StateError

_log = logging.getLogger(__name__)

_FROM_THE_START = ("device", "bundle", "engine", "remote")  # everything else is built on them
_PATIENCE_S = RELOAD_S - 5.0  # the client is told before it loses patience itself


class Part(Protocol):
    """Something that follows the device file."""

    def plan(self, config: DeviceConfig) -> Callable[[], None]:
        """Try a device file beside the one in force; return what puts it in force, which does not fail.

        Raises:
            AsdEdgeError: it cannot be used. Nothing has changed.
        """
        ...


@dataclass(frozen=True, slots=True)
class DeviceFile:
    """A device file that was read: its content, where it lies, what was in it, when that was (UTC seconds)."""

    config: DeviceConfig
    path: Path
    sha256: str
    loaded: float

    @classmethod
    def of(cls, config: DeviceConfig, path: Path) -> DeviceFile:
        """Return the file that has just been read.

        Raises:
            ConfigError: it is gone again.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ConfigError(
                f"Cannot use the device file {path}",
                found=error.strerror or str(error),
                expected="a file that can be read",
                remedy="Put it back, or correct its permissions.",
            ) from error
        return cls(config, path, hashlib.sha256(data).hexdigest(), time())


class ReloadOrder(Order):
    """Somebody wants the device file to be read anew."""


class Reload:
    """Takes orders in any thread, and obeys them in the main one.

    Args:
        file: the device file in force.
        parts: follow it, in this order.
        announce: tells everybody what has happened.
        pulse: called between the parts, any of which may take seconds.
        wake: hands an order to the main thread, which calls `obey`.
    """

    def __init__(
        self,
        file: DeviceFile,
        parts: Sequence[Part],
        announce: Callable[[str], None],
        pulse: Callable[[], object],
        wake: Callable[[ReloadOrder], None],
    ) -> None:
        self.file = file
        """The device file in force."""
        self.error: AsdEdgeError | None = None
        """Why the last order changed nothing; None when it did."""
        self._parts, self._announce, self._pulse, self._wake = parts, announce, pulse, wake

    def order(self) -> None:
        """Have the device file read anew, and wait until it is in force.

        Raises:
            AsdEdgeError: it is not, and why; what was in force goes on.
        """
        order = ReloadOrder()
        self._wake(order)
        late = StateError(
            "The daemon does not come to read its device file",
            found=f"nothing within {_PATIENCE_S:.0f} s",
            expected="a device file in force, or a reason why it is not",
            remedy="See asd-edge status and the log; restart asd-edge run if it is stuck.",
        )
        order.wait(_PATIENCE_S, late)

    def obey(self, order: ReloadOrder) -> None:
        """Read the device file anew."""
        # By the time systemd knows that READY=1 answers its own request (sd_notify(3)).
        notify(f"RELOADING=1\nMONOTONIC_USEC={monotonic_ns() // 1000}")
        try:
            file = DeviceFile.of(load_config(self.file.path), self.file.path)
            follows = self._plans(file)
        except AsdEdgeError as error:
            _log.error("The device file is not taken, and what was in force goes on. %s", error)
            self.error = error
        else:
            for follow in follows:
                self._pulse()
                follow()
            self.file, self.error = file, None
            _log.info("The device file %s was read anew and is in force", file.path)
        self._announce("the device file was read anew" if self.error is None else "the device file is not taken")
        notify("READY=1")
        order.fulfil(self.error)

    def _plans(self, file: DeviceFile) -> list[Callable[[], None]]:
        """Return what puts a device file in force; what is wrong with it comes out, and nothing has changed."""
        _check_reloadable(self.file.config, file.config)
        follows = []
        try:
            for part in self._parts:
                self._pulse()
                follows.append(part.plan(file.config))
        except AsdEdgeError:
            raise
        except Exception as error:  # nobody foresaw it
            _log.exception("The device file was tried")
            raise ConfigError(
                f"Cannot use the device file {file.path}",
                found=f"{type(error).__name__}: {error}",
                expected="a file that can be tried",
                remedy="Report the log's last lines to who maintains asd-edge.",
            ) from error
        return follows


def _check_reloadable(before: DeviceConfig, now: DeviceConfig) -> None:
    """Refuse what only a restart can bring about."""
    changed = [f"[{table}]" for table in _FROM_THE_START if getattr(before, table) != getattr(now, table)]
    if changed:
        raise ConfigError(
            "The device file needs a restart",
            found=f"another {' and '.join(changed)} than asd-edge run began with",
            expected="changes of machines and destinations alone",
            remedy="Restart asd-edge run (systemctl restart asd-edge); until then nothing of the file is in force.",
        )
