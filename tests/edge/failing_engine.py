"""Engines that serve for a while: a real onnxruntime embedder that fails at a chosen call, as a GPU's driver does."""

from __future__ import annotations

from typing import Any

import numpy as np


class Failing:
    """Does what `engine` does for `calls` calls, each run of a graph counting as one; what follows is `failure`.

    `failure`: an exception that is raised, or None for a result that is no number. `calls` None: it never fails.
    """

    def __init__(self, engine: Any, calls: int | None, failure: Exception | None = None) -> None:
        self.engine = engine
        self.ran = 0
        self._calls = calls
        self._failure = failure

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def advance(self, features: Any, pasts: Any) -> Any:
        frames, following = self.engine.advance(features, pasts)
        if self._fails():
            following = [following[0] * np.nan, *following[1:]]  # only the memory is spoilt
        return frames, following

    def embed(self, *given: Any) -> Any:
        embeddings = self.engine.embed(*given)
        if len(embeddings) == 0:  # no segment is complete: no graph ran
            return embeddings
        return embeddings * np.nan if self._fails() else embeddings

    def _fails(self) -> bool:
        self.ran += 1
        if self._calls is None or self.ran <= self._calls:
            return False
        if self._failure is not None:
            raise self._failure
        return True
