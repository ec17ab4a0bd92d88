"""What a device answers (schema: sinks/schemas/remote.json). `request` is the SHA-256 of what is answered."""

from __future__ import annotations

from typing import Any

from asd_edge.events import utc
from asd_edge.remote.reasons import Reason
from asd_edge.remote.runner import Outcome


def challenge_response(request: str, *, time: float, device: str, nonce: str, life_s: float) -> dict[str, Any]:
    """Return the answer to a request for a challenge."""
    return _response(request, time, "challenge") | {"device": device, "nonce": nonce, "life_s": life_s}


def refusal_response(request: str, *, time: float, reason: Reason) -> dict[str, Any]:
    """Return the answer to a request that is refused; it says the reason and no more."""
    return _response(request, time, "refused") | {"reason": reason}


def outcome_response(request: str, *, time: float, outcome: Outcome) -> dict[str, Any]:
    """Return the answer to a command that was let through, once it is over."""
    if outcome.error is not None:
        return _response(request, time, "failed") | {"error": outcome.error}
    return _response(request, time, "done") | {"result": outcome.result}


def _response(request: str, time: float, verdict: str) -> dict[str, Any]:
    return {"request": request, "time": utc(time), "verdict": verdict}
