"""What an engine beside onnxruntime is to a device: something that has to be built before it can serve."""

from __future__ import annotations

from typing import Protocol

from asd_edge.bundle.bundle import Bundle
from asd_edge.engines.embedder import Embedder, StreamEmbedder
from asd_edge.serving.choice import Engine


class Accelerator(Protocol):
    """An engine that is built on the device (serving/tensorrt.py)."""

    @property
    def name(self) -> Engine:
        """The engine."""
        ...

    def key(self, bundle: Bundle) -> str:
        """Return what names this build of the variant's graphs, at most 200 characters: for another one it differs."""
        ...

    def load(self, bundle: Bundle) -> Embedder | StreamEmbedder | None:
        """Return what runs the variant in view; None where it must be built first.

        Raises:
            EngineError: it was built and cannot be loaded.
        """
        ...

    def build_command(self, bundle: Bundle, path: str) -> list[str]:
        """Return the command that builds it from the bundle at `path`; its output is what BuildChild expects.

        The result has a key `error` where it could not be built.
        """
        ...
