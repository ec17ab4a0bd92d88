"""The site state of a machine on the disk: one current revision, those before it, and a lock for who changes it.

`<state_dir>/<machine>/site.json` is replaced as a whole, so a reader needs no lock and a crash leaves the old or the
new one. `revisions/<number>.json` are the files that site.json was before. Layout: docs/state.md.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from asd_edge.atomic import atomic_write, make_folder, sync_directory
from asd_edge.bundle.site import FORMAT, VERSION, Change, SiteState
from asd_edge.errors import StateError
from asd_edge.lock import holder_of, locked
from asd_edge.strict import RefusalError, parse_versioned

SIZE_LIMIT = 64 << 20
KEPT_REVISIONS = 20
Stamp = tuple[int, int, int]


class SiteStore:
    """The site state of one machine.

    Change it under the lock::

        with store.exclusive(author):
            store.save(store.load().with_condition(condition), change)
    """

    def __init__(self, state_dir: Path, machine: str) -> None:
        self.machine = machine
        self.folder = state_dir / machine
        self.path = self.folder / "site.json"
        self._state_dir = state_dir
        self._lock = self.folder / "site.lock"
        self._revisions = self.folder / "revisions"
        self._locked = False

    def load(self) -> SiteState:
        """Return the state; an empty one before anything was enrolled.

        Raises:
            StateError: the file cannot be read, is not a site state of this version, or was there and is gone.
        """
        try:
            return self._read(self.path)
        except FileNotFoundError:
            if not self.revisions():
                return SiteState()
        raise StateError(
            f"The site state {self.path} is gone",
            found="revisions before it, and no current one",
            expected="the current revision",
            remedy="Go back to an earlier one (asd-edge conditions rollback), or to nothing at all (--to 0).",
        )

    def revisions(self) -> list[int]:
        """Return the numbers of the revisions that are kept beside the current file, rising."""
        stems = (path.stem for path in self._revisions.glob("*.json"))
        return sorted(int(stem) for stem in stems if stem.isdecimal())

    def load_revision(self, number: int) -> SiteState:
        """Return an earlier revision; the empty state for 0.

        Raises:
            StateError: it is not kept (any more), or cannot be read.
        """
        if number == 0:
            return SiteState()
        try:
            return self._read(self._revisions / f"{number}.json")
        except FileNotFoundError:
            kept = [0, *self.revisions()]
            raise StateError(
                f"The machine {self.machine} has no such revision to go back to",
                found=f"revision {number}",
                expected=f"one of {', '.join(map(str, kept))}",
                remedy="Choose one of these: asd-edge conditions list shows what made each.",
            ) from None

    def stamp(self) -> Stamp | None:
        """Return a value that is another one after every change; None without a file. Cheap: one stat."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size

    def busy(self) -> str | None:
        """Say who is changing the conditions right now; None when nobody is. Takes no lock."""
        return holder_of(self._lock)

    @contextmanager
    def exclusive(self, who: str) -> Iterator[None]:
        """Hold the machine's lock; it ends with the process too, however that ends.

        Args:
            who: the holder, for whoever finds the lock held.

        Raises:
            StateError: another process or thread holds it, or the folder cannot be made.
        """
        with ExitStack() as held:
            try:
                make_folder(self.folder, self._state_dir)
                held.enter_context(locked(self._lock, f"{who}, process {os.getpid()}", like=self._state_dir))
            except BlockingIOError:
                raise StateError(
                    f"Cannot change the site state {self.path}",
                    found=f"another enrollment is running: {self.busy() or 'it just ended'}",
                    expected="one enrollment of a machine at a time",
                    remedy="Wait until it has ended, then try again.",
                ) from None
            except OSError as error:
                raise self.unusable("lock", error) from error
            self._locked = True
            held.callback(self._unlock)
            for leftover in self.folder.rglob(".*.tmp"):  # of a writer that was killed
                leftover.unlink(missing_ok=True)
            yield

    def save(self, state: SiteState, change: Change) -> SiteState:
        """Write the successor of the revision that `state` was loaded as; return it with its new revision.

        Raises:
            StateError: the state on the disk has changed since, the new one is too large, or cannot be written.
            RuntimeError: the lock is not held.
        """
        current = self.load().revision
        if state.revision != current:
            raise StateError(
                f"Cannot change the site state {self.path}",
                found=f"revision {current} on the disk",
                expected=f"revision {state.revision}, which this change was made from",
                remedy="Look at the conditions as they are now and repeat the change.",
            )
        return self._write(state, change, current + 1)

    def restore(self, state: SiteState, change: Change) -> SiteState:
        """Write a state in the place of one that is damaged or gone; what is damaged stays as site.json.damaged.

        Raises:
            StateError: it cannot be written.
            RuntimeError: the lock is not held.
        """
        damaged = self.path.with_name("site.json.damaged")
        try:
            if self.path.exists():
                damaged.unlink(missing_ok=True)
                os.link(self.path, damaged)
        except OSError as error:
            raise self.unusable("set aside", error) from error
        # The lost one's own number was one more than the newest that is kept: it is not given to another.
        return self._write(state, change, max(self.revisions(), default=0) + 2)

    def _write(self, state: SiteState, change: Change, number: int) -> SiteState:
        if not self._locked:
            raise RuntimeError("a change outside exclusive(): somebody else's could be lost")
        content = state.model_copy(update={"revision": number, "change": change}).model_dump(mode="json")
        data = json.dumps(content, indent=1).encode() + b"\n"
        try:  # as the reader will: what it would refuse must not take the place of what it reads
            if len(data) > SIZE_LIMIT:
                raise RefusalError(f"a state of {len(data)} bytes", f"at most {SIZE_LIMIT} bytes")
            successor = parse_versioned(data, SiteState, format=FORMAT, version=VERSION)
            self._keep_current()
            with atomic_write(self.path, like=self._state_dir) as stream:
                stream.write(data)
            self._forget_old(number - 1)
        except RefusalError as refusal:
            raise StateError(
                f"The conditions of {self.machine} do not fit into its site state",
                found=refusal.found,
                expected=refusal.expected,
                remedy="Remove conditions that are not needed any more.",
            ) from None
        except OSError as error:
            raise self.unusable("write", error) from error
        return successor

    def _unlock(self) -> None:
        self._locked = False

    def write_beside(self, path: Path, data: bytes) -> None:
        """Write another file of this machine's folder, whole or not at all.

        Raises:
            StateError: it cannot be written.
        """
        try:
            make_folder(path.parent, self._state_dir)
            with atomic_write(path, like=self._state_dir) as stream:
                stream.write(data)
        except OSError as error:
            raise self.unusable("write beside", error) from error

    def _read(self, path: Path) -> SiteState:
        try:
            size = path.stat().st_size
            if size > SIZE_LIMIT:
                raise RefusalError(f"a file of {size} bytes", f"at most {SIZE_LIMIT} bytes")
            return parse_versioned(path.read_bytes(), SiteState, format=FORMAT, version=VERSION)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self.unusable("read", error) from error
        except RefusalError as refusal:
            raise StateError(
                f"Cannot use the site state {path}",
                found=refusal.found,
                expected=refusal.expected,
                remedy=refusal.remedy
                or "Go back to an earlier revision (asd-edge conditions rollback; --to 0: nothing at all), or restore "
                "the file from a backup.",
            ) from None

    def _keep_current(self) -> None:
        """Give the current file a second name: what site.json is replaced by is another file, so nothing is copied."""
        try:
            number = self._read(self.path).revision
        except (FileNotFoundError, StateError):
            return
        make_folder(self._revisions, self._state_dir)
        kept = self._revisions / f"{number}.json"
        if kept.exists() and kept.samefile(self.path):  # by a writer that was killed before the replacement
            return
        kept.unlink(missing_ok=True)
        os.link(self.path, kept)
        sync_directory(self._revisions)

    def _forget_old(self, newest: int) -> None:
        for path in self._revisions.glob("*.json"):
            if path.stem.isdecimal() and int(path.stem) <= newest - KEPT_REVISIONS:
                path.unlink(missing_ok=True)

    def unusable(self, verb: str, error: OSError) -> StateError:
        """Return the error of a state folder that cannot be used."""
        return StateError(
            f"Cannot {verb} the site state {self.path}",
            found=error.strerror or str(error),
            expected="a state folder with room in it, that this user may read and write",
            remedy="Set device.state_dir to such a folder, make room on its disk, or correct the folder's owner.",
        )
