"""Where a device's bundle lies: the present file, the one before it, the record, and the step from one to the next.

That step is three renames, prepared so that none needs room on the disk. Killed at any moment it leaves a whole bundle,
the old or the new one, and `settle` brings the rest to where it belongs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from asd_edge.atomic import atomic_write
from asd_edge.bundle.trust import previous_of
from asd_edge.config import DeviceConfig
from asd_edge.errors import ConfigError, StateError
from asd_edge.lock import holder_of, locked
from asd_edge.serving.installed import InstallRecord


@dataclass(frozen=True)
class Place:
    """`path`: bundle.path of the device file. `state_dir`: where the record and the lock are."""

    path: Path
    state_dir: Path

    @classmethod
    def of(cls, config: DeviceConfig) -> Place:
        """Return the place that a device file names.

        Raises:
            ConfigError: it names the bundle inside the package, which nothing else can take the place of.
        """
        if config.bundle.path == "default":
            raise ConfigError(
                "There is no place to install a bundle in",
                found='path = "default" under [bundle]: the one inside the package',
                expected="a file of its own",
                remedy=f'Set path = "{config.device.state_dir / "bundle.asd"}" there, and install again.',
            )
        return cls(Path(config.bundle.path), config.device.state_dir)

    @property
    def previous(self) -> Path:
        """The bundle before the present one."""
        return previous_of(self.path)

    @property
    def record(self) -> Path:
        """The record of installed bundles."""
        return self.state_dir / "installed.json"

    @property
    def _replaced(self) -> Path:
        """A second name of the present file while another takes its place."""
        return self.path.with_name(f".{self.path.name}.replaced")

    @contextmanager
    def exclusive(self, who: str) -> Iterator[None]:
        """Hold the lock of whoever installs, and bring what a killed installation left to where it belongs.

        Raises:
            StateError: somebody else holds it, or the folders cannot be used.
        """
        lock = self.state_dir / "install.lock"
        try:
            self.state_dir.mkdir(parents=True, exist_ok=True)
            with locked(lock, f"{who}, process {os.getpid()}", like=self.state_dir):
                for folder, name in ((self.path.parent, self.path.name), (self.state_dir, self.record.name)):
                    for leftover in folder.glob(f".{name}.*.tmp"):
                        leftover.unlink(missing_ok=True)
                self.settle()
                yield
        except BlockingIOError:
            raise StateError(
                f"Cannot change the bundle {self.path}",
                found=f"another installation is running: {holder_of(lock) or 'it just ended'}",
                expected="one at a time",
                remedy="Wait until it has ended, then try again.",
            ) from None
        except OSError as error:
            raise StateError(
                f"Cannot change the bundle {self.path}; it is as it was",
                found=error.strerror or str(error),
                expected=f"room on the disk, and leave to write in {self.path.parent} and {self.state_dir}",
                remedy="Make room on the disk, or run the command with sudo.",
            ) from error

    def replace(self, archive: bytes, record: InstallRecord, *, keep: bool) -> None:
        """Put `archive` at `path`, and write the record; or change nothing.

        Args:
            archive: the new bundle file.
            record: the new record.
            keep: whether what was at `path` goes to `previous`; else what is there stays.

        Raises:
            OSError: no room, or no leave.
        """
        with atomic_write(self.record, like=self.state_dir) as kept:
            _fill(kept, record.to_json())
            try:
                with atomic_write(self.path, like=self.path.parent) as stream:
                    _fill(stream, archive)
                    if keep and self.path.exists():
                        os.link(self.path, self._replaced)
            finally:
                self.settle()

    def note(self, record: InstallRecord) -> None:
        """Write the record alone.

        Raises:
            OSError: no room, or no leave.
        """
        with atomic_write(self.record, like=self.state_dir) as kept:
            kept.write(record.to_json())

    def settle(self) -> None:
        """Make the file that was replaced the previous one; where none took its place, drop its second name."""
        if not self._replaced.exists():
            return
        if self.path.exists() and self._replaced.samefile(self.path):
            self._replaced.unlink()
        else:
            os.replace(self._replaced, self.previous)


def _fill(stream: IO[bytes], data: bytes) -> None:
    """Bring all of a file onto the disk while its name is still to come."""
    stream.write(data)
    stream.flush()
    os.fsync(stream.fileno())
