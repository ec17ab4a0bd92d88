"""Measure, decide, and keep what was decided."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial

from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.variants import PRECISIONS, Precision
from asd_edge.config import DeviceConfig
from asd_edge.errors import EngineError, StateError
from asd_edge.pipeline import Pipeline
from asd_edge.serving.accelerator import Accelerator
from asd_edge.serving.choice import Candidate, Choice, Engine, keep_choice, kept_choice, this_hardware
from asd_edge.serving.decide import Decision, Enrolled, decide
from asd_edge.serving.measure import USUAL_S, Way, judged
from asd_edge.strict import utc_time

_log = logging.getLogger(__name__)


def choose(
    config: DeviceConfig,
    bundle: Bundle,
    *,
    enrolled: Enrolled,
    accelerator: Accelerator | None = None,
    forced: bool = False,
    seconds: float = USUAL_S,
) -> Choice:
    """Measure every way to run the bundle on this device, decide, and keep the choice where that can be done.

    Args:
        config: the device.
        bundle: its bundle, seen as a variant of the kind that serves.
        enrolled: what a change of precision would orphan.
        accelerator: an engine beside onnxruntime; what is not built of it is out.
        forced: take the fastest precision, whatever is enrolled.
        seconds: to measure, in all.
    """
    views = [bundle.at(p) for p in PRECISIONS if bundle.manifest.variant(bundle.kind, p) is not None]
    ways: dict[Way, Callable[[], Pipeline]] = {}
    for view in views:
        ways["onnxruntime", view.precision] = partial(view.pipeline, config.bundle.threads)
        if accelerator is not None:
            ways[accelerator.name, view.precision] = partial(_accelerated, accelerator, view, config.bundle.threads)
    candidates = judged(bundle, ways, channels=len(config.machines), seconds=seconds)
    if accelerator is not None:
        keys = {(accelerator.name, view.precision): accelerator.key(view) for view in views}
        candidates = [c.model_copy(update={"engine_key": keys.get((c.engine, c.precision))}) for c in candidates]
    decision = decide(candidates, fixed=_fixed(config), enrolled={} if forced else enrolled)
    choice = _choice(config, bundle, candidates, decision)
    if forced and any(precision != choice.precision for precision in enrolled):
        choice = choice.model_copy(update={"forced": True})
    _keep(config, choice)
    return choice


def compare_engines(
    config: DeviceConfig,
    bundle: Bundle,
    pipelines: Mapping[Engine, Pipeline],
    *,
    enrolled: Enrolled,
    engine_key: str,
    seconds: float = USUAL_S,
) -> Choice:
    """Measure the engines of the variant in view, and keep which of them serves.

    The precision is not looked at again: what another one took, at another time, is no measure for these.

    Args:
        config: the device.
        bundle: seen as the variant that is served.
        pipelines: what runs it, by engine: onnxruntime and another one.
        enrolled: why the precision may be what it is.
        engine_key: which build of the other engine it is.
        seconds: to measure, in all.
    """
    ways: dict[Way, Callable[[], Pipeline]] = {
        (engine, bundle.precision): partial(_given, pipeline) for engine, pipeline in pipelines.items()
    }
    pair = [
        c if c.engine == "onnxruntime" else c.model_copy(update={"engine_key": engine_key})
        for c in judged(bundle, ways, channels=len(config.machines), seconds=seconds)
    ]
    usual = decide(pair, fixed=_fixed(config), enrolled=enrolled)
    why = usual.precision_why if usual.precision == bundle.precision else "it serves since the daemon was started"
    decision = replace(decide(pair, fixed=bundle.precision, enrolled=enrolled), precision_why=why)
    choice = _choice(config, bundle, pair, decision)
    known = kept_choice(config.device.state_dir, bundle)
    if known is not None and known.precision == bundle.precision:
        others = tuple(c for c in known.candidates if c.name not in {mine.name for mine in pair})
        kept = ("precision_why", "instead", "forced")
        choice = choice.model_copy(
            update={"candidates": (*pair, *others)} | {name: getattr(known, name) for name in kept}
        )
    _keep(config, choice)
    return choice


def _fixed(config: DeviceConfig) -> Precision | None:
    return None if config.bundle.precision == "auto" else config.bundle.precision


def _choice(config: DeviceConfig, bundle: Bundle, candidates: Sequence[Candidate], decision: Decision) -> Choice:
    return Choice(
        bundle_id=bundle.bundle_id,
        kind=bundle.kind,
        hardware=this_hardware(),
        measured_utc=utc_time(),
        threads=config.bundle.threads,
        channels=len(config.machines),
        candidates=tuple(candidates),
        **asdict(decision),
    )


def _given(pipeline: Pipeline) -> Pipeline:
    return pipeline


def _accelerated(accelerator: Accelerator, view: Bundle, threads: int) -> Pipeline:
    embedder = accelerator.load(view)
    if embedder is None:
        raise EngineError(
            "It is not built",
            found="no engine of it in the cache",
            expected="one built on this device",
            remedy="Run asd-edge engines build, or wait until asd-edge run has built it.",
        )
    return replace(view.pipeline(threads), embedder=embedder)


def _keep(config: DeviceConfig, choice: Choice) -> None:
    try:
        keep_choice(config.device.state_dir, choice)
    except StateError as error:  # it is served all the same, and measured again the next time
        _log.warning("%s", error)
