"""An operator's side: get a challenge, sign the command that answers it, send it, say what came of it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from asd_edge.errors import RemoteError
from asd_edge.keys import fingerprint
from asd_edge.remote.command import Command, encode, signed_message
from asd_edge.remote.reasons import REASONS
from asd_edge.remote.requests import challenge_request, command_request
from asd_edge.remote.runner import TIMEOUT_S

_CHALLENGE_PATIENCE_S = 10.0
_COMMAND_PATIENCE_S = TIMEOUT_S + 10.0

Ask = Callable[[bytes, float], dict[str, Any]]
"""Send a request, wait so many seconds for its response; raises an AsdEdgeError when none comes."""


def perform(ask: Ask, key: Ed25519PrivateKey, device: str, make: Callable[[str], Command]) -> Any:
    """Have a device do a command; return what it printed, as JSON.

    Args:
        ask: how it is reached.
        key: signs the command.
        device: its id.
        make: makes the command that answers a nonce.

    Raises:
        RemoteError: it refused the command, could not do it, or is another device.
    """
    challenge = _checked(ask(challenge_request(secrets.token_hex(16)), _CHALLENGE_PATIENCE_S), "challenge")
    if challenge.get("device") != device:  # the device would refuse it too; so is nothing signed for a stranger
        raise RemoteError(
            "Another device has answered",
            found=repr(challenge.get("device")),
            expected=repr(device),
            remedy="Find out who else publishes on this device's topics.",
        )
    return _checked(ask(signed_request(key, make(challenge["nonce"])), _COMMAND_PATIENCE_S), "done")["result"]


def signed_request(key: Ed25519PrivateKey, command: Command) -> bytes:
    """Return the payload that asks for a command."""
    data = encode(command)
    return command_request(fingerprint(key.public_key()), data, key.sign(signed_message(data)))


def _checked(response: dict[str, Any], wanted: str) -> dict[str, Any]:
    verdict = response.get("verdict")
    if verdict == wanted:
        return response
    if verdict == "failed":
        raise RemoteError(
            "The device could not do it",
            found=str(response.get("error")),
            expected="a command that the device can do",
            remedy="Do what the device's own message says, then send the command again.",
        )
    meanings = {str(reason): meaning for reason, meaning in REASONS.items()}
    reason = str(response.get("reason"))
    raise RemoteError(
        "The device refuses the request",
        found=f"{reason}: {meanings.get(reason, 'a reason of another version')}",
        expected=f"the answer {wanted!r}",
        remedy="docs/mqtt.md says what to do about each reason; the device's audit file says more.",
    )
