"""What a subscriber received, held against what the daemon committed: the judgement of losses, duplicates and order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Payload = dict[str, Any]


@dataclass
class Ledger:
    """Every event by its id, as it came first, and what was wrong with those that came again.

    A stream is one way of events to the subscriber (alarms, live scores, history). After an unclean disconnect older
    events are sent again, so order is judged by when an id came first.
    """

    received: dict[int, bytes] = field(default_factory=dict)  # id → digest of its payload
    again: int = 0
    uncommitted: int = 0
    contradictions: list[str] = field(default_factory=list)
    disorder: list[str] = field(default_factory=list)
    alarms: dict[str, Payload] = field(default_factory=dict)  # machine → the alarm with the highest id
    _newest: dict[tuple[str, str], int] = field(default_factory=dict)

    def take(self, stream: str, event: Payload) -> bool:
        """Note an event; return whether its id is new."""
        number, machine = event["id"], event["machine"]
        if number is None:
            self.uncommitted += 1
            return True
        digest = hashlib.blake2b(json.dumps(event, sort_keys=True).encode(), digest_size=16).digest()
        if number in self.received:
            self.again += 1
            if self.received[number] != digest:
                self.contradictions.append(f"{stream}: id {number} came with another payload: {event}")
            return False
        self.received[number] = digest
        if number < (newest := self._newest.get((stream, machine), 0)):
            self.disorder.append(f"{stream}: id {number} of {machine} came first after {newest}")
        self._newest[stream, machine] = max(number, newest)
        if "active" in event and number > self.alarms.get(machine, {"id": 0})["id"]:
            self.alarms[machine] = event
        return True

    def lost(self, committed: Iterable[int], waiting: Iterable[int]) -> list[int]:
        """Return the committed ids that neither came nor wait in the outbox."""
        kept = set(waiting)
        return [number for number in committed if number not in self.received and number not in kept]
