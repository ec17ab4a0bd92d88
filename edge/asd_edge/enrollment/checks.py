"""What is refused at enrollment, and why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from asd_edge.enrollment.clips import HeardClip
from asd_edge.errors import EnrollmentError
from asd_edge.imprint import UNLIKE
from asd_edge.offline import EmbeddedClip
from asd_edge.scoring.backends.backend import Backend
from asd_edge.strict import NAME_PATTERN

LEAST_THRESHOLD = 1e-4
"""Real recordings of one machine are further apart than this; a threshold below it would alarm on anything."""

ANOMALOUS = 0.5
"""Share of windows above the threshold of their nearest condition from which clips sound anomalous."""

Groups = Sequence[Sequence[EmbeddedClip]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How clips sound to one known condition: median window score, and the share of windows within its threshold."""

    condition: str
    distance: float
    threshold: float
    within: float


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


def check_imprints(backend: Backend) -> None:
    """Refuse to enroll where no condition changes what is heard.

    Raises:
        EnrollmentError: the distance is the network's alone.
    """
    if not backend.imprints:
        raise EnrollmentError(
            "A condition that is enrolled here would change nothing",
            found=f"the bundle's backend {backend.kind!r}: its distance is what the network was trained to give",
            expected="a backend that learns from clips (docs/backends.md)",
            remedy="Set a threshold for this site with asd-edge threshold, or use a bundle whose backend learns.",
        )


def check_usable(clips: Sequence[HeardClip]) -> None:
    """Refuse clips of which none can be used, or too little.

    Raises:
        EnrollmentError: every clip is rejected, or fewer than two segments are left.
    """
    used = sum(clip.used for clip in clips)
    if used > 1:
        return
    if used == 1:
        raise EnrollmentError(
            "There is too little sound to enroll",
            found="one segment that can be used",
            expected="two segments at the very least; a clip of ten seconds has seven",
            remedy="Record a longer clip.",
        )
    raise EnrollmentError(
        "None of the clips can be used",
        found="; ".join(f"{clip.name} is {clip.rejected}" for clip in clips[:5]) + (" …" if len(clips) > 5 else ""),
        expected="at least one clip in which the machine is heard",
        remedy="Mend what is named and record again, ten seconds or more a clip.",
    )


def has_outlier(groups: Groups) -> bool:
    """Say whether most clips sound alike and the others do not: at least two thirds are in the largest group."""
    clips = sum(map(len, groups))
    return len(groups) > 1 and len(groups[0]) >= 2 and 3 * len(groups[0]) >= 2 * clips


def check_groups(groups: Groups, *, mixed: bool) -> None:
    """Refuse clips of several sounds unless that is meant, and clips of which no two sound alike.

    Raises:
        EnrollmentError: the clips do not make one condition.
    """
    if len(groups) == 1 or (mixed and len(groups[0]) > 1):
        return
    raise EnrollmentError(
        "The clips do not sound alike",
        found="; ".join(" and ".join(clip.name for clip in group) for group in groups) + " differ from each other",
        expected="clips of one operating condition" if not mixed else "at least two clips of one kind of sound",
        remedy="Enroll each kind of sound as a condition of its own. If all of it is one condition, add --mixed: each "
        "kind then gets its own centre. A clip of a fault would be learned as normal, so listen to them first.",
    )


def check_threshold(threshold: float, *, unrelated: float, clips: int = 2) -> None:
    """Refuse a condition that would alarm on anything, and one that would alarm on nothing.

    Args:
        threshold: of the new condition.
        unrelated: distance of embeddings that have nothing in common.
        clips: how many it was found from.

    Raises:
        EnrollmentError: the threshold is next to 0, or at the distance of unrelated sounds.
    """
    if threshold < LEAST_THRESHOLD:
        raise EnrollmentError(
            "The clips are copies or parts of one recording",
            found=f"a threshold of {threshold:.1e}: without one clip, the others sound exactly like it",
            expected="recordings that differ as much as normal sound varies",
            remedy="Record the clips at different times, some minutes apart.",
        )
    if threshold >= unrelated and clips == 1:
        raise EnrollmentError(
            "One clip is not enough here",
            found=f"halves so unlike each other that the threshold would be {threshold:.2f}",
            expected=f"a threshold below {unrelated:g}, the distance of unrelated sounds",
            remedy="Record three or more clips, some minutes apart, and check that this one holds the machine alone.",
        )
    if threshold >= unrelated:
        raise EnrollmentError(
            "The clips differ so much that the device would be deaf",
            found=f"a threshold of {threshold:.2f}",
            expected=f"a threshold below {unrelated:g}, the distance of unrelated sounds",
            remedy="Record where the machine is louder than its surroundings, or enroll its states one by one.",
        )


def refusal_of(comparisons: Sequence[Comparison], anomalous: float) -> str | None:
    """Say why clips that sound anomalous must not be enrolled unless a person insists; None when they may be.

    Args:
        comparisons: with every known condition, nearest first; none when nothing is known.
        anomalous: share of the clips' windows above the threshold of their nearest condition.
    """
    if not comparisons or anomalous < ANOMALOUS:
        return None
    nearest = comparisons[0]
    strange = " It may be another machine's sound altogether." if nearest.distance >= UNLIKE else ""
    return (
        f"The clips sound anomalous: {anomalous:.0%} of their windows are above the threshold of the nearest known "
        f"condition, {nearest.condition} (median {nearest.distance:.4f}, threshold {nearest.threshold:.4f}).{strange} "
        "A fault that is enrolled as normal is never heard again."
    )


def refused(refusal: str) -> EnrollmentError:
    """Return the error of a condition that only a person may commit who has looked at the machine."""
    return EnrollmentError(
        "The condition is not enrolled",
        found=refusal,
        expected="clips within what is known, or somebody who knows that the machine is healthy",
        remedy="Check the machine first. If it is healthy and only runs differently, commit with --force.",
    )
