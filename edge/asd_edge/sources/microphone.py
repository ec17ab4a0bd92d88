"""A microphone through ALSA: arecord in a child process, which a dying driver cannot take us down with."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress

from asd_edge.errors import SourceError
from asd_edge.sources.observer import nothing
from asd_edge.sources.pcm import SAMPLE_BYTES, read_exactly
from asd_edge.sources.pieces import Piece

_PATIENCE_S = 5.0  # a microphone that sends nothing for this long is lost, even if its driver says nothing
_TERMINATE_S = 0.5
_PERIOD_S = 0.125  # arecord hands out sound in portions of this length unless told otherwise
_STDERR_BYTES = 65_536
_OVERRUN = re.compile(r"overrun!!! \(at least ([\d.]+) ms long\)")
_OTHER_RATE = re.compile(r"rate is not accurate \(requested = \d+Hz, got = (\d+)Hz\)")


class Microphone:
    """An ALSA capture device, opened for this process alone.

    Args:
        device: an ALSA name; `hw:CARD=…` stays the same when USB devices change places.
        channels: channels the device is opened with.
        rate: samples a second the device is opened with.
        piece_s: seconds of a piece.
        waiting: called at least every second while no sound comes.

    Raises:
        SourceError: arecord is not installed.
    """

    def __init__(
        self, device: str, *, channels: int, rate: int, piece_s: float, waiting: Callable[[], None] = nothing
    ) -> None:
        self._device = device
        self._channels = channels
        self._rate = rate
        self._size = max(1, round(piece_s * rate))  # samples of each channel
        self._waiting = waiting
        self._closing = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()  # close() sees either no child at all or one that it can end
        arecord = shutil.which("arecord")
        if arecord is None:
            raise SourceError(
                f"The microphone {device} cannot be heard",
                found="no program arecord",
                expected="arecord of alsa-utils",
                remedy="Install it: apt-get install alsa-utils",
            )
        self._arecord = arecord

    def pieces(self) -> Generator[Piece, None, None]:
        """Yield what the device gives until `close`; a gap between pieces is sound that it lost.

        When the iteration is over, however it ends, so is the child.

        Raises:
            SourceError: the device cannot be opened, or is lost.
        """
        child = self._start()
        if child is None:
            return
        assert child.stdout is not None
        assert child.stderr is not None
        with child.stderr:  # `with child` would wait for its end without limit
            try:
                with child.stdout:  # closed first: arecord hears no signal while it waits for us to read
                    yield from self._read(child)
            finally:
                _end(child)

    def close(self) -> None:
        """End `pieces` soon, from any thread; who asks for them waits for the child's end."""
        self._closing.set()
        with self._starting:
            child = self._child
        if child is not None:
            child.terminate()

    def _start(self) -> subprocess.Popen[bytes] | None:
        command = [self._arecord, "-D", self._device, "-t", "raw", "-f", "S16_LE"]
        command += ["-r", str(self._rate), "-c", str(self._channels)]
        piece_s = self._size / self._rate
        if piece_s < _PERIOD_S:
            command += ["--period-time", str(round(piece_s * 1e6))]
        with self._starting:
            if self._closing.is_set():
                return None
            child = self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=os.environ | {"LC_ALL": "C"},  # its messages are read below
                start_new_session=True,  # Ctrl-C in a terminal is for us, not for the child
            )
        assert child.stderr is not None
        os.set_blocking(child.stderr.fileno(), False)
        return child

    def _read(self, child: subprocess.Popen[bytes]) -> Generator[Piece, None, None]:
        start = 0
        while (heard := self._hear(child)) is not None:
            data, lost_s = heard
            if start > 0 and lost_s > 0.0:
                start += max(1, round(lost_s * self._rate))
            yield Piece(data, start, time.time() - self._size / self._rate, time.monotonic())
            start += self._size

    def _hear(self, child: subprocess.Popen[bytes]) -> tuple[bytes, float] | None:
        """Return the next piece's samples and the seconds lost before them; None when closed."""
        assert child.stdout is not None
        wanted = self._size * self._channels * SAMPLE_BYTES
        try:
            data = read_exactly(
                child.stdout.fileno(),
                wanted,
                closing=self._closing,
                waiting=self._waiting,
                patience_s=_PATIENCE_S,
            )
        except TimeoutError:
            raise self._lost(f"no sound for {_PATIENCE_S:.0f} s") from None
        said = _said(child)
        if data is None or (len(data) < wanted and self._closing.is_set()):
            return None
        if other := _OTHER_RATE.search(said):
            raise self._wrong_rate(int(other[1]))
        if len(data) < wanted:  # arecord never ends by itself
            raise self._lost(_last_words(child, said))
        return data, sum(float(milliseconds) for milliseconds in _OVERRUN.findall(said)) / 1000.0

    def _lost(self, found: str) -> SourceError:
        return SourceError(
            f"The microphone {self._device} cannot be heard",
            found=found,
            expected=f"16-bit sound, {self._channels} channel{'s' if self._channels > 1 else ''},"
            f" {self._rate} samples a second",
            remedy="Look at `arecord -L`: is the device there and free, has it these channels"
            " (else alsa:NAME?channels=N) and this rate (else source_rate)?",
        )

    def _wrong_rate(self, rate: int) -> SourceError:
        return SourceError(
            f"The microphone {self._device} has another sample rate",
            found=f"{rate} samples a second",
            expected=f"{self._rate} samples a second",
            remedy=f"Set source_rate to {rate} to have it resampled.",
        )


def _said(child: subprocess.Popen[bytes]) -> str:
    assert child.stderr is not None
    try:
        return os.read(child.stderr.fileno(), _STDERR_BYTES).decode("utf-8", "replace")
    except BlockingIOError:
        return ""


def _last_words(child: subprocess.Popen[bytes], said: str) -> str:
    try:
        status = child.wait(_TERMINATE_S)
    except subprocess.TimeoutExpired:
        return "arecord closed its output"
    lines = [line.strip() for line in (said + _said(child)).splitlines() if not line.startswith("Recording ")]
    ended = f"arecord was ended by signal {-status}" if status < 0 else f"arecord ended with status {status}"
    return "; ".join([ended, *filter(None, lines)])


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child; one that is stuck in the driver ends when the driver lets go of it, and is left behind."""
    for end in (child.terminate, child.kill):
        end()
        with suppress(subprocess.TimeoutExpired):
            child.wait(_TERMINATE_S)
            return
