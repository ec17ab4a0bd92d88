"""What a session asks its transport to do, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias


class Moment(NamedTuple):
    """Now: by the wall clock, ms since 1970, UTC, and by a clock that only runs forward, seconds."""

    utc: int
    monotonic: float


@dataclass(frozen=True, slots=True)
class Publication:
    """A message to publish, never retained."""

    topic: str
    payload: bytes
    qos: int = 0


@dataclass(frozen=True, slots=True)
class Leave:
    """Disconnect so that the server publishes the Will too; connect to the next server, unless the node is stopped."""

    reason: str


Action: TypeAlias = Publication | Leave
