"""An engine beside onnxruntime may fail, hang, or take the process with it: what is remembered of that, how long."""

from __future__ import annotations

import logging
import threading
from time import monotonic

from asd_edge.config import DeviceConfig
from asd_edge.daemon.stall import Stall
from asd_edge.events import utc
from asd_edge.serving.failures import FailureBook
from asd_edge.serving.trial import Trial

_log = logging.getLogger(__name__)

HANGS_AFTER_S = 30.0
"""[ours] A run takes milliseconds, and a GPU's driver gives up by itself what does not end within seconds."""
_PROVEN_AFTER_S = 3600.0  # [ours] what serves that long has its earlier failures forgotten
_DIED = "the process died while it served"


class Probation:
    """The engine on trial, from before it is touched until it is given up or the daemon ends, and all that failed."""

    def __init__(self, config: DeviceConfig) -> None:
        self.failures = FailureBook(config.engine_cache)
        self._trial = Trial(config.device.state_dir)
        self._stall = Stall(HANGS_AFTER_S)
        self._lock = threading.Lock()  # threads: of the engines, the scorer's, the main one
        self._closed = False
        self._serves_since: float | None = None
        self._proven = False  # its earlier failures are forgotten

    def look_back(self) -> None:
        """Remember the engine that the process died with the last time, if it did."""
        left = self._trial.left()
        if left is not None:
            _log.error("%s: %s; onnxruntime serves", left.what, _DIED)
            self.failures.note(left.key, left.what, _DIED)
        self._trial.end()

    def waits(self, key: str) -> str | None:
        """Say why it is too early to try an engine again; None where it is not."""
        failure = self.failures.waits(key)
        if failure is None:
            return None
        again = f"a start after {utc(failure.again_at)}, or after asd-edge engines clean"
        return f"{failure.what} failed: {failure.reason}; it is tried again at {again}"

    def begin(self, key: str, what: str) -> bool:
        """Put on trial what may end the process; False once the daemon ends.

        Raises:
            StateError: the mark cannot be left; then it must not be tried.
        """
        with self._lock:
            if not self._closed:
                self._trial.begin(key, what)
            return not self._closed

    def serves(self) -> None:
        """Take note that the engine on trial serves from now on."""
        self._serves_since, self._proven = monotonic(), False

    def end(self, *, passed: bool = False) -> None:
        """End the trial; what has `passed` has its earlier failures forgotten."""
        with self._lock:
            self._end(passed=passed)

    def gave_up(self, reason: str) -> str:
        """End the trial, if there is one, with a failure that is remembered; return the reason."""
        with self._lock:
            if self._trial.mark is not None:
                self.failures.note(self._trial.mark.key, self._trial.mark.what, reason)
            self._end()
        return reason

    def hangs(self, run: int | None) -> bool:
        """Say whether the engine that serves does not return from a run; it is a failure then.

        Called about once a second with the number of the run in flight, None where there is none.
        """
        since = self._serves_since
        hangs = self._stall.look(None if since is None else run)
        if hangs:
            reason = self.gave_up(f"it did not return within {HANGS_AFTER_S:g} s")
            _log.critical("The engine hangs: %s. The daemon ends, to start again on onnxruntime", reason)
        elif since is not None and not self._proven and monotonic() - since >= _PROVEN_AFTER_S:
            self._proven = True  # forgetting reads a file: once is enough
            if self._trial.mark is not None:
                self.failures.forget(self._trial.mark.key)
        return hangs

    def close(self) -> None:
        """End the trial for good: the daemon ends as it should, so what serves has passed."""
        with self._lock:
            self._closed = True
            self._end(passed=self._serves_since is not None)

    def _end(self, *, passed: bool = False) -> None:
        if passed and self._trial.mark is not None:
            self.failures.forget(self._trial.mark.key)
        self._serves_since = None
        self._trial.end()
