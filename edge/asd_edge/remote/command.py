"""What an operator signs: one command to one device, in answer to one of its challenges.

Reader and writer of the signed bytes are both here. They are canonical JSON (sorted keys, no spaces, ASCII), so that
one command has one form; the signature (Ed25519, RFC 8032) is over DOMAIN and these bytes, so that no signature made
for another purpose can pass for one of a command.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal, Union

from pydantic import Field, TypeAdapter, ValidationError

from asd_edge.strict import Name, RefusalError, Sha256, Strict, check_version, refusal_of

FORMAT: Final = "asd-edge-remote-command"
VERSION: Final = 1
DOMAIN: Final = b"asd-edge remote command v1\0"

Nonce = Sha256  # 32 bytes, hexadecimal


class _Signed(Strict):
    format: Literal["asd-edge-remote-command"] = FORMAT
    version: Literal[1] = VERSION
    device: Name
    nonce: Nonce
    machine: Name


class Propose(_Signed):
    """Make a condition out of the last `last_s` seconds heard, for a person to judge; it is not in force yet."""

    action: Literal["propose"] = "propose"
    condition: Name
    last_s: Annotated[int, Field(ge=10, le=600)]


class Commit(_Signed):
    """Put a proposal in force."""

    action: Literal["commit"] = "commit"
    proposal: Name


class Discard(_Signed):
    """Forget a proposal."""

    action: Literal["discard"] = "discard"
    proposal: Name


class Remove(_Signed):
    """Forget a condition that is in force."""

    action: Literal["remove"] = "remove"
    condition: Name


class Rollback(_Signed):
    """Go back to the conditions before the last change."""

    action: Literal["rollback"] = "rollback"


class Conditions(_Signed):
    """List the conditions in force."""

    action: Literal["conditions"] = "conditions"


Command = Union[Propose, Commit, Discard, Remove, Rollback, Conditions]  # noqa: UP007 - a value, on Python 3.10 too
_COMMAND: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="action")])


def command_of(**fields: str | int) -> Command:
    """Return the command of `action` with these fields.

    Raises:
        RefusalError: a field is missing, unknown or impossible.
    """
    try:
        return _COMMAND.validate_python(fields)
    except ValidationError as error:
        raise refusal_of(error, _Signed) from None


def encode(command: Command) -> bytes:
    """Return a command's canonical JSON."""
    return canonical(command.model_dump(mode="json"))


def decode(data: bytes) -> Command:
    """Read a command.

    Raises:
        RefusalError: not a command of this version, or not in its canonical form.
    """
    check_version(data, format=FORMAT, version=VERSION)
    try:
        command = _COMMAND.validate_json(data)
    except ValidationError as error:
        raise refusal_of(error, _Signed) from None
    if encode(command) != data:
        raise RefusalError("a command in another form", "canonical JSON: sorted keys, no spaces, ASCII")
    return command


def signed_message(data: bytes) -> bytes:
    """Return what the signature of a command's bytes is over."""
    return DOMAIN + data


def canonical(document: dict[str, Any]) -> bytes:
    """Return JSON in the one form that is signed."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()
