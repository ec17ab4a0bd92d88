"""Enrollment: a few clips of a machine become an operating condition that this device knows from then on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_edge.bundle.archive import Bundle
from asd_edge.bundle.calibration import Calibration
from asd_edge.bundle.site import EnrolledClip, EnrolledCondition, SiteStore
from asd_edge.errors import EnrollmentError
from asd_edge.imprint import Groups, Imprint, active_embeddings, alike, centres_of, leave_one_out_scores
from asd_edge.offline import EmbeddedClip, embed_clip, idle_floor_of
from asd_edge.pipeline import Pipeline
from asd_edge.scoring.calibration import GammaFit, Spread, calibrate_clips
from asd_edge.scoring.nearest_centre import Condition, cosine_distance
from asd_edge.strict import NAME_PATTERN

FEWEST_CLIPS = 3
"""Leave-one-clip-out needs two clips for a centre and one to judge it."""

ALARMS_PER_WEEK = 1.0
"""False alarms that a week of running may have when nobody says otherwise."""

LEAST_THRESHOLD = 1e-4
"""Real recordings of one machine are further apart than this; a threshold below it would alarm on anything."""

UNRELATED = 1.0
"""Cosine distance of two embeddings that have nothing in common: a threshold there lets every fault pass."""

SILENCE_DBFS = -85.0
"""A clip softer than this came from no running machine: a 16-bit microphone's own noise is louder."""


@dataclass(frozen=True)
class RecordedClip:
    """A recording to enroll. `samples`: float32 [n] at the bundle's rate."""

    name: str
    samples: NDArray[np.float32]

    @property
    def sha256(self) -> str:
        """Digest of the samples."""
        return hashlib.sha256(self.samples.tobytes()).hexdigest()


@dataclass(frozen=True)
class EnrollmentReport:
    """What an enrollment did.

    `groups`: names of the clips behind each centre. `distances`: smallest cosine distance between a new centre and
    one of each condition known before. `dropped`: conditions of another embedding, which this one replaced.
    """

    machine: str
    condition: str
    revision: int
    replaced: bool
    groups: list[list[str]]
    segments: int
    threshold: float
    idle_floor_dbfs: float
    distances: dict[str, float]
    dropped: list[str]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def enroll_clips(
    store: SiteStore,
    bundle: Bundle,
    *,
    machine: str,
    condition: str,
    clips: Sequence[RecordedClip],
    mixed: bool = False,
    factory: tuple[str, str] | None = None,
    alarms_per_week: float = ALARMS_PER_WEEK,
    progress: Callable[[str], None] = lambda name: None,
) -> EnrollmentReport:
    """Make an operating condition from clips and store it, as a whole or not at all.

    Args:
        store: the machine's site state.
        bundle: embeds the clips; the condition belongs to it.
        machine: id, for the report.
        condition: name of the new condition; one of the same name is replaced.
        clips: three or more recordings of the machine running normally in this condition.
        mixed: the clips may hold several kinds of normal sound; each kind gets a centre of its own.
        factory: (machine, section) of the bundle whose scores say how much normal sound spreads.
        alarms_per_week: how many false alarms a week of running may have.
        progress: called with the name of each clip after it is embedded.

    Raises:
        EnrollmentError: a name that cannot be used, too few clips, the same clip twice, a silent clip, or clips that
            do not sound alike.
        SourceError: a clip shorter than one segment.
        StateError: another enrollment is running, or the state cannot be written.
    """
    check_name(condition)
    _check(clips)
    pipeline = bundle.pipeline()
    embedded = []
    for clip in clips:
        embedded.append(embed_clip(pipeline, clip.samples, name=clip.name))
        progress(clip.name)
    idle_floor = idle_floor_of(embedded)
    groups = alike(embedded, idle_floor=idle_floor)
    _check_groups(groups, mixed=mixed)
    by_label = {f"{condition}/{number}": group for number, group in enumerate(groups, start=1)}
    made = _imprint(pipeline, condition, by_label, idle_floor, alarms_per_week, _prior(bundle, factory))
    _check_threshold(made.condition.threshold)
    with store.exclusive():
        before = store.load()
        same = before.embedding_id == bundle.embedding_id
        known = {c.name: c for c in before.conditions if same}
        after = store.save(before.with_condition(_enrolled(made, clips, embedded, idle_floor), bundle.embedding_id))
    return EnrollmentReport(
        machine=machine,
        condition=condition,
        revision=after.revision,
        replaced=condition in known,
        groups=[[clip.name for clip in group] for group in groups],
        segments=sum(len(part) for part in active_embeddings(embedded, idle_floor)),
        threshold=made.condition.threshold,
        idle_floor_dbfs=10.0 * float(np.log10(max(idle_floor, 1e-12))),
        distances={name: _nearest(made, other) for name, other in known.items() if name != condition},
        dropped=[] if same else [c.name for c in before.conditions],
    )


def check_name(condition: str) -> None:
    """Refuse a name that cannot stand in a topic, before minutes are spent on recording.

    Raises:
        EnrollmentError: it has other characters than a name may have.
    """
    if re.fullmatch(NAME_PATTERN, condition) is None:
        raise EnrollmentError(
            "The condition's name cannot be used",
            found=repr(condition),
            expected="1 to 64 letters, digits, hyphens or underscores",
            remedy="Choose another name, like rpm1200.",
        )


def _check(clips: Sequence[RecordedClip]) -> None:
    if len(clips) < FEWEST_CLIPS:
        raise EnrollmentError(
            "Too few clips to enroll a condition",
            found=f"{len(clips)}",
            expected=f"at least {FEWEST_CLIPS} clips of the machine running normally",
            remedy="Record more clips, ten seconds each, some minutes apart.",
        )
    seen: dict[str, str] = {}
    for clip in clips:
        if clip.sha256 in seen:
            raise EnrollmentError(
                "The same recording was given twice",
                found=f"{clip.name} sounds exactly like {seen[clip.sha256]}",
                expected="different recordings: a copy teaches nothing about how much normal sound varies",
                remedy="Leave the copy out.",
            )
        seen[clip.sha256] = clip.name
        level = 10.0 * np.log10(max(float(np.var(clip.samples, dtype=np.float64)), 1e-12))
        if level < SILENCE_DBFS:
            raise EnrollmentError(
                f"The clip {clip.name} is silent",
                found=f"{level:.0f} dBFS",
                expected=f"the machine running, above {SILENCE_DBFS:.0f} dBFS",
                remedy="Check that the microphone works and the machine runs, then record again.",
            )


def _check_groups(groups: Sequence[Sequence[EmbeddedClip]], *, mixed: bool) -> None:
    """Refuse clips of several sounds unless that is meant, and clips of which no two sound alike."""
    if groups and len(groups[0]) > 1 and (mixed or len(groups) == 1):
        return
    raise EnrollmentError(
        "The clips do not sound alike",
        found="; ".join(" and ".join(clip.name for clip in group) for group in groups) + " differ from each other",
        expected="clips of one operating condition" if not mixed else "at least two clips of one kind of sound",
        remedy="Enroll each kind of sound as a condition of its own. If all of it is one condition, add --mixed: each "
        "kind then gets its own centre. A clip of a fault would be learned as normal, so listen to them first.",
    )


def _check_threshold(threshold: float) -> None:
    if threshold < LEAST_THRESHOLD:
        raise EnrollmentError(
            "The clips are copies or parts of one recording",
            found=f"a threshold of {threshold:.1e}: without one clip, the others sound exactly like it",
            expected="recordings that differ as much as normal sound varies",
            remedy="Record the clips at different times, some minutes apart.",
        )
    if threshold >= UNRELATED:
        raise EnrollmentError(
            "The clips differ so much that the device would be deaf",
            found=f"a threshold of {threshold:.2f}",
            expected=f"a threshold below {UNRELATED:.0f}, the distance of unrelated sounds",
            remedy="Record where the machine is louder than its surroundings, enroll its states one by one, or accept "
            "more false alarms per week: a larger budget lowers the threshold.",
        )


def _imprint(
    pipeline: Pipeline, name: str, groups: Groups, idle_floor: float, alarms_per_week: float, prior: Spread | None
) -> Imprint:
    calibration = calibrate_clips(
        leave_one_out_scores(pipeline, groups, idle_floor=idle_floor),
        alarms_per_week=alarms_per_week,
        every_s=pipeline.score_every_s,
        prior=prior,
    )
    centres = centres_of(groups, idle_floor=idle_floor)
    return Imprint(Condition(name, centres, calibration.threshold), tuple(groups), calibration)


def _prior(bundle: Bundle, factory: tuple[str, str] | None) -> Spread | None:
    """Return how much the factory's scores of this machine spread; None when it does not know it."""
    for known in bundle.manifest.machines:
        if factory == (known.machine, known.section):
            gamma = known.conditions[0].calibration.gamma
            return None if gamma is None else Spread.of(GammaFit(gamma.shape, gamma.scale))
    return None


def _enrolled(
    made: Imprint, clips: Sequence[RecordedClip], embedded: Sequence[EmbeddedClip], idle_floor: float
) -> EnrolledCondition:
    return EnrolledCondition(
        name=made.condition.name,
        centres=tuple(tuple(float(value) for value in centre) for centre in made.condition.centres),
        threshold=made.condition.threshold,
        idle_floor=idle_floor,
        clips=tuple(EnrolledClip(name=clip.name, sha256=clip.sha256) for clip in clips),
        enrolled_utc=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        segments=sum(len(part) for part in active_embeddings(embedded, idle_floor)),
        calibration=Calibration.of(made.calibration),
    )


def _nearest(made: Imprint, other: EnrolledCondition) -> float:
    theirs = np.array(other.centres, dtype=np.float32)
    return min(cosine_distance(one, two) for one in made.condition.centres for two in theirs)
