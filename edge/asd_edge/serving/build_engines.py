"""The work of the build child: `python -m asd_edge.serving.build_engines BUNDLE ID KIND PRECISION FOLDER`.

It prints one line of JSON: `{"built": […], "seconds": …}`, or `{"error": "…"}` for what an AsdEdgeError says. What
kills it is for its parent to see.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from asd_edge.bundle.archive import read_bundle
from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.trust import previous_of
from asd_edge.bundle.variants import Kind, Precision
from asd_edge.engines.build import build_engines
from asd_edge.engines.cache import EngineCache
from asd_edge.errors import AsdEdgeError, BundleError


def main(arguments: Sequence[str]) -> None:
    """Build the engines of one variant into the cache."""
    path, bundle_id, kind, precision, folder = arguments
    try:
        print(json.dumps(_build(path, bundle_id, cast(Kind, kind), cast(Precision, precision), Path(folder))))
    except AsdEdgeError as error:
        print(json.dumps({"error": f"{error.what}: {error.found}"}))


def bundle_of(path: str, bundle_id: str) -> Bundle:
    """Return the bundle that the daemon runs, and whose signature it has verified. No other is looked into.

    An installation may have put another one at `path` since then; what the daemon runs lies beside that.

    Raises:
        BundleError: it is at neither place.
    """
    try:
        return read_bundle(path, only=bundle_id)[0]
    except BundleError:
        if path == "default" or not (previous := previous_of(Path(path))).exists():
            raise
    return read_bundle(previous, only=bundle_id)[0]


def _build(path: str, bundle_id: str, kind: Kind, precision: Precision, folder: Path) -> dict[str, Any]:
    view = bundle_of(path, bundle_id).at(precision, kind)
    seconds = 0.0
    graphs = {name: view.graphs[name] for name in view.variant.members}
    for built in build_engines(graphs, precision, EngineCache(folder)):
        if built.error is not None:
            raise built.error
        seconds += built.seconds
        print(f"{built.member}: {built.seconds:.1f} s", file=sys.stderr)
    return {"built": list(graphs), "seconds": round(seconds, 1)}


if __name__ == "__main__":
    main(sys.argv[1:])
