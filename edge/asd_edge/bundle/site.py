"""What a device learned about a machine: the operating conditions enrolled on site, beside the bundle.

One file a machine, `<state_dir>/<machine>/site.json` (docs/bundle.md). It is replaced as a whole, so a reader
needs no lock and a crash leaves the old or the new one; a writer holds `site.lock` from reading to writing.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
from pydantic import Field, model_validator

from asd_edge.atomic import atomic_write
from asd_edge.bundle.archive import Bundle
from asd_edge.bundle.calibration import Calibration
from asd_edge.errors import ConfigError, StateError
from asd_edge.scoring.nearest_centre import Condition, ConditionSet
from asd_edge.strict import Name, RefusalError, Sha256, Strict, UtcTime, parse_versioned

FORMAT: Final = "asd-edge-site"
VERSION: Final = 1
SIZE_LIMIT = 16 << 20
Stamp = tuple[int, int, int]


class EnrolledClip(Strict):
    """A recording that a condition was made from; the recording itself is not kept."""

    name: Annotated[str, Field(min_length=1, max_length=255)]
    sha256: Sha256


Centre = Annotated[tuple[float, ...], Field(min_length=1, max_length=65_536)]


class EnrolledCondition(Strict):
    """An operating condition enrolled on site.

    `threshold` is a cosine distance, `idle_floor` a mean square, `segments` how many were averaged.
    """

    name: Name
    centres: Annotated[tuple[Centre, ...], Field(min_length=1, max_length=64)]
    threshold: Annotated[float, Field(gt=0.0)]
    idle_floor: Annotated[float, Field(ge=0.0)]
    clips: Annotated[tuple[EnrolledClip, ...], Field(min_length=1)]
    enrolled_utc: UtcTime
    segments: Annotated[int, Field(ge=1)]
    calibration: Calibration

    @model_validator(mode="after")
    def _usable(self) -> EnrolledCondition:
        if not all(any(centre) for centre in self.centres):
            raise ValueError("a centre of zeros, which has no direction")
        return self


class SiteState(Strict):
    """The content of a site.json; `revision` rises by 1 with every change and is 0 before the first.

    `embedding_id` names the kind of embedding that the centres are: None while nothing is enrolled.
    """

    format: Literal["asd-edge-site"] = FORMAT
    version: Literal[1] = VERSION
    revision: Annotated[int, Field(ge=0)] = 0
    embedding_id: Sha256 | None = None
    conditions: tuple[EnrolledCondition, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> SiteState:
        names = [condition.name for condition in self.conditions]
        if len(set(names)) != len(names):
            raise ValueError("two conditions of one name")
        if self.conditions and self.embedding_id is None:
            raise ValueError("conditions without the embedding_id they were enrolled with")
        return self

    def with_condition(self, condition: EnrolledCondition, embedding_id: str) -> SiteState:
        """Return this state with `condition` added, or replaced where one of its name was.

        Conditions that were enrolled with another bundle are dropped: their centres cannot be compared.
        """
        same = self.conditions if self.embedding_id == embedding_id else ()
        kept = tuple(other for other in same if other.name != condition.name)
        return SiteState(revision=self.revision, embedding_id=embedding_id, conditions=(*kept, condition))

    def without_condition(self, name: str) -> SiteState:
        """Return this state without the condition `name`."""
        kept = tuple(other for other in self.conditions if other.name != name)
        return self.model_copy(update={"conditions": kept})


class SiteStore:
    """The site state of one machine on the disk.

    Change it under the lock::

        with store.exclusive():
            store.save(store.load().with_condition(condition, bundle.embedding_id))
    """

    def __init__(self, state_dir: Path, machine: str) -> None:
        self.path = state_dir / machine / "site.json"
        self._locked = False

    def load(self) -> SiteState:
        """Return the state; an empty one before anything was enrolled.

        Raises:
            StateError: the file cannot be read, or is not a site state of this version.
        """
        try:
            size = self.path.stat().st_size
            if size > SIZE_LIMIT:
                raise RefusalError(f"a file of {size} bytes", f"at most {SIZE_LIMIT} bytes")
            return parse_versioned(self.path.read_bytes(), SiteState, format=FORMAT, version=VERSION)
        except FileNotFoundError:
            return SiteState()
        except OSError as error:
            raise self._unusable("read", error) from error
        except RefusalError as refusal:
            raise StateError(
                f"Cannot use the site state {self.path}",
                found=refusal.found,
                expected=refusal.expected,
                remedy=refusal.remedy or "Restore the file from a backup, or remove it and enroll again.",
            ) from None

    def stamp(self) -> Stamp | None:
        """Return a value that is another one after every change; None without a file. Cheap: one stat."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the machine's lock; it ends with the process too, however that ends.

        Raises:
            StateError: another process or thread holds it, or the folder cannot be made.
        """
        folder = self.path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / "site.lock").open("ab")
        except OSError as error:
            raise self._unusable("lock", error) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StateError(
                    f"Cannot change the site state {self.path}",
                    found="another enrollment is running",
                    expected="one enrollment of a machine at a time",
                    remedy="Wait until it has ended, then try again.",
                ) from None
            self._locked = True
            try:
                for leftover in folder.glob(f".{self.path.name}.*.tmp"):  # of a writer that was killed
                    leftover.unlink(missing_ok=True)
                yield
            finally:
                self._locked = False

    def save(self, state: SiteState) -> SiteState:
        """Write the successor of the revision that `state` was loaded as; return it with its new revision.

        Raises:
            StateError: the state on the disk has changed since, or cannot be written.
            RuntimeError: the lock is not held.
        """
        if not self._locked:
            raise RuntimeError("save() outside exclusive(): somebody else's change could be lost")
        current = self.load().revision
        if state.revision != current:
            raise StateError(
                f"Cannot change the site state {self.path}",
                found=f"revision {current} on the disk",
                expected=f"revision {state.revision}, which this change was made from",
                remedy="Load the state again inside the lock and repeat the change.",
            )
        successor = state.model_copy(update={"revision": current + 1})
        data = json.dumps(successor.model_dump(mode="json"), indent=1).encode() + b"\n"
        try:
            with atomic_write(self.path) as stream:
                stream.write(data)
        except OSError as error:
            raise self._unusable("write", error) from error
        return successor

    def _unusable(self, verb: str, error: OSError) -> StateError:
        return StateError(
            f"Cannot {verb} the site state {self.path}",
            found=error.strerror or str(error),
            expected="a state folder that this user may read and write",
            remedy="Set device.state_dir to such a folder, or correct the folder's owner.",
        )


def condition_set(
    bundle: Bundle,
    factory: tuple[str, str] | None,
    site: SiteState,
    *,
    idle_below_dbfs: float | None = None,
) -> ConditionSet | None:
    """Return everything normal that is known of a machine; None when there is nothing to compare with.

    Args:
        bundle: the bundle in use.
        factory: (machine, section) whose factory conditions to use too.
        site: what was enrolled.
        idle_below_dbfs: idle floor set by hand. Without it the lowest enrolled floor holds, whose levels are
            this microphone's; the factory's when nothing is enrolled.

    Raises:
        StateError: the conditions were enrolled with another bundle.
        ConfigError: the bundle does not know the factory machine.
    """
    known = None if factory is None else _factory(bundle, factory)
    conditions = (known.conditions if known else ()) + _enrolled(bundle, site)
    if not conditions:
        return None
    if idle_below_dbfs is not None:
        return ConditionSet(conditions, 10.0 ** (idle_below_dbfs / 10.0))
    floors = [condition.idle_floor for condition in site.conditions]
    return ConditionSet(conditions, min(floors) if floors else known.idle_floor if known else 0.0)


def _factory(bundle: Bundle, factory: tuple[str, str]) -> ConditionSet:
    known = bundle.factory_conditions(*factory)
    if known is None:
        raise ConfigError(
            f"The bundle {bundle.manifest.name!r} does not know the machine that the device file names",
            found=f'factory = "{"/".join(factory)}"',
            expected=f"one of {', '.join(machine.key for machine in bundle.manifest.machines) or 'none'}",
            remedy="Correct the key, or leave it out and enroll the machine.",
        )
    return known


def _enrolled(bundle: Bundle, site: SiteState) -> tuple[Condition, ...]:
    if site.conditions and site.embedding_id != bundle.embedding_id:
        raise StateError(
            "The enrolled conditions belong to another bundle: embeddings of two cannot be compared",
            found=f"centres of the embedding {site.embedding_id}",
            expected=f"centres of the embedding {bundle.embedding_id} of the bundle {bundle.manifest.name!r}",
            remedy="Go back to the bundle they were enrolled with, or enroll all conditions again: the first one "
            "enrolled with the new bundle forgets the old ones.",
        )
    dims = bundle.manifest.dims
    for condition in site.conditions:
        lengths = {len(centre) for centre in condition.centres}
        if lengths != {dims}:
            raise StateError(
                f"The enrolled condition {condition.name!r} does not fit the bundle",
                found=f"centres of {', '.join(map(str, sorted(lengths)))} numbers",
                expected=f"centres of {dims} numbers",
                remedy="Enroll the condition again.",
            )
    return tuple(
        Condition(condition.name, np.array(condition.centres, dtype=np.float32), condition.threshold)
        for condition in site.conditions
    )
