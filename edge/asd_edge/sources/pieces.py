"""What a capture device gives: all its channels at once, before anybody chose one."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive samples of all channels.

    `data`: interleaved signed 16-bit little-endian PCM, whole samples of every channel.
    `start`: number of its first sample (of each channel) since the device was started; what the device lost counts.
    `captured`: UTC seconds of that sample. `arrived`: seconds of the monotonic clock at which the piece was read.
    """

    data: bytes
    start: int
    captured: float
    arrived: float


class Capture(Protocol):
    """Somebody's hold on a capture device: his alone, or one of several. It is listened to once."""

    def pieces(self) -> Generator[Piece, None, None]:
        """Yield pieces until `close`; one that does not start where the one before ended follows lost sound.

        Raises:
            SourceError: the device cannot be opened, or is lost.
        """
        ...

    def close(self) -> None:
        """End `pieces` soon and let go of the device, from any thread; a second call changes nothing."""
        ...


class OpenCapture(Protocol):
    """What takes hold of a device."""

    def __call__(self, *, rate: int, piece_s: float, waiting: Callable[[], None]) -> Capture:
        """Return a hold on it at `rate` samples a second, in pieces of `piece_s` seconds; see Microphone."""
        ...
