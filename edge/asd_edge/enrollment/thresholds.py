"""Thresholds of a machine's conditions: shown, set by hand, or found anew for a budget from hours of normal sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asd_edge.bundle import calibration as documents
from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.site import FactoryThreshold, SiteState
from asd_edge.enrollment.checks import LEAST_THRESHOLD
from asd_edge.enrollment.commit import change_of
from asd_edge.enrollment.effect import Outcome, PastAlarm, difference, replay
from asd_edge.enrollment.propose import Machine
from asd_edge.errors import EnrollmentError, StateError
from asd_edge.history.format import Stretch
from asd_edge.scoring.calibration import Calibration, Trace, calibrate_hours
from asd_edge.scoring.conditions import ConditionSet

FEWEST_HOURS = 1.0
"""Less stored sound of a condition says no more about rare alarms than the clips it was enrolled from."""


@dataclass(frozen=True, slots=True)
class KnownThreshold:
    """The threshold of one condition as it holds now; `calibration` says where it comes from."""

    condition: str
    threshold: float
    calibration: Calibration


@dataclass(frozen=True)
class NewThreshold:
    """A threshold that is proposed, and what it would have changed.

    `hours`: of the condition's stored sound it was found from, 0 where it was not. `refusal`: why a person must insist.
    """

    before: KnownThreshold
    calibration: Calibration
    hours: float
    vanish: tuple[PastAlarm, ...]
    appear: tuple[PastAlarm, ...]
    refusal: str | None


def known_thresholds(machine: Machine, bundle: Bundle, site: SiteState) -> list[KnownThreshold]:
    """Return the threshold of every condition of the machine, the factory's first.

    Raises:
        StateError: the conditions belong to another bundle.
        ConfigError: the bundle does not know the factory machine.
    """
    return thresholds_of(machine.conditions(bundle, site), bundle, machine.factory, site)


def thresholds_of(
    conditions: ConditionSet | None, bundle: Bundle, factory: tuple[str, str] | None, site: SiteState
) -> list[KnownThreshold]:
    """Return the threshold of each of `conditions`, which are those of `bundle` and `site`."""
    calibrations = {c.name: c.calibration for c in site.conditions}
    for known in bundle.machines:
        if factory == (known.machine, known.section):
            calibrations |= {f"factory/{c.name}": c.calibration for c in known.conditions}
            here = (t for t in site.factory_thresholds if t.factory == known.key)
            calibrations |= {t.name: t.calibration for t in here}
    known_here = () if conditions is None else conditions.conditions
    return [KnownThreshold(c.name, c.threshold, calibrations[c.name].value(c.threshold)) for c in known_here]


def propose_threshold(
    machine: Machine,
    bundle: Bundle,
    condition: str,
    *,
    value: float | None,
    alarms_per_week: float | None,
    history: Sequence[Stretch],
) -> NewThreshold:
    """Find a condition's new threshold and what it would have changed; nothing is written.

    Args:
        machine: whose condition it is.
        bundle: that the device runs.
        condition: `rpm1200`, or `factory/source`.
        value: the threshold itself; else
        alarms_per_week: false alarms that a week under this condition may have; the machine's budget without both.
        history: of normal sound; with FEWEST_HOURS of this condition the threshold is found from it, with less from
            what the condition's calibration knows already.

    Raises:
        EnrollmentError: a value that cannot be a threshold, or nothing to find one from.
        StateError: no such condition, or the machine's state cannot be used.
    """
    site = machine.store.load().of_bundle(bundle)
    before = _find(machine, known_thresholds(machine, bundle, site), condition)
    pipeline = bundle.pipeline()
    heard = replay(history, pipeline, machine.conditions(bundle, site), machine.decision)
    trace = _trace_of(heard, condition, pipeline.score_every_s)
    hours, refusal = 0.0, None
    if value is not None:
        calibration = before.calibration.set_by_hand(_checked(value, bundle))
    else:
        budget = machine.alarms_per_week if alarms_per_week is None else alarms_per_week
        if trace.scored_s >= FEWEST_HOURS * 3600.0:
            hours = trace.scored_s / 3600.0
            calibration = calibrate_hours(trace, alarms_per_week=budget, decision=machine.decision)
            refusal = _refusal(heard, condition, hours)
        else:
            calibration = _for_budget(before.calibration, budget)
        _check_hearing(calibration.threshold, budget, bundle)
    changed = with_threshold(site, machine.factory, condition, calibration)
    after = replay(history, pipeline, machine.conditions(bundle, changed), machine.decision)
    vanish, appear = difference(heard, after)
    return NewThreshold(before, calibration, hours, tuple(vanish), tuple(appear), refusal)


def commit_threshold(
    machine: Machine, bundle: Bundle, new: NewThreshold, *, author: str, force: bool = False
) -> SiteState:
    """Store a proposed threshold; the caller holds the machine's lock, since before it was proposed.

    Raises:
        EnrollmentError: alarms stood in the sound that it was found from, and nobody vouches for that sound.
        StateError: the state cannot be written.
    """
    if new.refusal is not None and not force:
        raise EnrollmentError(
            "The threshold is not changed",
            found=new.refusal,
            expected="hours in which the machine was healthy, or somebody who knows that it was",
            remedy="Choose hours without these alarms (--hours), or add --force if they were false.",
        )
    site = machine.store.load().of_bundle(bundle)
    change = change_of("threshold", new.before.condition, author, bundle.bundle_id)
    return machine.store.save(with_threshold(site, machine.factory, new.before.condition, new.calibration), change)


def with_threshold(
    site: SiteState, factory: tuple[str, str] | None, condition: str, calibration: Calibration
) -> SiteState:
    """Return the state with another threshold of one of its conditions, or of one of the factory's."""
    document = documents.Calibration.of(calibration)
    enrolled = site.condition(condition)
    if enrolled is None:
        threshold = FactoryThreshold(
            factory="/".join(factory or ()),
            name=condition,
            threshold=calibration.threshold,
            calibration=document,
        )
        return site.with_factory_threshold(threshold)
    update = {"threshold": calibration.threshold, "calibration": document}
    conditions = tuple(c.model_copy(update=update) if c.name == condition else c for c in site.conditions)
    return site.model_copy(update={"conditions": conditions})


def _find(machine: Machine, known: Sequence[KnownThreshold], condition: str) -> KnownThreshold:
    for threshold in known:
        if threshold.condition == condition:
            return threshold
    raise StateError(
        f"The machine {machine.store.machine} has no such condition",
        found=repr(condition),
        expected=f"one of {', '.join(t.condition for t in known)}" if known else "nothing, as nothing is known of it",
        remedy="Look at what there is: asd-edge threshold show.",
    )


def _for_budget(known: Calibration, alarms_per_week: float) -> Calibration:
    if known.rate is not None:
        return known.for_budget(alarms_per_week)
    raise EnrollmentError(
        "No threshold can be found for a budget",
        found="scores without a spread, and too little stored sound of the condition",
        expected=f"at least {FEWEST_HOURS:g} h of it",
        remedy="Let the machine run under this condition, or set the threshold by hand (--value).",
    )


def _trace_of(outcome: Outcome, condition: str, every_s: float) -> Trace:
    own = np.array(outcome.by_condition, dtype=np.str_) == condition
    return Trace(outcome.heard_s, np.where(own, outcome.scores, -np.inf), every_s)


def _refusal(outcome: Outcome, condition: str, hours: float) -> str | None:
    # An alarm has the name of the condition under which it began, and may have gone on under this one.
    alarms = sum(condition in outcome.by_condition[span] for span in outcome.spans)
    if not alarms:
        return None
    return (
        f"{alarms} alarms stood in these {hours:.1f} hours. If the machine was faulty then, its sound would count "
        "as normal from now on."
    )


def _check_hearing(threshold: float, budget: float, bundle: Bundle) -> None:
    """Refuse a threshold that keeps the budget by hearing nothing."""
    unrelated = bundle.manifest.backend.unrelated
    if threshold >= unrelated:
        raise EnrollmentError(
            "No threshold keeps this budget and still hears anything",
            found=f"a threshold of {threshold:.2f} for {budget:g} false alarms a week",
            expected=f"a threshold below {unrelated:g}, the distance of unrelated sounds",
            remedy="Accept more false alarms (--alarms-per-week), or place the microphone nearer to the machine: its "
            "sound differs too little from its surroundings for alarms that rare.",
        )


def _checked(threshold: float, bundle: Bundle) -> float:
    unrelated = bundle.manifest.backend.unrelated
    if LEAST_THRESHOLD <= threshold < unrelated:
        return threshold
    raise EnrollmentError(
        "This cannot be a threshold",
        found=f"{threshold:g}",
        expected=f"at least {LEAST_THRESHOLD:g}, which alarms on anything, and below {unrelated:g}, which alarms on "
        "nothing",
        remedy="Look at the scores of normal sound (asd-edge threshold show) and choose one above them.",
    )
