"""A device with two machines, its broker and its subscriber, to which something is done."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.edge.device import ASD_EDGE, asd_edge
from tests.soak.broker import LastingBroker
from tests.soak.load import alarming_device, tracebacks
from tests.soak.outbox_file import read_outbox
from tests.soak.subscriber import Subscriber

MACHINES, SPEED = 2, 5.0
_PATIENCE_S = 40.0


class Rig:
    """Everything that was started is ended when the block is over. `note` remembers what the status says."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.said: dict[str, Any] = {}
        self.codes: list[int] = []  # how the daemons that were stopped have ended
        self.counts: dict[str, Any] = {}
        self.replaced_at: int | None = None  # the last id of the outbox whose file another one has replaced
        self._starts = 0
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Rig:
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.state = self.folder / "state"
        self.state.mkdir()
        self.broker = self.make_broker()
        self.subscriber = Subscriber(self.broker.port)
        self._stack.callback(self.subscriber.close)
        self.broker.save()
        self.device = alarming_device(self.folder, self.broker.port, machines=MACHINES, speed=SPEED, keepalive_s=5)
        self._stack.callback(self._kill)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def make_broker(self) -> LastingBroker:
        """Start the broker of this device."""
        broker = LastingBroker(self.folder)
        broker.start()
        self._stack.callback(broker.stop)
        return broker

    def on_end(self, do: Callable[[], object]) -> None:
        """Undo something at the end, before what was there earlier is undone."""
        self._stack.callback(do)
        self._stack.callback(self._kill)  # the daemon first, which may use it

    def start(self, **environment: str) -> None:
        """Start the daemon."""
        self._starts += 1
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                [*ASD_EDGE, "run", "--config", str(self.device)], stderr=log, env=os.environ | environment
            )

    def stop(self) -> None:
        """Stop it as systemd would."""
        assert self._child is not None
        self._child.terminate()
        self.codes.append(self._child.wait(20))

    def run_on(self, seconds: float) -> None:
        """Let it run for a while; it may not end.

        Raises:
            RuntimeError: it did.
        """
        assert self._child is not None
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if (code := self._child.poll()) is not None:
                raise RuntimeError(f"the daemon ended with {code}: {self.log()}")
            time.sleep(0.1)

    def wait(self, what: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until the status is as wanted, and note what it says; say so if it never is."""
        deadline = time.monotonic() + _PATIENCE_S + 60.0  # it is published when something changes, and every minute
        while not wanted(self.subscriber.status) and time.monotonic() < deadline:
            self.run_on(0.2)
        status = self.subscriber.status
        said = {key: status.get(key) for key in ("state", "health", "troubles", "outbox", "messages")}
        said["machines"] = [
            f"{m['machine']} {m['health']}: {m['error']}" for m in status.get("machines", ()) if m["error"]
        ]
        said["trouble"] = status.get("link", {}).get("trouble")
        self.said[what] = said if wanted(status) else {"NEVER": said}
        return status

    def ask(self, what: str) -> None:
        """Note what `asd-edge status` says, which needs no broker."""
        told = asd_edge("status", "--config", self.device)
        troubles = [line[2:] for line in told.stdout.splitlines() if line.startswith("- ")]
        self.said[what] = {"exit_code": told.returncode, "troubles": troubles}

    def wait_scores(self, more: int = 10) -> None:
        """Wait until so many more live scores have come."""
        before, deadline = self.subscriber.count("live"), time.monotonic() + _PATIENCE_S
        while self.subscriber.count("live") < before + more:
            if time.monotonic() > deadline:
                raise RuntimeError(f"no scores come: {self.log()}")
            self.run_on(0.1)

    def wait_alarm(self) -> None:
        """Wait until an alarm stands."""
        deadline = time.monotonic() + _PATIENCE_S
        while not any(alarm["active"] for alarm in list(self.subscriber.ledger.alarms.values())):
            if time.monotonic() > deadline:
                raise RuntimeError(f"no alarm comes: {self.log()}")
            self.run_on(0.1)

    def log(self) -> str:
        """Return the end of what the daemon has logged."""
        return "\n".join(self._log.read_text("utf-8", errors="replace").splitlines()[-25:])

    def judge(self) -> dict[str, Any]:
        """Stop the daemon, and return what became of its events."""
        self.stop()
        while self.subscriber.quiet_s() < 2.0:
            time.sleep(0.2)
        ledger, held = self.subscriber.ledger, read_outbox(self.state / "outbox" / "mqtt.db")
        committed = held.committed() if self.replaced_at is None else range(1, self.replaced_at + 1)
        return {
            "exit_codes": self.codes,
            "said": self.said,
            "committed": len(committed),
            "received": len(ledger.received),
            "waiting": len(held.waiting),
            "lost": len(ledger.lost(committed, held.waiting)),
            "dropped": held.dropped,
            "uncommitted": ledger.uncommitted,
            "again": ledger.again,
            "scores_missing": self.subscriber.gaps() if self._starts == 1 else None,
            "contradictions": ledger.contradictions[:5],
            "disorder": ledger.disorder[:5],
            "failures": self.subscriber.failures[:5],
            "exceptions_in_the_log": tracebacks(self._log),
        } | self.counts

    def without_paths(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return results that say nothing of where this device was."""
        told: dict[str, Any] = json.loads(json.dumps(results).replace(str(self.folder), ""))
        return told

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    def _kill(self) -> None:
        if self._child is not None and self._child.poll() is None:
            self._child.kill()
            self._child.wait()
