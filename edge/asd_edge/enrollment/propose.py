"""Propose an operating condition: what the clips give, what it would change, and whether it should be believed."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.calibration import Calibration
from asd_edge.bundle.fitted import StoredArray
from asd_edge.bundle.site import EnrolledClip, EnrolledCondition, SiteState, condition_set
from asd_edge.bundle.site_store import SiteStore
from asd_edge.enrollment.checks import (
    Comparison,
    check_groups,
    check_imprints,
    check_name,
    check_threshold,
    check_usable,
    has_outlier,
    refusal_of,
)
from asd_edge.enrollment.clips import HeardClip, RecordedClip, hear_clips, used_sounds
from asd_edge.enrollment.effect import Outcome, replay
from asd_edge.enrollment.proposal import Proposal
from asd_edge.enrollment.report import Against, report_of
from asd_edge.history.format import Stretch
from asd_edge.imprint import Imprint, alike, imprint_for_budget
from asd_edge.offline import EmbeddedClip, idle_floor_of, windows_of
from asd_edge.pipeline import Pipeline
from asd_edge.scoring.aggregation import condition_distances
from asd_edge.scoring.calibration import GammaFit, Spread
from asd_edge.scoring.conditions import ConditionSet
from asd_edge.scoring.decision import DecisionSpec
from asd_edge.strict import utc_time


@dataclass(frozen=True)
class Machine:
    """The machine a condition is for, as the device file has it.

    `factory`: (machine, section) of the bundle to compare with too. `alarms_per_week`: false alarms that are accepted.
    """

    store: SiteStore
    decision: DecisionSpec
    factory: tuple[str, str] | None = None
    idle_below_dbfs: float | None = None
    alarms_per_week: float = 1.0

    def conditions(self, bundle: Bundle, site: SiteState) -> ConditionSet | None:
        """Return what is known of the machine with `site`.

        Raises:
            StateError: the conditions were enrolled with another bundle.
            ConfigError: the bundle does not know the factory machine.
        """
        return condition_set(bundle, self.factory, site, idle_below_dbfs=self.idle_below_dbfs)

    def prior(self, bundle: Bundle) -> Spread | None:
        """Return how much the scores of this machine spread at the factory; None when that is not known."""
        for known in bundle.machines:
            if self.factory == (known.machine, known.section):
                gamma = known.conditions[0].calibration.gamma
                return None if gamma is None else Spread.of(GammaFit(gamma.shape, gamma.scale))
        return None


@dataclass(frozen=True)
class Proposed:
    """A proposal and what its picture shows: what the history gives `before` and `after` it, None without history.

    `clip_scores`: window scores of each used clip against the new condition, by clip.
    """

    proposal: Proposal
    clip_scores: dict[str, list[float]]
    before: Outcome | None
    after: Outcome | None


def propose(
    machine: Machine,
    bundle: Bundle,
    condition: str,
    clips: Iterable[RecordedClip],
    *,
    author: str,
    mixed: bool = False,
    history: Sequence[Stretch] = (),
    progress: Callable[[str], None] = lambda name: None,
) -> Proposed:
    """Make a condition from clips and judge it; nothing is written.

    Args:
        machine: whose condition it is.
        bundle: embeds the clips; the condition belongs to it.
        condition: name of the new condition; committing replaces one of the same name.
        clips: recordings of the machine running normally in this condition; read one by one.
        author: who proposes.
        mixed: the clips may hold several kinds of normal sound; each kind gets a centre of its own.
        history: what the machine was heard to do; shows what the condition would have changed.
        progress: called with the name of each clip after it is embedded.

    Raises:
        EnrollmentError: a name that cannot be used, no clip that can be, clips that do not sound alike, or a backend
            that learns nothing of a condition.
        SourceError: a clip that cannot be read.
        StateError: the machine's state cannot be read.
    """
    backend = bundle.manifest.backend
    check_name(condition)
    check_imprints(backend)
    pipeline = bundle.pipeline()
    stored = machine.store.load()
    site = stored.of_bundle(bundle)
    known = machine.conditions(bundle, site)
    heard = hear_clips(pipeline, clips, progress=progress)
    check_usable(heard)
    idle_floor = idle_floor_of(used_sounds(heard))
    groups = alike(used_sounds(heard), idle_floor=idle_floor)
    if not mixed and has_outlier(groups):
        heard, groups = _without_outliers(heard, groups[0]), groups[:1]
    check_groups(groups, mixed=mixed)
    by_label = {f"{condition}/{number}": group for number, group in enumerate(groups, start=1)}
    source = None if machine.factory is None else bundle.source(*machine.factory)
    made = imprint_for_budget(
        pipeline,
        backend,
        condition,
        by_label,
        idle_floor=idle_floor,
        alarms_per_week=machine.alarms_per_week,
        decision=machine.decision,
        prior=machine.prior(bundle),
        source=source,
    )
    clip_count = sum(map(len, groups))
    check_threshold(made.condition.threshold, unrelated=backend.unrelated, clips=clip_count)
    enrolled = _enrolled(made, heard, idle_floor, author=author, bundle_id=bundle.bundle_id)
    changed = machine.conditions(bundle, site.with_condition(enrolled))
    # Softer than the known idle floor is no way around the comparison: the clips' own floor holds.
    against = _against(pipeline, used_sounds(heard), known and replace(known, idle_floor=idle_floor))
    before = replay(history, pipeline, known, machine.decision) if history else None
    after = replay(history, pipeline, changed, machine.decision) if history else None
    report = report_of(
        heard,
        made,
        enrolled,
        groups=[[clip.name for clip in group] for group in groups],
        replaced=site.condition(condition),
        dropped=[c.name for c in stored.conditions if site.embedding_id != stored.embedding_id],
        against=against,
        outcomes=None if before is None or after is None else (before, after),
    )
    proposal = Proposal(
        id=secrets.token_hex(8),
        machine=machine.store.machine,
        made_utc=enrolled.enrolled_utc,
        author=author,
        base_revision=stored.revision,
        embedding_id=bundle.embedding_id,
        condition=enrolled,
        report=report,
    )
    own = ConditionSet(backend, (made.condition,), idle_floor)
    scores = {clip.name: _scores(pipeline, [clip], own)[:, 0].tolist() for clip in used_sounds(heard)}
    return Proposed(proposal, scores, before, after)


def _without_outliers(heard: Sequence[HeardClip], alike_ones: Sequence[EmbeddedClip]) -> list[HeardClip]:
    names = ", ".join(clip.name for clip in alike_ones)
    reason = f"outlier: does not sound like {names}; enroll it as a condition of its own, or all of them with --mixed"
    kept = {id(clip) for clip in alike_ones}
    return [clip if clip.rejected or id(clip.sound) in kept else clip.without(reason) for clip in heard]


def _scores(pipeline: Pipeline, clips: Sequence[EmbeddedClip], known: ConditionSet) -> NDArray[np.float64]:
    """Return the distance of every window of the clips to each condition, [windows, conditions]; idle ones left out."""
    rows = [condition_distances(w, known, pipeline.aggregation) for clip in clips for w in windows_of(pipeline, clip)]
    return np.array([row for row in rows if row is not None], dtype=np.float64).reshape(-1, len(known.conditions))


def _against(pipeline: Pipeline, clips: Sequence[EmbeddedClip], known: ConditionSet | None) -> Against:
    """Compare the clips with what is known, as if they were heard now."""
    if known is None:
        return Against((), 0.0, None)
    distances = _scores(pipeline, clips, known)
    thresholds = np.array([condition.threshold for condition in known.conditions])
    compared = [
        Comparison(
            condition.name,
            distance=float(np.median(distances[:, i])),
            threshold=condition.threshold,
            within=float(np.mean(distances[:, i] <= condition.threshold)),
        )
        for i, condition in enumerate(known.conditions)
    ]
    compared.sort(key=lambda c: c.distance)
    nearest = distances.argmin(axis=1)
    anomalous = float(np.mean(distances.min(axis=1) > thresholds[nearest]))
    return Against(tuple(compared), anomalous, refusal_of(compared, anomalous))


def _enrolled(
    made: Imprint, clips: Sequence[HeardClip], idle_floor: float, *, author: str, bundle_id: str
) -> EnrolledCondition:
    used = [clip for clip in clips if clip.rejected is None]
    return EnrolledCondition(
        name=made.condition.name,
        arrays={name: StoredArray.of(array) for name, array in made.condition.fitted.items()},
        threshold=made.condition.threshold,
        idle_floor=idle_floor,
        clips=tuple(EnrolledClip(name=clip.name, sha256=clip.sha256) for clip in used),
        enrolled_utc=utc_time(),
        segments=sum(clip.used for clip in used),
        calibration=Calibration.of(made.calibration),
        author=author,
        bundle_id=bundle_id,
    )
