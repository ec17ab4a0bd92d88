"""A proposed condition with everything to judge it by: what is shown before it is committed, and kept until then."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from asd_edge.bundle.site import EnrolledCondition
from asd_edge.bundle.site_store import SiteStore
from asd_edge.errors import EnrollmentError, StateError
from asd_edge.strict import Name, RefusalError, Sha256, Strict, Text, UtcTime, parse_versioned

FORMAT: Final = "asd-edge-proposal"
VERSION: Final = 1
LIFE_S = 24 * 3600.0
KEPT = 20
MOST_LISTED = 20
"""Known conditions, and past alarms of a kind, in a report: it must fit into one message to somebody afar."""

ProposalId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class ClipReport(Strict):
    """What was made of one clip: how many of its segments are used, and why others are not."""

    name: str
    seconds: float
    level_dbfs: float
    segments: int
    used: int
    silent: int
    clipped: int
    rejected: str | None


class KnownReport(Strict):
    """How the clips sound to a condition known before: median window score, and the share within its threshold."""

    condition: str
    distance: float
    threshold: float
    within: Share


class AlarmReport(Strict):
    """An alarm of the past."""

    since_utc: UtcTime
    until_utc: UtcTime
    condition: str


class EffectReport(Strict):
    """What the last `hours` of stored sound would have been: alarms before and after, and which differ.

    `vanish`, `appear`: the first MOST_LISTED of so many.
    """

    hours: float
    windows: int
    alarms_before: int
    alarms_after: int
    vanish_count: int
    vanish: Annotated[tuple[AlarmReport, ...], Field(max_length=MOST_LISTED)]
    appear_count: int
    appear: Annotated[tuple[AlarmReport, ...], Field(max_length=MOST_LISTED)]


class Report(Strict):
    """Everything to judge a proposal by.

    `groups`: names of the clips behind each centre. `spread`: mean and deviation of what a clip scores without
    itself. `threshold_before`: of the condition that is replaced, else of the nearest one known; None without.
    `expected_alarms`: interval of alarms per week at the threshold (90 %). `covered_by`: a condition that accepts
    these clips already. `known`: distances to the MOST_LISTED nearest conditions known before.
    `refusal`: why it is not committed unless a person insists. `dropped`: conditions of another embedding, which the
    first one of this embedding takes the place of.
    """

    clips: tuple[ClipReport, ...]
    groups: tuple[tuple[str, ...], ...]
    segments: int
    spread: tuple[float, float]
    threshold_before: float | None
    threshold: float
    method: str
    alarms_per_week: float | None
    expected_alarms: tuple[float, float] | None
    idle_floor_dbfs: float
    replaces: bool
    covered_by: str | None
    known: tuple[KnownReport, ...]
    dropped: tuple[str, ...]
    warnings: tuple[str, ...]
    refusal: str | None
    effect: EffectReport | None


class Proposal(Strict):
    """A proposed condition; `base_revision` is the revision of the conditions it was judged against."""

    format: Literal["asd-edge-proposal"] = FORMAT
    version: Literal[1] = VERSION
    id: ProposalId
    machine: Name
    made_utc: UtcTime
    author: Text
    base_revision: Annotated[int, Field(ge=0)]
    embedding_id: Sha256
    condition: EnrolledCondition
    report: Report


def keep(store: SiteStore, proposal: Proposal, picture: bytes) -> None:
    """Write a proposal and its picture beside the machine's conditions, and forget those that are old.

    Raises:
        StateError: it cannot be written.
    """
    folder = _folder(store)
    data = json.dumps(proposal.model_dump(mode="json"), indent=1).encode() + b"\n"
    store.write_beside(picture_path(store, proposal.id), picture)
    store.write_beside(folder / f"{proposal.id}.json", data)
    newest_first = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for number, path in enumerate(newest_first):
        if number >= KEPT or _age_s(path) > LIFE_S:
            _forget(store, path.stem)


def find(store: SiteStore, proposal_id: str) -> Proposal:
    """Return a proposal that was kept.

    Raises:
        EnrollmentError: there is none of that id.
        StateError: it cannot be read.
    """
    path = _folder(store) / f"{proposal_id}.json"
    known = sorted(other.stem for other in _folder(store).glob("*.json") if _age_s(other) <= LIFE_S)
    if proposal_id not in known:
        raise EnrollmentError(
            f"The machine {store.machine} has no such proposal",
            found=repr(proposal_id),
            expected=f"one of {', '.join(known)}" if known else "nothing: none is waiting to be committed",
            remedy="Propose the condition again; a proposal is kept for a day.",
        )
    try:
        return parse_versioned(path.read_bytes(), Proposal, format=FORMAT, version=VERSION)
    except OSError as error:
        raise store.unusable("read the proposal beside", error) from error
    except RefusalError as refusal:
        raise StateError(
            f"Cannot use the proposal {path}",
            found=refusal.found,
            expected=refusal.expected,
            remedy="Discard it and propose the condition again.",
        ) from None


def discard(store: SiteStore, proposal_id: str) -> None:
    """Forget a proposal, and its picture.

    Raises:
        EnrollmentError: there is none of that id.
    """
    find(store, proposal_id)
    _forget(store, proposal_id)


def picture_path(store: SiteStore, proposal_id: str) -> Path:
    """Return where the picture of a proposal is."""
    return _folder(store) / f"{proposal_id}.svg"


def _forget(store: SiteStore, proposal_id: str) -> None:
    for path in (_folder(store) / f"{proposal_id}.json", picture_path(store, proposal_id)):
        path.unlink(missing_ok=True)


def _age_s(path: Path) -> float:
    return time.time() - path.stat().st_mtime


def _folder(store: SiteStore) -> Path:
    return store.folder / "proposals"
