"""Remote enrollment in the daemon: a thread judges requests, and a child process does what is let through."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from asd_edge.config import DeviceConfig, RemoteTable
from asd_edge.credentials import credential
from asd_edge.errors import StateError
from asd_edge.events import utc
from asd_edge.heart import Heart
from asd_edge.remote.arguments import arguments
from asd_edge.remote.audit import Audit, AuditEntry
from asd_edge.remote.challenges import ChallengeBook
from asd_edge.remote.gate import Accepted, Gate, Issued, Refused
from asd_edge.remote.reasons import Verdict
from asd_edge.remote.requests import digest
from asd_edge.remote.responses import challenge_response, outcome_response, refusal_response
from asd_edge.remote.runner import Outcome, Runner
from asd_edge.remote.used_nonces import UsedNonces
from asd_edge.sinks.link.subscription import Subscription
from asd_edge.sinks.mqtt import MqttSink
from asd_edge.sinks.payloads import remote_message
from asd_edge.sinks.topics import Topics

if TYPE_CHECKING:
    from asd_edge.keys import AuthorisedKeys

_log = logging.getLogger(__name__)

_MOST_WAITING = 32  # requests not judged yet; a flood must not fill the memory
_LONGEST_DETAIL = 200  # characters, most of which a stranger may have chosen


def remote_enrollment(
    config: DeviceConfig, path: Path, heart: Callable[[str], Heart] = Heart
) -> RemoteEnrollment | None:
    """Return what takes commands, once it listens to a sink; None when it is off, and then nobody listens.

    When the state folder cannot be used every request is refused as `unavailable`: the machines are listened to anyway.

    Raises:
        ConfigError: the keys cannot be used.
    """
    if not config.remote.enabled:
        return None
    keys = authorised_keys(config.remote)
    state = config.device.state_dir  # a machine's folder there has no dot in its name
    used = UsedNonces(state / "remote-nonces.json")
    challenges = ChallengeBook(config.remote.challenge_s, monotonic, secrets.token_bytes)
    gate = Gate(
        config.device.id,
        keys,
        challenges,
        used,
        commands_per_hour=config.remote.commands_per_hour,
        clock=monotonic,
    )
    remote = RemoteEnrollment(
        config.device.id,
        path.absolute(),
        gate,
        Audit(state / "remote-audit.jsonl"),
        Runner(),
        heart("remote"),
    )
    if used.fault is None:
        _log.info("Remote enrollment is on; commands are taken from %s", ", ".join(keys.names))
    else:
        _log.error("Remote enrollment is unavailable. %s", used.fault)
    return remote


def authorised_keys(remote: RemoteTable) -> AuthorisedKeys:
    """Return the keys that may command.

    Raises:
        ConfigError: they cannot be used.
    """
    from asd_edge.keys import read_authorised_keys

    assert remote.keys_file is not None  # as the table itself requires
    return read_authorised_keys(credential(remote.keys_file))


class RemoteEnrollment:
    """Answers requests one after the other in a thread of its own.

    Args:
        device: the device's id.
        config: the device file, which the child reads.
        gate: judges requests.
        audit: where every request is written down.
        runner: does commands.
        heart: its sign of life.
    """

    def __init__(
        self,
        device: str,
        config: Path,
        gate: Gate,
        audit: Audit,
        runner: Runner,
        heart: Heart,
    ) -> None:
        self._device = device
        self._config = config
        self._gate = gate
        self._audit = audit
        self._runner = runner
        self._heart = heart
        self._respond: Callable[[dict[str, Any]], None] = lambda response: None
        self._inbox: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="remote", daemon=True)
        self._unanswered = 0
        self._child: threading.Thread | None = None

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def listen_to(self, sink: MqttSink, topics: Topics) -> None:
        """Take requests from a sink that has not been started, and answer there from now on."""
        sink.subscribe(Subscription(topics.remote_request, self.arrived))
        self._respond = lambda response: sink.send(remote_message(topics, response))

    def arrived(self, payload: bytes, retained: bool) -> None:
        """Take a request from any thread; return at once."""
        if self._inbox.qsize() < _MOST_WAITING:  # what is dropped here would be unanswered by the gate too
            self._inbox.put(partial(self._answer, payload, retained))

    def stop(self, patience_s: float = 3.0) -> None:
        """Kill the child, write down what became of it, and end; return after `patience_s` at the latest."""
        deadline = monotonic() + patience_s
        self._runner.stop()
        if (child := self._child) is not None:
            child.join(patience_s)
        self._inbox.put(None)
        self._thread.join(max(0.0, deadline - monotonic()))

    def _work(self) -> None:
        with self._heart:
            while (task := self._next()) is not None:
                try:
                    task()
                except Exception:  # one bad request must not end the thread
                    _log.exception("Remote enrollment")

    def _next(self) -> Callable[[], None] | None:
        self._heart.rest()
        task = self._inbox.get()
        self._heart.beat()
        return task

    # --- the thread's tasks ---

    def _answer(self, payload: bytes, retained: bool) -> None:
        request = digest(payload)
        decision = self._gate.judge(payload, retained=retained, busy=self._child is not None)
        if decision is None:
            self._unanswered += 1
        elif isinstance(decision, Issued):
            self._note(request, "challenge")
            self._respond(
                challenge_response(
                    request, time=time(), device=self._device, nonce=decision.nonce, life_s=decision.life_s
                )
            )
        elif isinstance(decision, Accepted):
            self._begin(request, decision)
        else:
            self._refuse(request, decision)

    def _refuse(self, request: str, refused: Refused) -> None:
        detail = _one_line(refused.detail)
        _log.warning("Remote request refused (%s): %s", refused.reason, detail)
        self._note(request, "refused", reason=refused.reason, key=refused.key, command=refused.command, detail=detail)
        self._respond(refusal_response(request, time=time(), reason=refused.reason))

    def _begin(self, request: str, accepted: Accepted) -> None:
        key, command = accepted.key, accepted.command
        try:
            self._write(request, "accepted", key=key, command=command)
        except StateError as error:  # what cannot be written down is not done
            self._refuse(request, Refused("unavailable", str(error), key, command))
            return
        _log.info("Remote command of %s: %s of %s", key, command.action, command.machine)
        self._child = threading.Thread(target=self._do, args=(request, accepted), name="remote-command", daemon=True)
        self._child.start()

    def _do(self, request: str, accepted: Accepted) -> None:
        """Wait for the child, in a thread of its own: meanwhile others are told that the device is busy."""
        author = f"remote:{accepted.key}"
        try:
            outcome = self._runner.run(arguments(accepted.command, config=self._config, author=author))
        except Exception as error:
            outcome = Outcome(error=f"{type(error).__name__}: {error}")
        self._inbox.put(partial(self._finish, request, accepted, outcome))

    def _finish(self, request: str, accepted: Accepted, outcome: Outcome) -> None:
        self._child = None
        verdict: Verdict = "done" if outcome.error is None else "failed"
        _log.info("Remote command of %s: %s", accepted.key, outcome.error or verdict)
        detail = None if outcome.error is None else _one_line(outcome.error)
        self._note(request, verdict, key=accepted.key, command=accepted.command, detail=detail)
        self._respond(outcome_response(request, time=time(), outcome=outcome))

    def _note(self, request: str, verdict: Verdict, **fields: Any) -> None:
        try:
            self._write(request, verdict, **fields)
        except StateError as error:
            _log.error("%s", error)

    def _write(self, request: str, verdict: Verdict, **fields: Any) -> None:
        entry = AuditEntry(
            time=utc(time()),
            monotonic_s=round(monotonic(), 3),
            request=request,
            verdict=verdict,
            unanswered=self._unanswered,
            **fields,
        )
        self._audit.write(entry)
        self._unanswered = 0


def _one_line(text: str) -> str:
    """Return text that can neither begin a line of its own in a log nor command a terminal, nor fill a disk."""
    return "".join(char if char.isprintable() else " " for char in text[:_LONGEST_DETAIL])
