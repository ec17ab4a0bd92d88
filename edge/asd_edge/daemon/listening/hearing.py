"""A machine's source through all its openings."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from time import monotonic

from asd_edge.config import MachineTable
from asd_edge.daemon.listening.ladder import Ladder, Renewal, fail, hear, quiet, renew, used_up
from asd_edge.errors import SourceError
from asd_edge.sources.block import Block, Source
from asd_edge.sources.health import KNOWN_WITHIN_S, MicrophoneHealth, MicrophoneReport
from asd_edge.sources.observer import Observer
from asd_edge.sources.open import is_live, is_microphone, may_pause, open_machine
from asd_edge.sources.shared import SharedDevices

_LET_GO_S = 2.0  # machines that share a dead device find it out within a second, and all must let go of it


class Hearing:
    """Opens a machine's source as often as need be: samples in one numbering, how its microphone does, what is lost.

    Recordings and simulations are not examined: nobody can mend the microphone of a recording, and `asd-edge score`
    must say the same of it.

    Args:
        machine: where its sound comes from.
        rate: samples a second.
        shared: the microphones, each of which may be several machines'.
        state: folder of the machine's state.
        waiting: called at least every second while no sound comes.
    """

    def __init__(
        self, machine: MachineTable, *, rate: int, shared: SharedDevices, state: Path, waiting: Callable[[], None]
    ) -> None:
        self.live = is_live(machine.source)
        self.renewing = False
        """Whether `blocks` has ended so that the device is opened afresh."""
        self.in_source = False
        """Whether the listener is in the source now: who stays there hangs with a driver or a file system."""
        self._machine = machine
        self._rate = rate
        self._shared = shared
        self._state = state
        self._health = MicrophoneHealth(machine.microphone) if self.live else None
        self._observer = Observer(waiting, self._health)
        self._source: Source | None = None
        self._closed = False
        self._heard = 0  # index of the next sample
        self._heard_at = 0.0  # monotonic
        self._ladder = Ladder(sound_at=monotonic())
        self._renewal = Renewal()

    @property
    def microphone(self) -> MicrophoneReport | None:
        """How the microphone does; None when it is not examined."""
        return None if self._health is None else self._health.report

    @property
    def known_within_s(self) -> float:
        """Seconds of sound within which a fault of the microphone is known; 0 when none is looked for."""
        return KNOWN_WITHIN_S if self.live and self._machine.microphone.check else 0.0

    @property
    def due(self) -> int:
        """Index of the sample that would come now."""
        return self._heard + round((monotonic() - self._heard_at) * self._rate) if self._heard else 0

    @property
    def quiet(self) -> bool:
        """Whether there should have been sound for a while."""
        return self.live and not may_pause(self._machine.source) and quiet(self._ladder, monotonic())

    @property
    def given_up(self) -> bool:
        """Whether attempts to open the source again have failed for long enough to call it a failure."""
        return used_up(self._ladder, monotonic())

    @property
    def pause_s(self) -> float:
        """Seconds to wait before `blocks` is called again, never in step with other machines."""
        return _LET_GO_S if self.renewing else self._ladder.pause_s * random.uniform(0.8, 1.2)

    def begin(self) -> None:
        """Let the wait for sound begin now."""
        self._ladder = Ladder(sound_at=monotonic())

    def fail(self) -> None:
        """Take note that the source has failed, or could not be opened."""
        self._ladder = fail(self._ladder)

    def blocks(self, block_s: float) -> Iterator[Block]:
        """Open the source and yield its blocks, `block_s` seconds each; the source is closed when this is over.

        What was lost since it was heard last is a gap, as any other.

        Raises:
            SourceError: it cannot be opened, or fails.
        """
        self.renewing, self.in_source = False, True
        try:
            yield from self._blocks(block_s)
        finally:
            self.in_source = False

    def _blocks(self, block_s: float) -> Iterator[Block]:
        source = self._source = open_machine(
            self._machine,
            rate=self._rate,
            block_s=block_s,
            shared=self._shared,
            state=self._state,
            observer=self._observer,
        )
        first = None
        try:
            if self._closed:  # before there was a source to close
                return
            for block in source.blocks():
                now = monotonic()
                if first is None:
                    first = self._first(block, now)
                block = replace(block, start=first + block.start)
                self._heard, self._heard_at = block.start + len(block.samples), now
                second = block.start / self._rate
                # A file is heard to its end, silent or not, and the sender of a FIFO would be ended by a broken pipe.
                if is_microphone(self._machine.source):
                    self._renewal, self.renewing = renew(self._renewal, block.faults, second)
                self.in_source = False
                yield block
                self.in_source = True
                self._ladder = hear(self._ladder, monotonic(), second)  # the listener may have been kept waiting
                if self.renewing:
                    return
        finally:
            source.close()

    def _first(self, block: Block, now: float) -> int:
        """Return the index of the source's sample 0."""
        if self._heard == 0:
            return 0
        lost = max(1, round((now - self._heard_at) * self._rate) - len(block.samples))
        if self._health is not None:
            self._health.reopen(lost / self._rate)
        return self._heard + lost

    def close(self) -> None:
        """End `blocks`, from any thread."""
        self._closed = True
        if self._source is not None:
            self._source.close()


def gone(source: str) -> SourceError:
    """Return the error of a source that ended though it should not."""
    return SourceError(
        f"The source {source} ended",
        found="its sender left",
        expected="sound until the daemon is stopped",
        remedy="Start the sender again; it is heard as soon as it sends.",
    )


def hangs(source: str) -> SourceError:
    """Return the error of a source that does not answer at all, not even that it has nothing."""
    return SourceError(
        f"The source {source} hangs",
        found="a call to the operating system that does not end",
        expected="sound, or an error",
        remedy="Look at the network share or disk that it lies on; when that is back, it is heard again.",
    )


def silent(source: str) -> SourceError:
    """Return the error of a source that gives nothing."""
    return SourceError(
        f"No sound comes from {source}",
        found="nothing for ten seconds",
        expected="sound without a break",
        remedy="Start its sender, or look why it hangs; it is heard as soon as it sends.",
    )
