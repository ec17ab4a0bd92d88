"""The two kinds of request that a device takes: for a challenge, and a signed command."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Annotated, Literal, Union

from pydantic import Field, TypeAdapter, ValidationError

from asd_edge.remote.command import canonical
from asd_edge.strict import Name, RefusalError, Strict, refusal_of

SIZE_LIMIT = 8192
"""Bytes of a request; a command has about 400."""

_Base64 = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]+={0,2}$")]


class ChallengeRequest(Strict):
    """Ask for a challenge. `request_id` is the asker's own, so that no two ask with the same bytes."""

    ask: Literal["challenge"] = "challenge"
    request_id: Name


class CommandRequest(Strict):
    """A command's bytes and their signature, both in Base64; `key` is the signer's fingerprint as ssh-keygen has it."""

    key: Annotated[str, Field(pattern=r"^SHA256:[A-Za-z0-9+/]{43}$")]
    command: _Base64
    signature: _Base64 | None = None


Request = Union[ChallengeRequest, CommandRequest]  # noqa: UP007 - a value, on Python 3.10 too
_REQUEST: TypeAdapter[Request] = TypeAdapter(Request)


def parse_request(payload: bytes) -> Request:
    """Read a request of at most SIZE_LIMIT bytes.

    Raises:
        RefusalError: it is neither kind.
    """
    try:
        return _REQUEST.validate_json(payload)
    except ValidationError as error:
        raise refusal_of(error, CommandRequest) from None


def challenge_request(request_id: str) -> bytes:
    """Return the payload that asks for a challenge."""
    return canonical(ChallengeRequest(request_id=request_id).model_dump())


def command_request(key: str, command: bytes, signature: bytes) -> bytes:
    """Return the payload of a signed command."""
    return canonical({"key": key, "command": to_base64(command), "signature": to_base64(signature)})


def digest(payload: bytes) -> str:
    """Return the SHA-256 of a request, hexadecimal: how a response says what it answers, readable or not."""
    return hashlib.sha256(payload).hexdigest()


def to_base64(data: bytes) -> str:
    """Return the one Base64 form (RFC 4648) of `data`."""
    return base64.b64encode(data).decode()


def from_base64(text: str) -> bytes:
    """Read Base64.

    Raises:
        RefusalError: not the form that `to_base64` writes (unused bits could differ otherwise).
    """
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise RefusalError(f"text that is not Base64: {error}", "Base64") from None
    if to_base64(data) != text:
        raise RefusalError("Base64 with stray bits", "the form that an encoder writes")
    return data
