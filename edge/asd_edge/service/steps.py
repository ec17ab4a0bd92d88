"""Steps of an installation: said first, then done."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from asd_edge.atomic import atomic_write
from asd_edge.errors import ServiceError


@dataclass(frozen=True, slots=True)
class Write:
    """A file that is written, with its folder."""

    path: Path
    text: str

    def __str__(self) -> str:
        """Return what will be done."""
        return f"{'replace' if self.path.exists() else 'write'} {self.path}"


@dataclass(frozen=True, slots=True)
class Remove:
    """A file that is removed, and its folder if that is empty then."""

    path: Path

    def __str__(self) -> str:
        """Return what will be done."""
        return f"remove {self.path}"


@dataclass(frozen=True, slots=True)
class Run:
    """A command that has to succeed."""

    words: tuple[str, ...]
    remedy: str

    def __str__(self) -> str:
        """Return what will be done."""
        return f"run {' '.join(self.words)}"


@dataclass(frozen=True, slots=True)
class Leave:
    """What stays as it is, and why."""

    what: str

    def __str__(self) -> str:
        """Return what is left."""
        return f"leave {self.what}"


Step: TypeAlias = Write | Remove | Run | Leave


def perform(step: Step) -> None:
    """Do a step.

    Raises:
        ServiceError: a file cannot be written or removed, or a command failed.
    """
    match step:
        case Write():
            _write(step)
        case Remove():
            _remove(step)
        case Run():
            _run(step)
        case Leave():
            pass


def _write(step: Write) -> None:
    try:
        step.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(step.path) as stream:
            stream.write(step.text.encode())
    except OSError as error:
        raise _failed(step, error) from error


def _remove(step: Remove) -> None:
    try:
        step.path.unlink(missing_ok=True)
        if step.path.parent.name.endswith(".d") and not any(step.path.parent.iterdir()):
            step.path.parent.rmdir()
    except OSError as error:
        raise _failed(step, error) from error


def _failed(step: Write | Remove, error: OSError) -> ServiceError:
    return ServiceError(
        f"Cannot {step}",
        found=str(error),
        expected="a folder that root may write to",
        remedy="Make the disk writable, then run this again: what is done already stays as it is.",
    )


def _run(step: Run) -> None:
    try:
        done = subprocess.run(step.words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        found = (done.stderr or done.stdout).strip() or f"exit status {done.returncode}"
        failed = done.returncode != 0
    except OSError as error:
        found, failed = str(error), True
    if failed:
        raise ServiceError(f"{' '.join(step.words)} failed", found=found, expected="exit status 0", remedy=step.remedy)
