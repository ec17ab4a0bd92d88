"""Clips as the daemon keeps them: never more than their quota, none for longer than their age."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from time import time

from asd_edge.config import EvidenceTable
from asd_edge.errors import StateError
from asd_edge.events import utc
from asd_edge.evidence.age import RunningClock
from asd_edge.evidence.index import ClipIndex
from asd_edge.evidence.manifest import ClipManifest
from asd_edge.evidence.recorded import Recorded
from asd_edge.evidence.store import ClipStore, content_of, members_of, new_clip_id

_DAY_S = 86_400.0
_LEFT_FREE = 64 << 20  # bytes of the disk: events need the last of it more than clips do [ours]


class ClipKeeper:
    """Writes clips, and deletes others before. No thread.

    Args:
        table: how much is kept, and how long; may be replaced at any time.
        device: its id.
        bundle_id: of the bundle that judges.
        state_dir: where the evidence is.
        beat: called at every clip that is looked at.
    """

    def __init__(
        self, table: EvidenceTable, device: str, bundle_id: str, state_dir: Path, beat: Callable[[], None]
    ) -> None:
        self.table = table
        self._device, self._bundle_id, self._beat = device, bundle_id, beat
        self._state_dir = state_dir
        self._store = ClipStore(state_dir)
        self._index = ClipIndex(self._store, beat)
        self._clock: RunningClock | None = None

    @property
    def any(self) -> bool:
        """Whether there may be clips."""
        return self._store.folder.exists()

    @property
    def count(self) -> int:
        """Number of clips on the disk."""
        return self._index.count

    @property
    def size(self) -> int:
        """Their bytes."""
        return self._index.size

    def begin(self) -> None:
        """Delete what was left half written.

        Raises:
            StateError: it cannot be deleted.
        """
        self._store.clear_leftovers(self._beat)

    def tidy(self) -> None:
        """Delete what is too old or too much.

        Raises:
            StateError: it cannot be deleted, or the disk does not take the running clock, or would not take a clip.
        """
        self._index.look()
        most_s = self.table.max_age_days * _DAY_S
        self._index.forget(self._running().now() - most_s, damaged_before=time() - most_s)
        self._index.shrink(self._most_bytes)
        self.save_clock()
        if self.table.enabled:
            self._check_room(0)

    def keep(self, recorded: Recorded) -> tuple[ClipManifest, Path]:
        """Write a clip, after having deleted older ones to make room for it; return its manifest and its folder.

        Raises:
            StateError: it is larger than the quota alone, or the disk does not take it.
        """
        files = recorded.files()
        self._index.look()
        manifest = self._manifest(recorded, files)
        self._make_room(manifest, files)
        path = self._store.save(manifest, files)
        self._index.look()
        self.save_clock()
        return manifest, path

    def save_clock(self) -> None:
        """Remember how long the daemon has run, if there may be clips.

        Raises:
            StateError: the disk does not take it.
        """
        if self.any:
            try:
                self._running().save()
            except OSError as error:
                raise StateError(
                    "The age of clips cannot be written down",
                    found=error.strerror or str(error),
                    expected=f"a folder {self._store.folder} with room in it, to write to",
                    remedy="Make room, or correct the owner of device.state_dir.",
                ) from error

    @property
    def _most_bytes(self) -> int:
        return self.table.max_mib << 20

    def _make_room(self, manifest: ClipManifest, files: Mapping[str, bytes]) -> None:
        size = sum(map(len, content_of(manifest, files).values()))
        if size > self._most_bytes:
            raise StateError(
                f"A clip of {manifest.machine} does not fit",
                found=f"{size / (1 << 20):.1f} MiB",
                expected=f"{self.table.max_mib} MiB at most, of all clips together",
                remedy="Raise evidence.max_mib, or shorten evidence.pre_s and evidence.post_s.",
            )
        self._index.shrink(self._most_bytes - size)
        self._check_room(size)

    def _check_room(self, size: int) -> None:
        """Refuse a clip of so many bytes that would take the last space of the disk."""
        try:
            free = shutil.disk_usage(self._state_dir).free
        except OSError:  # who writes there says what is wrong
            return
        if free - size < _LEFT_FREE:
            raise StateError(
                "No clips are kept while the disk is nearly full",
                found=f"{free / (1 << 20):.1f} MiB free at {self._state_dir}",
                expected=f"{_LEFT_FREE >> 20} MiB that stay free for events, and a clip",
                remedy="Make room; clips are kept again by themselves.",
            )

    def _manifest(self, recorded: Recorded, files: Mapping[str, bytes]) -> ClipManifest:
        alarm = recorded.alarm
        assert alarm.score is not None  # it begins: so it has all of these
        assert alarm.threshold is not None
        assert alarm.condition is not None
        assert alarm.since is not None
        return ClipManifest(
            id=new_clip_id(alarm.time),
            device=self._device,
            machine=alarm.machine,
            bundle_id=self._bundle_id,
            condition=alarm.condition,
            score=alarm.score,
            threshold=alarm.threshold,
            severity=alarm.severity,
            first_utc=utc(recorded.first_time),
            since_utc=utc(alarm.since),
            alarm_utc=utc(alarm.time),
            rate=recorded.rate,
            samples=len(recorded.samples),
            since_sample=max(0, recorded.since_at - recorded.start),
            alarm_sample=max(0, recorded.alarm_at - recorded.start),
            made_at_s=self._running().now(),
            files=members_of(files),
        )

    def _running(self) -> RunningClock:
        if self._clock is None:
            self._clock = RunningClock(self._store.folder / "running.json", at_least=self._index.newest_s)
        return self._clock
