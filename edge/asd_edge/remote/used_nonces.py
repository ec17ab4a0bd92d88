"""The nonces that have been used, on the disk: a command is not done twice, whatever happens in between."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field

from asd_edge.atomic import atomic_write
from asd_edge.errors import StateError
from asd_edge.remote.command import Nonce
from asd_edge.strict import RefusalError, Strict, parse_versioned

FORMAT: Final = "asd-edge-used-nonces"
VERSION: Final = 1
CAPACITY = 1024
"""The oldest are forgotten beyond this; their challenges are long unknown, so they stay refused."""


class _Document(Strict):
    format: Literal["asd-edge-used-nonces"] = FORMAT
    version: Literal[1] = VERSION
    used: Annotated[tuple[Nonce, ...], Field(max_length=CAPACITY)] = ()


class UsedNonces:
    """A set of nonces in a file that is written before a command is let through.

    `fault`: why the file or its folder could not be used at the start; None if they could. Nothing is remembered then,
    and the file stays as it is.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._used: tuple[Nonce, ...] = ()
        self.fault: StateError | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._used = parse_versioned(path.read_bytes(), _Document, format=FORMAT, version=VERSION).used
        except FileNotFoundError:
            pass
        except OSError as error:
            self.fault = _unusable(path, error.strerror or str(error))
        except RefusalError as refusal:
            self.fault = _unusable(path, refusal.found)

    def __contains__(self, nonce: str) -> bool:
        return nonce in self._used

    def add(self, nonce: str) -> None:
        """Remember a nonce; it is on the disk when this returns.

        Raises:
            StateError: it cannot be written; it is remembered no longer than the daemon runs.
        """
        if self.fault is not None:
            raise self.fault
        self._used = (*self._used, nonce)[-CAPACITY:]
        try:
            with atomic_write(self._path, mode=0o600) as stream:
                stream.write(_Document(used=self._used).model_dump_json().encode() + b"\n")
        except OSError as error:
            raise _unusable(self._path, error.strerror or str(error)) from error


def _unusable(path: Path, found: str) -> StateError:
    return StateError(
        f"The used nonces in {path} cannot be kept",
        found=found,
        expected="a file that the daemon itself has written, in a folder that it may write to",
        remedy="Correct the folder's owner, make room, or remove a damaged file, then restart the daemon: it knows no"
        " challenge of before its start, so nothing can be replayed.",
    )
