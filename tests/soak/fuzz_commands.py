"""Requests to a device as a broken or hostile client may send them: mutants of genuine ones, and plain rubbish."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from random import Random

from tests.edge.remote_operator import Operator

_ACTIONS = ("propose", "commit", "remove", "rollback", "list", "", "A" * 300)
_ODD: tuple[object, ...] = (
    None,
    True,
    -1,
    0,
    1e308,
    1 << 80,
    "",
    "\0",
    "fan-1",
    "../../etc",
    "x" * 5000,
    [],
    {},
    [[[]]],
    {"a": 1},
)


class Requests:
    """Makes request after request; the same seed makes the same ones, but for what the device's nonces change.

    Args:
        random: chance.
        known: somebody whose key the device has.
        stranger: somebody whose key it has not.
    """

    def __init__(self, random: Random, known: Operator, stranger: Operator) -> None:
        self._random, self._known, self._stranger = random, known, stranger
        self._count = 0
        self.nonces: list[str] = ["0" * 32]  # what the device has issued; the newest last
        self._kinds: tuple[Callable[[], bytes], ...] = (
            *(self._challenge, self._signed, self._odd_command, self._odd_request),
            *(self._altered, self._cut, self._rubbish, self._nested, self._huge),
        )

    def make(self) -> bytes:
        """Return the next request."""
        self._count += 1
        return self._random.choice(self._kinds)()

    def _challenge(self) -> bytes:
        return json.dumps({"ask": "challenge", "request_id": f"fuzz-{self._count}"}).encode()

    def _signed(self) -> bytes:
        """A command that is genuine but for its subject: an unknown machine, so that nothing is really done."""
        who = self._random.choice((self._known, self._known, self._stranger))
        nonce = self._random.choice((self.nonces[-1], self._random.choice(self.nonces)))
        return who.request(nonce, machine="nobody", device=self._random.choice(("box", "box", "other")))

    def _odd_command(self) -> bytes:
        """What a holder of the key may sign: anything."""
        command: object = {
            "format": "asd-edge-remote-command",
            "version": self._random.choice((1, 2, "1", None)),
            "device": "box",
            "nonce": self._random.choice(self.nonces),
            "machine": self._random.choice(("nobody", *_ODD)),
            "action": self._random.choice(_ACTIONS),
            self._random.choice(("condition", "proposal", "last_s", "revision", "?")): self._random.choice(_ODD),
        }
        if self._random.random() < 0.2:
            command = self._random.choice(_ODD)
        return self._known.sign(json.dumps(command).encode()[: self._random.choice((10, 6000))])

    def _odd_request(self) -> bytes:
        genuine = json.loads(self._known.request(self.nonces[-1], machine="nobody"))
        genuine[self._random.choice((*genuine, "more"))] = self._random.choice(_ODD)
        if self._random.random() < 0.3:
            del genuine[self._random.choice(tuple(genuine))]
        return json.dumps(genuine).encode()

    def _altered(self) -> bytes:
        data = bytearray(self._known.request(self.nonces[-1], machine="nobody"))
        for _ in range(self._random.choice((1, 1, 3, 20))):
            data[self._random.randrange(len(data))] = self._random.randrange(256)
        return bytes(data)

    def _cut(self) -> bytes:
        data = self._known.request(self.nonces[-1], machine="nobody")
        return data[: self._random.randrange(len(data))]

    def _rubbish(self) -> bytes:
        return self._random.randbytes(self._random.choice((0, 1, 7, 300, 9000)))

    def _nested(self) -> bytes:
        depth = self._random.choice((10, 1000, 4000))
        return b'{"command":' + b"[" * depth + b"]" * (depth - self._random.randrange(2)) + b"}"

    def _huge(self) -> bytes:
        return b'{"command":"' + base64.b64encode(self._random.randbytes(self._random.choice((6000, 200_000)))) + b'"}'
