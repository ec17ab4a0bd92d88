"""Take conditions to another device of the same bundle, or back to this one: one JSON document."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field

from asd_edge.atomic import atomic_write
from asd_edge.bundle.archive import Bundle
from asd_edge.bundle.site import EnrolledCondition, SiteState, enrolled_condition
from asd_edge.bundle.site_store import SIZE_LIMIT, SiteStore
from asd_edge.enrollment.commit import change_of
from asd_edge.errors import EnrollmentError, StateError
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


def import_conditions(
    store: SiteStore, bundle: Bundle, exported: Exported, *, author: str, replace: bool = False
) -> SiteState:
    """Take exported conditions over, all or none; the caller holds the machine's lock.

    Raises:
        EnrollmentError: they belong to another embedding, or have names that are taken and `replace` is not set.
        StateError: a condition does not fit the bundle, or the state cannot be written.
    """
    if exported.embedding_id != bundle.embedding_id:
        raise EnrollmentError(
            "The conditions belong to another bundle: embeddings of two cannot be compared",
            found=f"conditions of the embedding {exported.embedding_id[:12]}",
            expected=f"conditions of the embedding {bundle.embedding_id[:12]} of the bundle {bundle.manifest.name!r}",
            remedy="Use the bundle they were enrolled with, or enroll the conditions on this device.",
        )
    site = store.load().of_bundle(bundle)
    taken = [condition.name for condition in exported.conditions if site.condition(condition.name) is not None]
    if taken and not replace:
        raise EnrollmentError(
            "The machine has conditions of these names already",
            found=", ".join(taken),
            expected="names that are free",
            remedy="Add --replace to take the imported ones, or remove them first.",
        )
    for condition in exported.conditions:
        enrolled_condition(bundle, condition)
        site = site.with_condition(condition)
    names = ", ".join(condition.name for condition in exported.conditions)
    return store.save(site, change_of("import", _short(names), author, bundle.bundle_id))


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


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:197]}..."
