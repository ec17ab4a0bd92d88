"""What a training that is cut off goes on from: written whole or not at all, read only by the training it is of."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import torch

from asd_edge.errors import DataError


class Checkpoint:
    """The state of a training after its last whole epoch.

    Args:
        path: of the file; its folder is made.
        of: digest of all that decides the training's result.
        every_s: least seconds between two writes, so that a short epoch is not followed by a long one.
    """

    def __init__(self, path: Path, *, of: str, every_s: float) -> None:
        self._path, self._of, self._every_s = path, of, every_s
        self._written = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """Return the state, None when there is none.

        Raises:
            DataError: it is of another training, or cannot be read.
        """
        if not self._path.exists():
            return None
        try:
            stored: dict[str, Any] = torch.load(self._path, map_location="cpu", weights_only=True)
            of = stored["of"]
        except Exception as error:  # torch.load raises whatever the damage suggests
            raise self._refused(str(error).splitlines()[0]) from error
        if of != self._of:
            raise self._refused("a training with another recipe, seed, engine or other clips")
        state: dict[str, Any] = stored["state"]
        return state

    @property
    def due(self) -> bool:
        """Whether the last state is old enough for another."""
        return time.monotonic() - self._written >= self._every_s

    def save(self, state: dict[str, Any]) -> None:
        """Keep the state."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".new")
        with temporary.open("wb") as file:
            torch.save({"of": self._of, "state": state}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._path)
        self._written = time.monotonic()

    def _refused(self, found: str) -> DataError:
        return DataError(
            f"The training cannot go on from {self._path}",
            found=found,
            expected="the state that this very training left when it was cut off",
            remedy="Repeat the command that was cut off, or remove that file to begin anew.",
        )
