"""What has been installed on this device: `<state_dir>/installed.json` (docs/state.md).

It outlives the bundle file, so that nobody takes a device back to an old release by putting the file away first.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field

from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.container import first_member
from asd_edge.bundle.manifest import ReleaseNumber
from asd_edge.errors import StateError
from asd_edge.strict import Name, RefusalError, Sha256, Strict, Text, UtcTime, parse_versioned, utc_time

FORMAT: Final = "asd-edge-installed"
VERSION: Final = 1
KEPT: Final = 50
SIZE_LIMIT: Final = 1 << 20

How = Literal["installed", "forced", "taken back", "found"]


class Release(Strict):
    """`content` is the SHA-256 of the manifest, which holds those of the members: a signature does not change it."""

    release: ReleaseNumber
    content: Sha256


class Installed(Release):
    """A bundle that took its place, and `how`: `found` is one that something else put there."""

    name: Text
    bundle_id: Sha256
    signed_by: tuple[Name, ...]
    time_utc: UtcTime
    how: How
    author: Text

    @classmethod
    def of(cls, bundle: Bundle, archive: bytes, how: How, author: str) -> Installed:
        """Return the entry of a bundle that takes its place now."""
        _, manifest = first_member(archive)
        return cls(
            release=bundle.manifest.release,
            content=hashlib.sha256(manifest).hexdigest(),
            name=bundle.manifest.name,
            bundle_id=bundle.bundle_id,
            signed_by=bundle.signed_by,
            time_utc=utc_time(),
            how=how,
            author=author,
        )

    def __str__(self) -> str:
        signed = f"signed by {', '.join(self.signed_by)}" if self.signed_by else "not signed by a trusted key"
        return f"{self.name}, release {self.release} ({self.bundle_id[:12]}), {signed}"


class InstallRecord(Strict):
    """`highest`: the highest release there ever was; `history`: the last KEPT bundles, the present one last."""

    format: Literal["asd-edge-installed"] = FORMAT
    version: Literal[1] = VERSION
    highest: Release
    history: Annotated[tuple[Installed, ...], Field(min_length=1, max_length=KEPT)]

    def to_json(self) -> bytes:
        """Return the file."""
        return self.model_dump_json(indent=1).encode() + b"\n"


def read_record(path: Path) -> InstallRecord | None:
    """Return the record; None before anything was installed.

    Raises:
        StateError: it cannot be read, or is not one of this version.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(SIZE_LIMIT + 1)
        if len(data) > SIZE_LIMIT:
            raise RefusalError(f"more than {SIZE_LIMIT} bytes", f"at most {SIZE_LIMIT} bytes")
        return parse_versioned(data, InstallRecord, format=FORMAT, version=VERSION)
    except FileNotFoundError:
        return None
    except OSError as error:
        refusal = RefusalError(error.strerror or str(error), "a file that can be read")
    except RefusalError as found:
        refusal = found
    raise StateError(
        f"Cannot use the record of installed bundles {path}",
        found=refusal.found,
        expected=refusal.expected,
        remedy=refusal.remedy
        or "Restore it from a backup. Removing it forgets which releases there were: look at the bundle's own then.",
    )


def extended(record: InstallRecord | None, entry: Installed) -> InstallRecord:
    """Return the record after `entry` took its place."""
    release = Release(release=entry.release, content=entry.content)
    if record is None:
        return InstallRecord(highest=release, history=(entry,))
    highest = max(release, record.highest, key=lambda known: known.release)
    return InstallRecord(highest=highest, history=(*record.history, entry)[-KEPT:])
