"""TensorRT for a bundle: its engines from the cache, behind the embedder protocols, or how to build them."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.embedder import AnyEmbedder, load_engines
from asd_edge.engines.build import Builder, cached_engines, find_builder
from asd_edge.engines.cache import EngineCache
from asd_edge.engines.cuda import find_gpu
from asd_edge.engines.tensorrt_build import USUAL_SPEC
from asd_edge.engines.tensorrt_module import FLAVOURS
from asd_edge.serving.choice import Engine


@dataclass(frozen=True)
class TensorRTEngines:
    """The TensorRT of this device and the folder that its engines are kept in."""

    builder: Builder
    cache: EngineCache
    name: Engine = "tensorrt"

    def key(self, bundle: Bundle) -> str:
        """Return what names this build of the variant's engines: graphs, TensorRT, GPU and flags."""
        members = bundle.variant.members
        keys = [self.builder.key(bundle.graphs[name], bundle.precision, USUAL_SPEC).stem for name in members]
        return hashlib.sha256("\n".join(keys).encode()).hexdigest()[:32]

    def load(self, bundle: Bundle) -> AnyEmbedder | None:
        """Return the variant in view on the GPU; None where its engines must be built first.

        Raises:
            EngineError: an engine cannot be loaded here.
        """
        graphs = {name: bundle.graphs[name] for name in bundle.variant.members}
        engines = cached_engines(graphs, bundle.precision, self.cache, USUAL_SPEC, builder=self.builder)
        if engines is None:
            return None
        return load_engines(bundle.manifest.graphs, engines, bundle.kind, bundle.precision)

    def build_command(self, bundle: Bundle, path: str) -> list[str]:
        """Return the command that builds them from the bundle at `path`, for a BuildChild."""
        view = (bundle.bundle_id, bundle.kind, bundle.precision)
        return [sys.executable, "-m", "asd_edge.serving.build_engines", path, *view, str(self.cache.folder)]


def installed_tensorrt() -> Callable[[Path], TensorRTEngines] | None:
    """Return what looks for the TensorRT of this device; None where no module of it is installed, which costs nothing
    to know."""
    return find_tensorrt_engines if any(find_spec(flavour) for flavour in FLAVOURS) else None


def find_tensorrt_engines(folder: Path) -> TensorRTEngines:
    """Return the TensorRT of this device.

    Raises:
        EngineError: there is none, or no GPU.
    """
    builder = find_builder()
    if builder.gpu is None:  # it could build ahead of time, but nothing would run here
        find_gpu()
    return TensorRTEngines(builder, EngineCache(folder))
