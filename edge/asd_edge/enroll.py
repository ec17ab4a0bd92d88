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
from asd_edge.bundle.manifest import Calibration
from asd_edge.bundle.site import EnrolledClip, EnrolledCondition, SiteState, SiteStore
from asd_edge.errors import EnrollmentError
from asd_edge.imprint import Imprint, active_embeddings, imprint
from asd_edge.offline import EmbeddedClip, embed_clip, idle_floor_of
from asd_edge.strict import NAME_PATTERN

FEWEST_CLIPS = 3
"""Leave-one-clip-out needs two clips for a centre and one to judge it."""

QUANTILE = 0.995
"""Share of normal windows below the threshold of a machine that the factory knows nothing of."""

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
    """What an enrollment did. `distances`: cosine distance of the new centre to each condition known before."""

    machine: str
    condition: str
    revision: int
    replaced: bool
    clips: int
    segments: int
    threshold: float
    idle_floor_dbfs: float
    distances: dict[str, float]

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
    factory: tuple[str, str] | None = None,
    progress: Callable[[str], None] = lambda name: None,
) -> EnrollmentReport:
    """Make an operating condition from clips and store it, as a whole or not at all.

    Args:
        store: the machine's site state.
        bundle: embeds the clips; the condition belongs to it.
        machine: id, for the report.
        condition: name of the new condition; one of the same name is replaced.
        clips: three or more recordings of the machine running normally in this condition.
        factory: (machine, section) of the bundle whose score distribution guides the threshold.
        progress: called with the name of each clip after it is embedded.

    Raises:
        EnrollmentError: a name that cannot be used, too few clips, the same clip twice, or a silent clip.
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
    quantile, shape = _guidance(bundle, factory)
    made = imprint(pipeline, condition, {condition: embedded}, idle_floor=idle_floor, quantile=quantile, shape=shape)
    with store.exclusive():
        before = store.load()
        known = {c.name: c for c in before.conditions if before.bundle_id == bundle.bundle_id}
        after = store.save(before.with_condition(_enrolled(made, clips, embedded, idle_floor), bundle.bundle_id))
    return _report(machine, made, known, after, embedded, idle_floor)


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
        level = 10.0 * np.log10(max(float(np.mean(np.square(clip.samples, dtype=np.float64))), 1e-12))
        if level < SILENCE_DBFS:
            raise EnrollmentError(
                f"The clip {clip.name} is silent",
                found=f"{level:.0f} dBFS",
                expected=f"the machine running, above {SILENCE_DBFS:.0f} dBFS",
                remedy="Check that the microphone works and the machine runs, then record again.",
            )


def _guidance(bundle: Bundle, factory: tuple[str, str] | None) -> tuple[float, float | None]:
    """Return the quantile and the gamma shape that the factory found for this machine."""
    for known in bundle.manifest.machines:
        if factory == (known.machine, known.section):
            calibration = known.conditions[0].calibration
            return calibration.quantile, calibration.gamma.shape if calibration.gamma else None
    return QUANTILE, None


def _enrolled(
    made: Imprint, clips: Sequence[RecordedClip], embedded: Sequence[EmbeddedClip], idle_floor: float
) -> EnrolledCondition:
    return EnrolledCondition(
        name=made.condition.name,
        centre=tuple(float(value) for value in made.condition.centres[0]),
        threshold=made.condition.threshold,
        idle_floor=idle_floor,
        clips=tuple(EnrolledClip(name=clip.name, sha256=clip.sha256) for clip in clips),
        enrolled_utc=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        segments=sum(len(part) for part in active_embeddings(embedded, idle_floor)),
        calibration=Calibration.of(made.calibration),
    )


def _report(
    machine: str,
    made: Imprint,
    known: dict[str, EnrolledCondition],
    after: SiteState,
    embedded: Sequence[EmbeddedClip],
    idle_floor: float,
) -> EnrollmentReport:
    centre = made.condition.centres[0]

    def distance(other: EnrolledCondition) -> float:
        vector = np.array(other.centre, dtype=np.float32)
        return float(1.0 - centre @ vector / (np.linalg.norm(centre) * np.linalg.norm(vector)))

    return EnrollmentReport(
        machine=machine,
        condition=made.condition.name,
        revision=after.revision,
        replaced=made.condition.name in known,
        clips=len(embedded),
        segments=sum(len(part) for part in active_embeddings(embedded, idle_floor)),
        threshold=made.condition.threshold,
        idle_floor_dbfs=10.0 * float(np.log10(max(idle_floor, 1e-12))),
        distances={name: distance(other) for name, other in known.items() if name != made.condition.name},
    )
