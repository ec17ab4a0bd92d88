"""Make a proposed condition one that the device knows, as a whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.site import Change, SiteState, check_comparable
from asd_edge.bundle.site_store import SiteStore
from asd_edge.enrollment.checks import refused
from asd_edge.enrollment.proposal import Proposal
from asd_edge.enrollment.propose import Machine
from asd_edge.errors import EnrollmentError, StateError
from asd_edge.strict import utc_time

Action = Literal["enroll", "replace", "remove", "rollback", "import", "threshold"]


def change_of(action: Action, subject: str, author: str, bundle_id: str | None = None) -> Change:
    """Return the stamp of a change that is made now."""
    return Change(action=action, subject=subject, author=author, time_utc=utc_time(), bundle_id=bundle_id)


def commit(store: SiteStore, bundle: Bundle, proposal: Proposal, *, author: str, force: bool = False) -> SiteState:
    """Store a proposed condition; the caller holds the machine's lock.

    Args:
        store: of the proposal's machine.
        bundle: that the device runs now.
        proposal: what to store.
        author: who commits it.
        force: a person vouches for clips that sound anomalous.

    Raises:
        EnrollmentError: the clips sound anomalous and nobody vouches for them.
        StateError: the conditions or the bundle have changed since it was proposed, or the state cannot be written.
    """
    stored = store.load()
    if stored.revision != proposal.base_revision or proposal.embedding_id != bundle.embedding_id:
        raise StateError(
            "The proposal does not hold any more",
            found=f"revision {stored.revision} of the conditions and the embedding {bundle.embedding_id[:12]}",
            expected=f"revision {proposal.base_revision} and {proposal.embedding_id[:12]}, which it was judged against",
            remedy="Propose the condition again, from the same clips.",
        )
    if proposal.report.refusal is not None and not force:
        raise refused(proposal.report.refusal)
    site = stored.of_bundle(bundle)
    name = proposal.condition.name
    vouched = proposal.report.refusal is not None
    condition = proposal.condition.model_copy(update={"author": author, "forced": vouched})
    action: Action = "replace" if site.condition(name) is not None else "enroll"
    return store.save(site.with_condition(condition), change_of(action, name, author, bundle.bundle_id))


def check_something_known(machine: Machine, bundle: Bundle, after: SiteState) -> None:
    """Refuse a state in which nothing is known: whatever is enrolled next, a fault too, is compared with nothing then.

    Args:
        machine: whose state it would be.
        bundle: that the device runs; conditions of another embedding are none to compare with.
        after: the state.

    Raises:
        EnrollmentError: neither an enrolled condition nor the factory's knowledge would be left.
    """
    if machine.conditions(bundle, after.of_bundle(bundle)) is None:
        raise EnrollmentError(
            f"The last that is known of the machine {machine.store.machine} is not taken away",
            found="no condition that the next enrollment could be compared with would be left",
            expected="an enrolled condition, or what the factory knows of the machine",
            remedy="Enroll another condition first, or do this on the device itself, without --keep-one.",
        )


def roll_back(
    store: SiteStore,
    bundle: Bundle,
    to: int | None,
    *,
    author: str,
    check: Callable[[SiteState], None] = lambda after: None,
    served_with: Callable[[SiteState], Bundle] | None = None,
) -> tuple[int, SiteState]:
    """Store an earlier revision's content as the newest; the caller holds the machine's lock.

    Where the current state is damaged or gone, the newest revision that can be read takes its place.

    Args:
        store: of the machine.
        bundle: that the device runs.
        to: number of the revision; the one before the current without it.
        author: who does it.
        check: raises if that content must not be gone back to; nothing has been changed then.
        served_with: returns the bundle as it would be served with that content; as it is served now without.

    Returns:
        The number that was gone back to, and the new state.

    Raises:
        StateError: there is no such revision, it belongs to another bundle, or the state cannot be written.
    """
    current = _current(store)
    if current is not None and current.revision == 0:
        raise StateError(
            f"The machine {store.machine} has no revision to go back to",
            found="no change so far",
            expected="an earlier revision",
            remedy="Nothing needs to be done.",
        )
    number, back = _earlier(store, current) if to is None else (to, store.load_revision(to))
    check_comparable(bundle if served_with is None else served_with(back), back)
    check(back)
    change = change_of("rollback", f"to revision {number}", author, bundle.bundle_id)
    if current is None:
        return number, store.restore(back, change)
    return number, store.save(back.model_copy(update={"revision": current.revision}), change)


def _current(store: SiteStore) -> SiteState | None:
    try:
        return store.load()
    except StateError:
        return None


def _earlier(store: SiteStore, current: SiteState | None) -> tuple[int, SiteState]:
    """Return the newest revision before the current one; of those that can be read, where the current one cannot."""
    kept = [number for number in store.revisions() if current is None or number < current.revision]
    for number in reversed(kept):
        try:
            return number, store.load_revision(number)
        except StateError:
            if current is not None:
                raise
    return 0, SiteState()
