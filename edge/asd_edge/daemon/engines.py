"""Which engine serves in a daemon: onnxruntime at once, and a faster one when it is built, true and measured faster."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from asd_edge.bundle.bundle import Bundle
from asd_edge.config import DeviceConfig
from asd_edge.daemon.probation import Probation
from asd_edge.daemon.scorer import Scorer
from asd_edge.engines.switching import switching
from asd_edge.errors import AsdEdgeError
from asd_edge.heart import Heart
from asd_edge.serving.accelerator import Accelerator
from asd_edge.serving.build import BuildChild, BuildLimits
from asd_edge.serving.choice import Choice, kept_choice
from asd_edge.serving.choose import compare_engines
from asd_edge.serving.measuring import measuring
from asd_edge.serving.served import enrolled_with
from asd_edge.serving.verify import LIMITS, check_served, verify
from asd_edge.sinks.payloads import EngineReport

_log = logging.getLogger(__name__)

_FOREIGN_S = 600.0  # [ours] to load an engine and to measure it, on a slow board
_SEARCH = "tensorrt"  # the key of what may end the process before it is known which engine it is

Find = Callable[[Path], Accelerator]
"""Looks for an accelerator, whose engines are kept in a folder; raises EngineError: there is none."""


class Engines:
    """Runs the network on onnxruntime, and on an accelerator once it is there.

    A thread of its own looks for the accelerator, has its engine built by a child process, holds it to the golden
    segments and measures it; the scorer's thread then switches between two blocks. Whatever goes wrong, before or
    after, leaves onnxruntime serving and a reason in `report`.

    Args:
        config: the device.
        bundle: seen as the variant that is served.
        scorer: whose thread runs the network.
        changed: called after `report` has changed, in the thread that changed it.
        find: looks for the accelerator; None where there is nothing to look for.
        heart: gives its sign of life, with the seconds that loading, building and measuring may last.

    Raises:
        EngineError: onnxruntime cannot load the graphs, or fails parity in another precision than fp32.
    """

    def __init__(
        self,
        config: DeviceConfig,
        bundle: Bundle,
        scorer: Scorer,
        changed: Callable[[EngineReport], None],
        find: Find | None,
        heart: Callable[[str, float], Heart] = Heart,
    ) -> None:
        self._config, self._bundle, self._scorer, self._changed = config, bundle, scorer, changed
        self._steady = bundle.pipeline(threads=config.bundle.threads)
        self._untrue = check_served(bundle, self._steady)
        self._embedder = switching(self._steady.embedder, self._failed)
        self.pipeline = replace(self._steady, embedder=self._embedder)
        """What the daemon computes, whichever engine does it."""
        wanted = config.engine.tensorrt != "off"
        self._find = find if wanted else None
        missing = "TensorRT is not installed" if wanted else "engine.tensorrt is off"
        self.report = self._on_cpu(missing if self._find is None else "TensorRT is looked for")
        limits = BuildLimits(config.engine.build_timeout_s, config.engine.build_memory_mib << 20)
        self._child = BuildChild(limits)
        self._probation = Probation(config)
        self._heart = heart("engines", config.engine.build_timeout_s + _FOREIGN_S)
        # TensorRT does not always return; it must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name="engines", daemon=True)

    def start(self) -> None:
        """Begin to look for a faster engine; called when the machines are heard already."""
        if self._find is not None:
            self._thread.start()

    def stop(self, patience_s: float) -> None:
        """Give up what is being built; return after `patience_s` at the latest."""
        self._child.stop()
        if self._thread.is_alive():
            self._thread.join(patience_s)
        self._probation.close()

    def hangs(self, run: int | None) -> bool:
        """Say whether a faster engine does not return from a run, about once a second (`Probation.hangs`).

        Of onnxruntime it says nothing: no other engine could help.
        """
        return self._probation.hangs(run)

    # --- the thread's work ---

    def _run(self) -> None:
        with self._heart:
            self._look()

    def _look(self) -> None:
        try:
            reason = self._accelerate()
        except AsdEdgeError as error:
            reason = self._probation.gave_up(f"{error.what}: {error.found}")
        except Exception as error:  # of a foreign runtime
            _log.exception("A faster engine was looked for")
            reason = self._probation.gave_up(f"{type(error).__name__}: {error}")
        if reason is not None and not self._child.stopped:
            _log.info("onnxruntime goes on serving. %s", reason)
            self._set(self._on_cpu(reason))

    def _accelerate(self) -> str | None:
        """Hand a faster engine to the scorer; or say why there is none."""
        accelerator = self._found()
        if accelerator is None or isinstance(accelerator, str):
            return accelerator
        bundle = self._bundle
        key = accelerator.key(bundle)
        waiting = self._probation.waits(key)
        if waiting is not None:
            return waiting
        choice = self._known(accelerator, key)
        if choice is not None and choice.engine != accelerator.name:
            return f"{accelerator.name} was judged: {choice.engine_why}"
        embedder = self._load(accelerator, key)
        if embedder is None:
            self._probation.end()  # what builds is another process
            reason = self._built(accelerator, key)
            if reason is not None:
                return reason
            embedder = self._load(accelerator, key)
            if embedder is None and not self._child.stopped:
                self._probation.end()
                return self._not_built(accelerator, key, "what was built is not in the cache")
        if embedder is None:  # the daemon stops
            return None
        faster = replace(self._steady, embedder=embedder)
        if choice is None:
            pipelines = {"onnxruntime": self._steady, accelerator.name: faster}
            enrolled = enrolled_with(self._config, bundle)
            with measuring(self._config.device.state_dir):
                choice = compare_engines(self._config, bundle, pipelines, enrolled=enrolled, engine_key=key)
        elif not (verdict := verify(bundle, faster, accelerator.name)).passed:  # it was true when it was measured
            return self._probation.gave_up(f"{accelerator.name} fails parity: {verdict}")
        if choice.engine != accelerator.name:
            return self._not_faster(accelerator, choice)
        if not self._child.stopped:
            self._scorer.between(partial(self._switch, accelerator, embedder, choice.engine_why))
        return None

    def _found(self) -> Accelerator | str | None:
        """Return the accelerator; or say why it is not looked for. None when the daemon stops.

        Raises:
            EngineError: there is none.
        """
        assert self._find is not None  # start()
        self._probation.look_back()
        waiting = self._probation.waits(_SEARCH)
        if waiting is not None or not self._probation.begin(_SEARCH, _SEARCH):
            return waiting
        try:
            return self._find(self._config.engine_cache)
        finally:
            self._probation.end()

    def _load(self, accelerator: Accelerator, key: str) -> Any:
        """Return the engine, on trial from before it is loaded; None where it must be built, or the daemon stops."""
        what = f"{accelerator.name}/{self._bundle.precision}"
        return accelerator.load(self._bundle) if self._probation.begin(key, what) else None

    def _built(self, accelerator: Accelerator, key: str) -> str | None:
        """Have the engine built; or say why it is not."""
        _log.info("%s is being built in the background; onnxruntime serves meanwhile", accelerator.name)
        self._set(self._on_cpu(f"{accelerator.name} is being built"))
        outcome = self._child.run(accelerator.build_command(self._bundle, self._config.bundle.path))
        error = outcome.error
        if error is None and isinstance(outcome.result, dict):
            error = outcome.result.get("error")
        return None if error is None else self._not_built(accelerator, key, str(error))

    def _not_built(self, accelerator: Accelerator, key: str, error: str) -> str:
        """Remember why there is no engine, unless it is only that the daemon stops."""
        if not self._child.stopped:
            self._probation.failures.note(key, f"{accelerator.name}/{self._bundle.precision}", error)
        return f"the build of {accelerator.name} failed: {error}"

    def _not_faster(self, accelerator: Accelerator, choice: Choice) -> str:
        """Say why an engine that was measured does not serve, and remember one that is not true."""
        reason = f"{accelerator.name} was judged: {choice.engine_why}"
        measured = choice.candidate(accelerator.name, choice.precision)
        if measured is None or measured.parity is None or measured.parity > LIMITS[choice.precision]:
            return self._probation.gave_up(reason)
        self._probation.end(passed=True)
        return reason

    def _known(self, accelerator: Accelerator, key: str) -> Choice | None:
        """Return the kept choice if it was made with this build of the engine."""
        choice = kept_choice(self._config.device.state_dir, self._bundle)
        if choice is None or choice.precision != self._bundle.precision:
            return None
        measured = choice.candidate(accelerator.name, choice.precision)
        if measured is None or measured.seconds is None or measured.engine_key != key:
            return None
        return choice

    # --- the scorer's thread ---

    def _switch(self, accelerator: Accelerator, embedder: Any, why: str) -> None:
        self._embedder.use(embedder)
        self._probation.serves()
        _log.info("%s serves from the next block on: %s", accelerator.name, why)
        self._set(EngineReport(accelerator.name, self._bundle.precision))

    def _failed(self, reason: str) -> None:
        """Take note that the engine in use was given up; the block was computed on the CPU."""
        name = self.report.name
        self._probation.end()
        _log.error("%s is given up until the next start, and onnxruntime serves again: %s", name, reason)
        self._set(self._on_cpu(f"{name} failed: {reason}"))

    def _on_cpu(self, reason: str) -> EngineReport:
        if self._untrue is not None:
            reason = f"{self._untrue}. {reason}"
        return EngineReport("onnxruntime", self._bundle.precision, reason)

    def _set(self, report: EngineReport) -> None:
        self.report = report
        self._changed(report)
