"""What becomes of a request, in the words that go over the wire and into the audit file."""

from __future__ import annotations

from typing import Final, Literal

Verdict = Literal["challenge", "refused", "accepted", "done", "failed"]

Reason = Literal[
    "retained",
    "oversized",
    "malformed",
    "unsigned",
    "unknown_key",
    "altered",
    "foreign_device",
    "replayed",
    "unknown_nonce",
    "expired",
    "unavailable",
    "busy",
    "rate_limited",
]

REASONS: Final[dict[Reason, str]] = {
    "retained": "a retained message: it says how things stand, it cannot be a command",
    "oversized": "longer than 8192 bytes",
    "malformed": "not a request of this version, or its signed bytes are not a command in canonical JSON",
    "unsigned": "a command without a signature",
    "unknown_key": "signed with a key that is not in `keys_file`",
    "altered": "the signature is not of these bytes",
    "foreign_device": "signed for another device",
    "replayed": "its challenge has been used",
    "unknown_nonce": "answers no challenge of this device, or one from before its last start",
    "expired": "its challenge is older than `challenge_s`",
    "unavailable": "the device cannot remember used challenges or write its audit file; its log says why",
    "busy": "another command is still running",
    "rate_limited": "more than 20 requests in a minute, or more than `commands_per_hour`",
}
"""Why a request is refused: in the order in which it is looked at."""
