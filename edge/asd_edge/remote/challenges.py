"""The challenges that this device has issued since it started."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

NONCE_BYTES = 32
CAPACITY = 256
"""More than can be issued within the longest life of a challenge, so none is forgotten before it expires."""


class ChallengeBook:
    """Nonces and when they were issued, by the device's own monotonic clock: nobody's wall clock matters.

    Args:
        life_s: how long a challenge may be answered, seconds.
        clock: monotonic seconds.
        random: gives that many unpredictable bytes.
    """

    def __init__(self, life_s: float, clock: Callable[[], float], random: Callable[[int], bytes]) -> None:
        self.life_s = life_s
        self._clock = clock
        self._random = random
        self._issued: dict[str, float] = {}

    def issue(self) -> str:
        """Return a new nonce, hexadecimal."""
        nonce = self._random(NONCE_BYTES).hex()
        self._issued[nonce] = self._clock()
        if len(self._issued) > CAPACITY:
            del self._issued[next(iter(self._issued))]
        return nonce

    def state(self, nonce: str) -> Literal["open", "expired", "unknown"]:
        """Say what can be done with a nonce."""
        issued = self._issued.get(nonce)
        if issued is None:
            return "unknown"
        return "open" if self._clock() - issued <= self.life_s else "expired"

    def close(self, nonce: str) -> None:
        """Forget a nonce that has been used."""
        self._issued.pop(nonce, None)
