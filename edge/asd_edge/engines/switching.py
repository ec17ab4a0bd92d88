"""Two engines of one graph behind one embedder: the one that is always there, and a faster one while it works.

Both run the same graph of the same precision, so a stream's pasts fit both and a channel goes on through a switch. One
thread calls an embedder; `use` and `stop_using` belong to that thread too, between two of its blocks, so that no block
is begun by one engine and ended by the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from asd_edge.engines.embedder import Embedder, FrameFeatures, Pasts, StreamEmbedder

Numbers = NDArray[np.float32]
Failed = Callable[[str], None]
"""Takes the reason why the faster engine is not used any more; called in the thread that computes."""

Engine = TypeVar("Engine")
Result = TypeVar("Result")


class _Switch(Generic[Engine]):
    """Runs what it is given on the faster engine, and what that cannot do on the other one.

    Args:
        steady: the engine to begin with and to fall back on.
        failed: told why the faster one was given up.
    """

    def __init__(self, steady: Engine, failed: Failed) -> None:
        self.steady = steady
        self._faster: Engine | None = None
        self._failed = failed

    def use(self, faster: Engine) -> None:
        """Let another engine of the same graph compute from the next call on."""
        self._faster = faster

    def stop_using(self) -> None:
        """Go on with the steady engine."""
        self._faster = None

    def run(self, call: Callable[[Engine], Result], usable: Callable[[Result], bool]) -> Result:
        """Return what `call` gives on the engine in use.

        An engine that raises or gives what is not `usable` is given up, and the call is done again: nothing is lost,
        for a call changes nothing but what it returns.
        """
        if self._faster is None:
            return call(self.steady)
        try:
            result = call(self._faster)
        except Exception as error:  # of a foreign runtime: it may be of any class
            self._give_up(f"{type(error).__name__}: {error}")
            return call(self.steady)
        if usable(result):
            return result
        proven = call(self.steady)
        if usable(proven):  # else it is the sound that is no number
            self._give_up("it gave what is no number, where the other engine gives one")
        return proven

    def _give_up(self, reason: str) -> None:
        self._faster = None
        self._failed(" ".join(reason.split())[:500])


class SwitchingEmbedder(_Switch[Embedder]):
    """An `Embedder` of whole segments whose engine can be switched."""

    @property
    def dims(self) -> int:
        """Length of an embedding."""
        return self.steady.dims

    def embed(self, features: Numbers, spectra: Numbers | None = None) -> Numbers:
        """Embed a batch of segments (`Embedder.embed`)."""
        return self.run(lambda engine: engine.embed(features, spectra), _finite)


class SwitchingStreamEmbedder(_Switch[StreamEmbedder]):
    """A `StreamEmbedder` whose engine can be switched."""

    @property
    def dims(self) -> int:
        """Length of an embedding."""
        return self.steady.dims

    @property
    def reach(self) -> int:
        """Frames of context that a frame needs on either side."""
        return self.steady.reach

    @property
    def pooled_shape(self) -> tuple[int, int, int]:
        """(bands, heads, depth) of what the network gives for a frame."""
        return self.steady.pooled_shape

    def initial_pasts(self) -> Pasts:
        """Return the memory of a channel that has heard nothing."""
        return self.steady.initial_pasts()

    def advance(self, features: Numbers, pasts: Pasts) -> tuple[FrameFeatures, Pasts]:
        """Continue channels with new frames (`StreamEmbedder.advance`)."""
        return self.run(lambda engine: engine.advance(features, pasts), _all_finite)

    def embed(self, mean: Numbers, variance: Numbers) -> Numbers:
        """Embed segments from their moments (`StreamEmbedder.embed`)."""
        return self.run(lambda engine: engine.embed(mean, variance), _finite)


AnySwitching = SwitchingEmbedder | SwitchingStreamEmbedder


def switching(embedder: Embedder | StreamEmbedder, failed: Failed) -> AnySwitching:
    """Return `embedder` with room for a faster engine of the same graph."""
    if isinstance(embedder, StreamEmbedder):
        return SwitchingStreamEmbedder(embedder, failed)
    return SwitchingEmbedder(embedder, failed)


def _finite(numbers: NDArray[Any]) -> bool:
    return bool(np.isfinite(numbers).all())


def _all_finite(heard: tuple[FrameFeatures, Pasts]) -> bool:
    frames, pasts = heard  # a past shows in no frame yet, and would spoil those to come
    return all(map(_finite, (frames.features, frames.logits, *pasts)))
