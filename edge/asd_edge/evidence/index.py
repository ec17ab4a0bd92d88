"""What the daemon remembers of the clips on the disk, so that it reads a manifest once and not at every look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from asd_edge.evidence.manifest import MANIFEST
from asd_edge.evidence.store import ClipStore, unreadable
from asd_edge.evidence.stored import StoredClip, read_stored


@dataclass(frozen=True, slots=True)
class _Known:
    """A clip: `made_at_s` of the running clock, None for a damaged one; `changed`: UTC seconds.

    `stamp` is another when its manifest is, which is all of a clip that ever changes.
    """

    path: Path
    size: int
    changed: float
    made_at_s: float | None
    labelled: bool
    stamp: tuple[int, int] | None

    @property
    def age_order(self) -> tuple[float, str]:
        """Damaged ones, then the oldest."""
        return (-1.0 if self.made_at_s is None else self.made_at_s, self.path.name)


class ClipIndex:
    """The clips of a store, as of the last `look`; deletes the oldest by quota and age.

    Args:
        store: of the clips.
        beat: called at every clip: there may be thousands, on a slow disk.
    """

    def __init__(self, store: ClipStore, beat: Callable[[], None]) -> None:
        self._store, self._beat = store, beat
        self._known: dict[Path, _Known] = {}

    @property
    def count(self) -> int:
        """Number of clips."""
        return len(self._known)

    @property
    def size(self) -> int:
        """Bytes of all clips."""
        return sum(known.size for known in self._known.values())

    @property
    def newest_s(self) -> float:
        """When the newest clip was made, of the running clock; 0 without any."""
        return max((known.made_at_s or 0.0 for known in self._known.values()), default=0.0)

    def look(self) -> None:
        """Learn what has come, and what commands have labelled or deleted meanwhile.

        Raises:
            StateError: the folder cannot be read.
        """
        before, self._known = self._known, {}
        try:
            for path, folder in self._store.folders():
                self._beat()
                stamp, known = _stamp(folder), before.get(path)
                if known is None or known.stamp is None or known.stamp != stamp:
                    clip = read_stored(path, folder)
                    known = None if clip is None else _known(clip, stamp)
                if known is not None:
                    self._known[path] = known
        except OSError as error:
            raise unreadable(self._store.folder, error) from error

    def shrink(self, most_bytes: int) -> None:
        """Delete clips until they have so many bytes together: the oldest first, labelled ones after all others.

        A label is a person's work, and what training learns from.

        Raises:
            StateError: one cannot be deleted.
        """
        total = self.size
        for known in sorted(self._known.values(), key=lambda known: (known.labelled, known.age_order)):
            if total <= most_bytes:
                return
            self._remove(known)
            total -= known.size

    def forget(self, made_before_s: float, *, damaged_before: float) -> None:
        """Delete what is too old, labelled or not.

        Args:
            made_before_s: of the running clock.
            damaged_before: UTC seconds, for clips that do not say when they were made: when they last changed.

        Raises:
            StateError: one cannot be deleted.
        """
        for known in tuple(self._known.values()):
            old = known.changed < damaged_before if known.made_at_s is None else known.made_at_s < made_before_s
            if old:
                self._remove(known)

    def _remove(self, known: _Known) -> None:
        self._beat()
        self._store.remove(known.path)
        del self._known[known.path]


def _known(clip: StoredClip, stamp: tuple[int, int] | None) -> _Known:
    made_at_s = None if clip.manifest is None else clip.manifest.made_at_s
    labelled = clip.manifest is not None and clip.manifest.label is not None
    return _Known(clip.path, clip.size, clip.changed, made_at_s, labelled, stamp)


def _stamp(folder: Path) -> tuple[int, int] | None:
    try:
        found = (folder / MANIFEST).lstat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
