"""Words that follow a number."""

from __future__ import annotations


def counted(number: int, what: str) -> str:
    """Return how many there are of something: `1 clip`, `2 clips`."""
    return f"{number} {what}{'' if number == 1 else 's'}"
