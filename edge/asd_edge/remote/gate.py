"""Where every request is judged: answered with a challenge, refused with a reason, or let through as a command.

No sockets, no threads; clocks and chance are passed in. Nothing inside a command is looked at before its signature
has been verified. A verified command's nonce is on the disk as used before anything else is said of it: whoever has
seen it refused or done can rely on it that nobody can send it again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

from asd_edge.errors import StateError
from asd_edge.remote.challenges import ChallengeBook
from asd_edge.remote.command import Command, decode, signed_message
from asd_edge.remote.rate_limit import RateLimit
from asd_edge.remote.reasons import Reason
from asd_edge.remote.requests import SIZE_LIMIT, ChallengeRequest, CommandRequest, from_base64, parse_request
from asd_edge.remote.used_nonces import UsedNonces
from asd_edge.strict import RefusalError

if TYPE_CHECKING:  # whoever does not take commands need not have the library
    from asd_edge.keys import AuthorisedKeys

REQUESTS_PER_MINUTE = 20
"""Of anybody: what comes beyond is no longer even answered, or a flood would wash away the audit file."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A new challenge, to be answered within `life_s` seconds."""

    nonce: str
    life_s: float


@dataclass(frozen=True, slots=True)
class Accepted:
    """A command to do now, once."""

    key: str
    command: Command


@dataclass(frozen=True, slots=True)
class Refused:
    """`detail` is for the device's own log: the sender learns the reason alone. `key` has signed this, if known."""

    reason: Reason
    detail: str
    key: str | None = None
    command: Command | None = None


Decision = Union[Issued, Accepted, Refused]  # noqa: UP007 - a value, on Python 3.10 too


class Gate:
    """The judge of one device.

    Args:
        device: its id.
        keys: whose commands are accepted.
        challenges: what it has issued.
        used: what has been answered.
        commands_per_hour: how many commands are let through in an hour.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        device: str,
        keys: AuthorisedKeys,
        challenges: ChallengeBook,
        used: UsedNonces,
        *,
        commands_per_hour: int,
        clock: Callable[[], float],
    ) -> None:
        self._device = device
        self._keys = keys
        self._challenges = challenges
        self._used = used
        self._requests = RateLimit(REQUESTS_PER_MINUTE, 60.0, clock)
        self._commands = RateLimit(commands_per_hour, 3600.0, clock)
        self._flooded = False

    def judge(self, payload: bytes, *, retained: bool, busy: bool) -> Decision | None:
        """Judge one request; None when it is not even answered, in a flood.

        Args:
            payload: as it arrived.
            retained: whether the broker had kept it.
            busy: whether a command is still running.
        """
        if not self._requests.allow():
            first, self._flooded = not self._flooded, True
            return Refused("rate_limited", f"more than {REQUESTS_PER_MINUTE} requests in a minute") if first else None
        self._flooded = False
        if not retained:
            return self._judge(payload, busy=busy)
        judged = self._judge(payload, busy=True)  # a genuine command is spent even so, and is none of the hour's
        signed = judged if isinstance(judged, Refused) else Refused("retained", "")
        return Refused("retained", "a retained message", signed.key, signed.command)

    def _judge(self, payload: bytes, *, busy: bool) -> Decision:
        if len(payload) > SIZE_LIMIT:
            return Refused("oversized", f"{len(payload)} bytes")
        try:
            request = parse_request(payload)
            if isinstance(request, ChallengeRequest):
                if self._used.fault is not None:  # a command could not be let through anyway
                    return Refused("unavailable", str(self._used.fault))
                return Issued(self._challenges.issue(), self._challenges.life_s)
            return self._judge_command(request, busy=busy)
        except RefusalError as refusal:
            return Refused("malformed", f"{refusal.found}; expected {refusal.expected}")

    def _judge_command(self, request: CommandRequest, *, busy: bool) -> Decision:
        if request.signature is None:
            return Refused("unsigned", f"a command said to be of {request.key}")
        data = from_base64(request.command)
        signer = self._keys.check(request.key, signed_message(data), from_base64(request.signature))
        if signer.name is None:
            return Refused("unknown_key", f"a command said to be of {request.key}")
        if not signer.genuine:
            return Refused("altered", f"a command said to be of {signer.name}")
        try:
            command = decode(data)
        except RefusalError as refusal:
            return Refused("malformed", f"{refusal.found}; expected {refusal.expected}", signer.name)
        why_not = self._judge_genuine(command, busy=busy)
        return Accepted(signer.name, command) if why_not is None else Refused(*why_not, signer.name, command)

    def _judge_genuine(self, command: Command, *, busy: bool) -> tuple[Reason, str] | None:
        """Judge a command that a known key has signed; return why it is refused all the same."""
        if command.device != self._device:  # and so however often it comes: nothing to spend
            return "foreign_device", f"for the device {command.device}"
        if command.nonce in self._used:
            return "replayed", "its challenge has been used"
        state = self._challenges.state(command.nonce)
        if state == "unknown":
            return "unknown_nonce", "no challenge of this device since its start"
        if state == "expired":
            return "expired", f"its challenge is older than {self._challenges.life_s:g} s"
        self._challenges.close(command.nonce)
        try:
            self._used.add(command.nonce)
        except StateError as error:
            return "unavailable", str(error)
        if busy:
            return "busy", "another command is still running"
        if not self._commands.allow():
            return "rate_limited", "more commands in an hour than commands_per_hour"
        return None
