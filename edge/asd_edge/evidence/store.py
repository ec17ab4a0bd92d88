"""The clips on the disk: `<state_dir>/evidence/<machine>/<time>-<id>/`, each whole or not there.

The daemon writes clips and deletes them by quota and age (index.py); commands read, label and delete them meanwhile,
without a lock: a clip appears and vanishes by one rename, and its manifest is replaced as a whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path

from asd_edge.atomic import atomic_write, make_folder, remove_folder, write_private_folder
from asd_edge.errors import StateError
from asd_edge.evidence.held import held, held_within
from asd_edge.evidence.manifest import MANIFEST, ClipManifest, Label, Member
from asd_edge.evidence.stored import StoredClip, held_above, read_stored, unusable

_CLIP_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")


def new_clip_id(time: float) -> str:
    """Return the name of a clip of an alarm that began at `time`, UTC seconds."""
    return f"{datetime.fromtimestamp(time, tz=timezone.utc):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def members_of(files: Mapping[str, bytes]) -> dict[str, Member]:
    """Return what a manifest says of these files."""
    return {
        name: Member(sha256=hashlib.sha256(data).hexdigest(), size=len(data)) for name, data in sorted(files.items())
    }


def content_of(manifest: ClipManifest, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return all files of a clip."""
    return dict(files) | {MANIFEST: _document(manifest)}


class ClipStore:
    """The evidence of a device. `folder` and what is in it are folders, not links: nothing follows a link out of it."""

    def __init__(self, state_dir: Path) -> None:
        self.folder = state_dir / "evidence"
        self._state_dir = state_dir

    def save(self, manifest: ClipManifest, files: Mapping[str, bytes]) -> Path:
        """Write a clip; return its folder.

        Args:
            manifest: with `members_of(files)` in it.
            files: content of each.

        Raises:
            StateError: the disk does not take it.
        """
        path = self.folder / manifest.machine / manifest.id
        try:
            for folder in (self.folder, path.parent):
                make_folder(folder, self._state_dir, mode=0o700)
            with held(self.folder) as evidence, held(evidence / manifest.machine) as above:
                write_private_folder(above / manifest.id, content_of(manifest, files), like=self._state_dir)
        except OSError as error:
            raise unusable(path, error.strerror or str(error), "a folder with room in it, to write to") from error
        return path

    def folders(self, machine: str | None = None) -> Iterator[tuple[Path, Path]]:
        """Yield the path of each clip, of a machine or of all, and its folder as it is held until the next.

        Raises:
            OSError: this user may not look into the folder, or it is none.
        """
        try:
            with held(self.folder) as evidence:
                for name, above in held_within(evidence):
                    if machine in (None, name):
                        for clip_id, folder in held_within(above):
                            if _is_clip(clip_id, folder):
                                yield self.folder / name / clip_id, folder
        except FileNotFoundError:
            if self.folder.exists():
                raise

    def clips(self, machine: str | None = None) -> list[StoredClip]:
        """Return the clips of a machine or of all, the oldest first; damaged ones before the others.

        Raises:
            StateError: this user may not look into the folder, or it is none.
        """
        try:
            found = [clip for path, folder in self.folders(machine) if (clip := read_stored(path, folder)) is not None]
        except OSError as error:
            raise unreadable(self.folder, error) from error
        return sorted(found, key=_age_order)

    def find(self, clip_id: str) -> StoredClip:
        """Return the clip of that id.

        Raises:
            StateError: there is none.
        """
        for clip in self.clips():
            if clip.id == clip_id:
                return clip
        raise StateError(
            "There is no such clip",
            found=clip_id,
            expected="the id of a clip that is kept",
            remedy="See asd-edge clips list; it may have been deleted for its age, or to make room.",
        )

    def label(self, clip: StoredClip, label: Label) -> None:
        """Write down what a person says of a clip, in the place of what was said before.

        Raises:
            StateError: the clip is damaged or gone, or the disk does not take it.
        """
        if clip.manifest is None:
            raise unusable(clip.path, clip.fault or "no manifest", "a whole clip")
        try:
            with (
                held_above(clip.path) as above,
                held(above / clip.id) as folder,
                atomic_write(folder / MANIFEST, mode=0o600, like=self._state_dir) as stream,
            ):
                stream.write(_document(clip.manifest.model_copy(update={"label": label})))
        except OSError as error:
            raise unusable(clip.path, error.strerror or str(error), "a clip that this user may write to") from error

    def remove(self, path: Path) -> None:
        """Delete a clip; one that is gone already is no error.

        Raises:
            StateError: it cannot be deleted.
        """
        try:
            with held_above(path) as above:
                remove_folder(above / path.name)
        except FileNotFoundError:
            return
        except OSError as error:
            raise unusable(path, error.strerror or str(error), "a folder that this user may write to") from error

    def clear_leftovers(self, beat: Callable[[], None]) -> None:
        """Delete what writers left that were killed. Only the daemon calls this, at its start: it alone writes clips.

        Args:
            beat: called at every clip.

        Raises:
            StateError: something cannot be deleted.
        """
        try:
            self._clear_all(beat)
        except OSError as error:
            raise unreadable(self.folder, error) from error

    def _clear_all(self, beat: Callable[[], None]) -> None:
        if not self.folder.exists():
            return
        with held(self.folder) as evidence:
            _clear(evidence)
            for _, above in held_within(evidence):
                _clear(above)
                for _, folder in held_within(above):
                    _clear(folder)
                    beat()


def unreadable(folder: Path, error: OSError) -> StateError:
    """Return the error of a folder of clips that cannot be looked into."""
    found = error.strerror or str(error)
    remedy = "Run it with sudo." if isinstance(error, PermissionError) else "Put a folder in its place."
    return unusable(folder, found, "a folder, not a link, that this user may read", remedy)


def _is_clip(name: str, folder: Path) -> bool:
    """Say whether the daemon has made this folder: what somebody else keeps beside clips is neither shown nor deleted.

    A clip whose manifest is lost is known by its name, so that its sound does not outlive `max_age_days`.
    """
    return _CLIP_ID.fullmatch(name) is not None or os.path.lexists(folder / MANIFEST)


def _clear(folder: Path) -> None:
    for leftover in folder.glob(".*.tmp"):
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _age_order(clip: StoredClip) -> tuple[bool, float, str]:
    return (True, clip.manifest.made_at_s, clip.id) if clip.manifest else (False, 0.0, clip.id)


def _document(manifest: ClipManifest) -> bytes:
    return json.dumps(manifest.model_dump(mode="json"), indent=1).encode() + b"\n"
