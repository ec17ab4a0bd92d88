"""The host application that an edge node waits for, as its STATE messages have it."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ConfigDict, Field, ValidationError

from asd_edge.strict import RefusalError, Strict


class _State(Strict):
    model_config = ConfigDict(extra="ignore")  # a host may say more
    online: bool
    timestamp: int = Field(ge=0, lt=1 << 63)


@dataclass(slots=True)
class PrimaryHost:
    """What one broker's STATE messages say of a host.

    The broker keeps the last one, and the Will of a host's former connection may come after the birth of its new one:
    the timestamps tell.
    """

    name: str
    online: bool | None = None
    """None: nothing has been heard of it."""
    _latest: int | None = None  # of any message that was taken
    _online_since: int | None = None  # of the last online one

    @property
    def topic(self) -> str:
        """Where it tells; retained."""
        return f"spBv1.0/STATE/{self.name}"

    def told(self, payload: bytes) -> None:
        """Take a STATE message; one that is older than what is known changes nothing.

        Raises:
            RefusalError: it is none.
        """
        try:
            state = _State.model_validate_json(payload)
        except ValidationError:
            raise RefusalError(
                f"a STATE of {len(payload)} bytes", '{"online": true, "timestamp": 1668114759262}'
            ) from None
        # tck-id-message-flow-edge-node-birth-publish-phid-wait-timestamp, …-phid-offline
        before = self._latest if state.online else self._online_since
        if before is not None and state.timestamp < before:
            return
        self.online, self._latest = state.online, max(state.timestamp, self._latest or 0)
        if state.online:
            self._online_since = state.timestamp
