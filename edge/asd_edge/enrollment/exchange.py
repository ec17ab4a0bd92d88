"""Take conditions to another device of the same bundle, or back to this one: one JSON document."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field

from asd_edge.atomic import atomic_write
from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.site import EnrolledCondition, SiteState, enrolled_condition
from asd_edge.bundle.site_store import SIZE_LIMIT, SiteStore
from asd_edge.enrollment.checks import check_threshold
from asd_edge.enrollment.commit import change_of
from asd_edge.enrollment.effect import PastAlarm, difference, replay
from asd_edge.enrollment.propose import Machine
from asd_edge.errors import EnrollmentError, StateError
from asd_edge.history.format import Stretch
from asd_edge.strict import Name, RefusalError, Sha256, Strict, parse_versioned

FORMAT: Final = "asd-edge-conditions"
VERSION: Final = 1


class Exported(Strict):
    """Conditions of a machine on their way; they belong to one kind of embedding."""

    format: Literal["asd-edge-conditions"] = FORMAT
    version: Literal[1] = VERSION
    machine: Name
    embedding_id: Sha256
    conditions: Annotated[tuple[EnrolledCondition, ...], Field(min_length=1)]


def export_conditions(store: SiteStore, names: Sequence[str], path: Path) -> Exported:
    """Write conditions of a machine to a file; all of them without names.

    Raises:
        StateError: nothing is enrolled, or a condition is unknown, or the file cannot be written.
    """
    site = store.load()
    chosen = [condition_of(store, site, name) for name in names] if names else list(site.conditions)
    if not chosen or site.embedding_id is None:
        raise StateError(
            f"There is nothing to export of the machine {store.machine}",
            found="no enrolled conditions",
            expected="at least one",
            remedy="Enroll a condition first.",
        )
    exported = Exported(machine=store.machine, embedding_id=site.embedding_id, conditions=tuple(chosen))
    try:
        with atomic_write(path) as stream:
            stream.write(json.dumps(exported.model_dump(mode="json"), indent=1).encode() + b"\n")
    except OSError as error:
        raise StateError(
            f"Cannot write {path}",
            found=error.strerror or str(error),
            expected="a folder that exists and can be written",
            remedy="Name another file.",
        ) from error
    return exported


def read_exported(path: Path) -> Exported:
    """Read a file that export_conditions wrote.

    Raises:
        StateError: it cannot be read, or is not such a file.
    """
    try:
        if path.stat().st_size > SIZE_LIMIT:
            raise RefusalError("a file of more than 64 MiB", "exported conditions")
        return parse_versioned(path.read_bytes(), Exported, format=FORMAT, version=VERSION)
    except OSError as error:
        found, expected, remedy = error.strerror or str(error), "a file that can be read", "Correct the path."
    except RefusalError as refusal:
        found, expected = refusal.found, refusal.expected
        remedy = refusal.remedy or "Export the conditions again on the device they come from."
    raise StateError(f"Cannot import {path}", found=found, expected=expected, remedy=remedy)


@dataclass(frozen=True)
class Import:
    """What importing would give: the new state, and what it would have changed in the past.

    `windows`: windows with a score in the past, before and after; an idle floor of another microphone may end them.
    """

    site: SiteState
    names: tuple[str, ...]
    windows: tuple[int, int]
    vanish: tuple[PastAlarm, ...]
    appear: tuple[PastAlarm, ...]


def propose_import(
    machine: Machine,
    bundle: Bundle,
    exported: Exported,
    *,
    replace: bool = False,
    other_machine: bool = False,
    history: Sequence[Stretch] = (),
) -> Import:
    """Say what taking exported conditions over would give; nothing is written.

    Args:
        machine: that is to know them.
        bundle: that the device runs.
        exported: the conditions.
        replace: they may take the place of conditions of their names.
        other_machine: they may be another machine's.
        history: what the machine was heard to do.

    Raises:
        EnrollmentError: they belong to another embedding or machine, have thresholds that cannot be, or names that
            are taken.
        StateError: a condition does not fit the bundle.
    """
    if exported.embedding_id != bundle.embedding_id:
        raise EnrollmentError(
            "The conditions belong to another bundle: embeddings of two cannot be compared",
            found=f"conditions of the embedding {exported.embedding_id[:12]}",
            expected=f"conditions of the embedding {bundle.embedding_id[:12]} of the bundle {bundle.manifest.name!r}",
            remedy="Use the bundle they were enrolled with, or enroll the conditions on this device.",
        )
    if exported.machine != machine.store.machine and not other_machine:
        raise EnrollmentError(
            "The conditions are another machine's",
            found=f"conditions of {exported.machine}",
            expected=f"conditions of {machine.store.machine}",
            remedy="Enroll this machine by its own sound. If it is the same one under another name, or its twin, add "
            "--other-machine and look at what it would have changed.",
        )
    before = machine.store.load().of_bundle(bundle)
    taken = [condition.name for condition in exported.conditions if before.condition(condition.name) is not None]
    if taken and not replace:
        raise EnrollmentError(
            "The machine has conditions of these names already",
            found=", ".join(taken),
            expected="names that are free",
            remedy="Add --replace to take the imported ones, or remove them first.",
        )
    after = before
    for condition in exported.conditions:
        enrolled_condition(bundle, condition)
        check_threshold(condition.threshold, unrelated=bundle.manifest.backend.unrelated)
        after = after.with_condition(condition)
    pipeline = bundle.pipeline()
    was, would_be = (
        replay(history, pipeline, machine.conditions(bundle, site), machine.decision) for site in (before, after)
    )
    vanish, appear = difference(was, would_be)
    names = tuple(condition.name for condition in exported.conditions)
    return Import(after, names, (len(was.times), len(would_be.times)), tuple(vanish), tuple(appear))


def commit_import(store: SiteStore, bundle: Bundle, imported: Import, *, author: str) -> SiteState:
    """Store imported conditions, all or none; the caller holds the machine's lock since before they were proposed.

    Raises:
        StateError: the state cannot be written.
    """
    names = ", ".join(imported.names)
    subject = names if len(names) <= 200 else f"{names[:197]}..."
    return store.save(imported.site, change_of("import", subject, author, bundle.bundle_id))


def condition_of(store: SiteStore, site: SiteState, name: str) -> EnrolledCondition:
    """Return an enrolled condition.

    Raises:
        StateError: there is none of that name.
    """
    condition = site.condition(name)
    if condition is None:
        names = [known.name for known in site.conditions]
        raise StateError(
            f"The machine {store.machine} has no such condition",
            found=repr(name),
            expected=f"one of {', '.join(names)}" if names else "nothing, as nothing is enrolled",
            remedy="Look at what there is: asd-edge conditions list.",
        )
    return condition
