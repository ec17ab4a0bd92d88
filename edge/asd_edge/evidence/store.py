"""The clips on the disk: `<state_dir>/evidence/<machine>/<time>-<id>/`, each whole or not there.

The daemon writes clips and deletes them by quota and age; commands read, label and delete them meanwhile, without a
lock: a clip appears and vanishes by one rename, and its manifest is replaced as a whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from asd_edge.atomic import atomic_write, make_folder, remove_folder, write_private_folder
from asd_edge.errors import StateError
from asd_edge.evidence.manifest import MANIFEST, ClipManifest, Label, Member
from asd_edge.evidence.stored import StoredClip, read_stored, unusable


def members_of(files: Mapping[str, bytes]) -> dict[str, Member]:
    """Return what a manifest says of these files."""
    return {
        name: Member(sha256=hashlib.sha256(data).hexdigest(), size=len(data)) for name, data in sorted(files.items())
    }


class ClipStore:
    """The evidence of a device."""

    def __init__(self, state_dir: Path) -> None:
        self.folder = state_dir / "evidence"
        self._state_dir = state_dir

    def save(self, manifest: ClipManifest, files: Mapping[str, bytes], *, most_bytes: int) -> Path:
        """Write a clip, after having deleted older ones to make room for it; return its folder.

        Args:
            manifest: with `members_of(files)` in it.
            files: content of each.
            most_bytes: that all clips may have together.

        Raises:
            StateError: it is larger than that alone, or the disk does not take it.
        """
        content = dict(files) | {MANIFEST: _document(manifest)}
        size = sum(map(len, content.values()))
        if size > most_bytes:
            raise StateError(
                f"A clip of {manifest.machine} does not fit",
                found=f"{size / (1 << 20):.1f} MiB",
                expected=f"{most_bytes / (1 << 20):g} MiB at most, of all clips together",
                remedy="Raise evidence.max_mib, or shorten evidence.pre_s and evidence.post_s.",
            )
        self.shrink(most_bytes - size)
        path = self.folder / manifest.machine / manifest.id
        try:
            for folder in (self.folder, path.parent):
                make_folder(folder, self._state_dir, mode=0o700)
            write_private_folder(path, content, like=self._state_dir)
        except OSError as error:
            raise unusable(path, error.strerror or str(error), "a folder with room in it, to write to") from error
        return path

    def clips(self, machine: str | None = None) -> list[StoredClip]:
        """Return the clips of a machine or of all, the oldest first; damaged ones before the others.

        Raises:
            StateError: this user may not look into the folder.
        """
        try:
            folders = [
                folder
                for above in _folders(self.folder)
                if machine in (None, above.name)
                for folder in _folders(above)
                if not folder.name.startswith(".")
            ]
            found = [clip for clip in map(read_stored, folders) if clip is not None]
        except OSError as error:
            raise unusable(
                self.folder, error.strerror or str(error), "a folder that this user may read", "Run it with sudo."
            ) from error
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
            with atomic_write(clip.path / MANIFEST, mode=0o600, like=self._state_dir) as stream:
                stream.write(_document(clip.manifest.model_copy(update={"label": label})))
        except OSError as error:
            raise unusable(clip.path, error.strerror or str(error), "a clip that this user may write to") from error

    def remove(self, clip: StoredClip) -> None:
        """Delete a clip; one that is gone already is no error.

        Raises:
            StateError: it cannot be deleted.
        """
        try:
            remove_folder(clip.path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise unusable(clip.path, error.strerror or str(error), "a folder that this user may write to") from error

    def shrink(self, most_bytes: int) -> None:
        """Delete clips until they have so many bytes together: the oldest first, labelled ones after all others.

        A label is a person's work, and what training learns from.

        Raises:
            StateError: one cannot be deleted.
        """
        clips = sorted(self.clips(), key=lambda clip: clip.manifest is not None and clip.manifest.label is not None)
        total = sum(clip.size for clip in clips)
        for clip in clips:
            if total <= most_bytes:
                return
            self.remove(clip)
            total -= clip.size

    def forget(self, made_before_s: float, *, damaged_before: float) -> None:
        """Delete what is too old, labelled or not.

        Args:
            made_before_s: of the running clock.
            damaged_before: UTC seconds, for clips that do not say when they were made: when they last changed.

        Raises:
            StateError: one cannot be deleted.
        """
        for clip in self.clips():
            if clip.manifest is not None:
                old = clip.manifest.made_at_s < made_before_s
            else:
                old = clip.changed < damaged_before
            if old:
                self.remove(clip)

    def clear_leftovers(self) -> None:
        """Delete what writers left that were killed. Only the daemon calls this: it alone writes clips."""
        for leftover in (*self.folder.glob("*/.*.tmp"), *self.folder.glob("*/*/.*.tmp"), *self.folder.glob(".*.tmp")):
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


def _folders(above: Path) -> list[Path]:
    try:
        with os.scandir(above) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:  # nothing yet, or deleted meanwhile
        return []


def _age_order(clip: StoredClip) -> tuple[bool, float, str]:
    return (True, clip.manifest.made_at_s, clip.id) if clip.manifest else (False, 0.0, clip.id)


def _document(manifest: ClipManifest) -> bytes:
    return json.dumps(manifest.model_dump(mode="json"), indent=1).encode() + b"\n"
