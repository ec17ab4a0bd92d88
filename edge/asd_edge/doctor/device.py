"""The device as the checks see it: its files below a root, its device file, its bundle."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from asd_edge.config import DeviceConfig, load_config
from asd_edge.doctor.finding import Finding, warning
from asd_edge.errors import AsdEdgeError, ConfigError

if TYPE_CHECKING:
    from asd_edge.bundle.bundle import Bundle

_READ_LIMIT = 1 << 20  # bytes; what the kernel tells is shorter


@dataclass(frozen=True)
class Device:
    """What there is to look at.

    Args:
        root: where `/proc`, `/sys`, `/dev`, `/etc`, `/usr` and `/var` of the system are looked for.
        config_file: the device file; None to check what can be checked without.
        config: its content; None without, or when it cannot be used.
        refusal: why it cannot be used.
        bundle_path: a bundle to look at in the place of the device file's.
    """

    root: Path = Path("/")
    config_file: Path | None = None
    config: DeviceConfig | None = None
    refusal: ConfigError | None = field(default=None, compare=False)
    bundle_path: str | None = None

    @classmethod
    def of(cls, config_file: Path | None, bundle_path: str | None = None) -> Device:
        """Return this device, with its device file read as far as it can be."""
        if config_file is None:
            return cls(bundle_path=bundle_path)
        try:
            return cls(config_file=config_file, config=load_config(config_file), bundle_path=bundle_path)
        except ConfigError as refusal:
            return cls(config_file=config_file, refusal=refusal, bundle_path=bundle_path)

    @property
    def bundle_name(self) -> str:
        """Path of the bundle that is looked at, or "default"."""
        return self.bundle_path or (self.config.bundle.path if self.config is not None else "default")

    @cached_property
    def bundle(self) -> Bundle:
        """The bundle. With a device file it is one that the device may run: a stranger's graphs are not looked into.

        Raises:
            UntrustedError: the device file's policy refuses it.
            BundleError: it cannot be used.
            ConfigError: the trusted keys cannot be used.
        """
        from asd_edge.bundle.archive import load_bundle
        from asd_edge.bundle.trust import load_trusted, read_trusted

        if self.config is None:
            return load_bundle(self.bundle_name)
        if self.bundle_path not in (None, "default"):
            return read_trusted(Path(self.bundle_name), self.config.bundle)[0]
        return load_trusted(self.config.bundle.model_copy(update={"path": self.bundle_name}))

    @property
    def usable_bundle(self) -> Bundle | None:
        """The bundle; None when it cannot be used, which the checks `bundle` and `signature` say."""
        try:
            return self.bundle
        except AsdEdgeError:
            return None

    def path(self, path: str | Path) -> Path:
        """Return where an absolute path of the system lies below the root."""
        return self.root / str(path).lstrip("/")

    def read(self, path: str | Path) -> str | None:
        """Return the text of a file of the system without the blanks around it; None when it cannot be read.

        Sensors that are switched off answer with an error, which is None too.
        """
        return read_text(self.path(path))

    def number(self, path: str | Path) -> int | None:
        """Return the whole number in a file of the system; None when there is none."""
        return read_number(self.path(path))

    def glob(self, pattern: str) -> list[Path]:
        """Return the paths of the system that match, below the root, sorted with numbers in their order."""
        return sorted(self.root.glob(pattern.lstrip("/")), key=lambda path: (len(path.name), path))

    @property
    def is_jetson(self) -> bool:
        """Whether this is an NVIDIA Jetson."""
        return self.path("/etc/nv_tegra_release").exists() or "tegra" in (
            self.read("/proc/device-tree/compatible") or ""
        )


def read_text(path: Path) -> str | None:
    """Return a file's text without the blanks and NULs around it; None when it cannot be read."""
    try:
        with path.open("rb") as stream:
            data = stream.read(_READ_LIMIT)
    except OSError:
        return None
    # A buffered file makes None of EAGAIN, which Tegra's sensors of parts that are off answer.
    return None if data is None else data.decode("utf-8", "replace").strip("\0 \t\r\n")


def read_number(path: Path) -> int | None:
    """Return the whole number that a file holds, also one in hexadecimal; None when it holds none."""
    try:
        return int(read_text(path) or "", 0)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Answer:
    """How a program ended, and what it said."""

    status: int
    output: str
    errors: str

    @property
    def last_words(self) -> str:
        """The last line it said."""
        return next(_lines_backwards(self.errors + "\n" + self.output), f"it ended with status {self.status}")


def _lines_backwards(text: str) -> Iterator[str]:
    return (line.strip() for line in reversed(text.splitlines()) if line.strip())


def ask(program: str, *arguments: str, timeout_s: float) -> Answer | None:
    """Run another program to its end; None when there is no such program.

    Raises:
        TimeoutError: it did not end in time, and was killed.
    """
    found = shutil.which(program)
    if found is None:
        return None
    try:
        done = subprocess.run(
            [found, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            env=os.environ | {"LC_ALL": "C"},  # its words are read
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"{program} did not answer within {timeout_s:g} s") from None
    return Answer(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))


def silent(error: TimeoutError, *, subject: str | None = None) -> Finding:
    """Return the finding of a program that `ask` has waited for in vain."""
    return warning(str(error), "Look at `dmesg`: a driver or a disk may hang.", subject=subject)


def is_denied(error: AsdEdgeError) -> bool:
    """Whether it came of a file that this user may not read."""
    return isinstance(error.__cause__ or error.__context__, PermissionError)


def is_root() -> bool:
    """Whether this process may read everything."""
    return os.geteuid() == 0
