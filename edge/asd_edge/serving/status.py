"""`asd-edge install --list`: what is installed, and what there is to go back to. Changes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asd_edge.bundle.container import TOTAL_LIMIT
from asd_edge.bundle.trust import UntrustedError, read_trusted
from asd_edge.config import BundleTable, DeviceConfig
from asd_edge.errors import BundleError
from asd_edge.serving.installed import Installed, read_record
from asd_edge.serving.place import Place


@dataclass(frozen=True)
class Unusable:
    """A file that cannot be used: why, whether no trusted key signed it, and what it is by the record, if it says."""

    why: str
    untrusted: bool
    known: Installed | None


@dataclass(frozen=True)
class Status:
    """The bundle in place and the one before it, None where there is none, and the highest release there ever was."""

    present: Installed | Unusable | None
    before: Installed | Unusable | None
    highest: int | None


def status(config: DeviceConfig) -> Status:
    """Return what is installed.

    Raises:
        AsdEdgeError: the record or the trusted keys cannot be used.
    """
    place = Place.of(config)
    record = read_record(place.record)
    history = record.history if record is not None else ()
    last = history[-1] if history else None
    return Status(
        _look(place.path, config.bundle, history[-1:], last),
        _look(place.previous, config.bundle, history, _recorded(place.previous, history)),
        record.highest.release if record is not None else None,
    )


def _look(
    path: Path, table: BundleTable, history: Sequence[Installed], known: Installed | None
) -> Installed | Unusable | None:
    """Return a bundle's last entry in `history`; `found` where it has none."""
    if not path.exists():
        return None
    try:
        bundle, archive = read_trusted(path, table)
    except BundleError as error:
        return Unusable(error.found, isinstance(error, UntrustedError), known)
    entry = next((entry for entry in reversed(history) if entry.bundle_id == bundle.bundle_id), None)
    return entry or Installed.of(bundle, archive, "found", "unknown")


def _recorded(path: Path, history: Sequence[Installed]) -> Installed | None:
    """Return the entry of a whole file, whether it is trusted or can be read by this version or not."""
    try:
        if not path.is_file() or path.stat().st_size > TOTAL_LIMIT:
            return None
        bundle_id = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
    return next((entry for entry in reversed(history) if entry.bundle_id == bundle_id), None)
