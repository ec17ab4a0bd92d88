"""Where and how a training works."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from lightning_fabric import Fabric

from ..features.cache import Cache, cache_folder
from .engine import Engine


@dataclass(frozen=True)
class Work:
    """Where and how a training works; none of it decides what is learned, but for the engine's rounding.

    Attributes:
        engine: processors.
        cache_folder: of the features that are computed once; None takes the user's (features/cache.py).
        unfinished: folder for the states that a training goes on from when it was cut off, one for each network; they
            stay until the runs are written. None keeps none.
        keep_every_s: least seconds between two writes of that state.
        logs: folder for metrics.csv and TensorBoard's events; None writes none.
    """

    engine: Engine = field(default_factory=Engine)
    cache_folder: Path | None = None
    unfinished: Path | None = None
    keep_every_s: float = 30.0
    logs: Path | None = None

    def forget_unfinished(self) -> None:
        """Remove the states of trainings that have ended: called when their runs are written."""
        if self.unfinished is not None:
            shutil.rmtree(self.unfinished, ignore_errors=True)

    @cached_property
    def fabric(self) -> Fabric:
        """The engine, started once for all networks."""
        return self.engine.start()

    @property
    def cache(self) -> Cache:
        """What keeps the features."""
        return Cache(cache_folder(self.cache_folder))
