"""An accelerator that is a real engine: onnxruntime again, built by a real process that leaves a real file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asd_edge.bundle.bundle import Bundle
from asd_edge.engines.embedder import FrameFeatures, Pasts, StreamEmbedder
from asd_edge.engines.switching import Numbers
from asd_edge.serving.choice import Engine
from tests.edge.failing_engine import Failing

BUILDS = "import sys; open(sys.argv[1], 'w').close(); print('{\"seconds\": 0.1}')"
"""A build that succeeds."""


class FailingStream(Failing):
    """A stream engine that may fail, for those who ask whether it is one."""

    dims = property(lambda self: self.engine.dims)
    reach = property(lambda self: self.engine.reach)
    pooled_shape = property(lambda self: self.engine.pooled_shape)

    def initial_pasts(self) -> Pasts:
        return self.engine.initial_pasts()  # type: ignore[no-any-return]


class SecondEngine:
    """Takes the place of TensorRT.

    Args:
        folder: of what is built.
        build: Python code of the build, which is to make the file that it is given.
        engine: makes the engine of what onnxruntime loads.
    """

    name: Engine = "tensorrt"

    def __init__(
        self, folder: Path, build: str = BUILDS, engine: Callable[[Any], Any] = lambda plain: plain, key: str = "first"
    ) -> None:
        self.built = folder / "engine"
        self.builds = folder / "builds"
        folder.mkdir(parents=True, exist_ok=True)
        self._build, self._engine, self._key = build, engine, key

    def key(self, bundle: Bundle) -> str:
        return f"{self._key}-{bundle.precision}"

    def load(self, bundle: Bundle) -> Any:
        return self._engine(bundle.pipeline().embedder) if self.built.exists() else None

    def build_command(self, bundle: Bundle, path: str) -> list[str]:
        with self.builds.open("a") as counted:
            counted.write(f"{path} {bundle.precision}\n")
        return [sys.executable, "-c", self._build, str(self.built)]


class Wrong:
    """A stream engine whose embeddings point elsewhere."""

    def __init__(self, engine: StreamEmbedder) -> None:
        self.engine = engine
        self.dims, self.reach, self.pooled_shape = engine.dims, engine.reach, engine.pooled_shape
        self.initial_pasts = engine.initial_pasts

    def advance(self, features: Numbers, pasts: Pasts) -> tuple[FrameFeatures, Pasts]:
        return self.engine.advance(features, pasts)

    def embed(self, mean: Numbers, variance: Numbers) -> Numbers:
        return self.engine.embed(mean, variance)[:, ::-1]
