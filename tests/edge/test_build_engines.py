"""Which bundle the build child takes: the very file that the daemon runs, and no other is looked into."""

from __future__ import annotations

from pathlib import Path

import pytest

from asd_edge.errors import BundleError
from asd_edge.serving.build_engines import bundle_of
from tests.edge.installing import Box
from tests.edge.signer import members_of, write_members


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_an_installation_meanwhile_does_not_fail_the_build(box: Box) -> None:
    runs = box.install(box.bundle("a.asd", 1)).present.bundle_id
    assert bundle_of(str(box.path), runs).bundle_id == runs
    box.install(box.bundle("b.asd", 2))
    assert bundle_of(str(box.path), runs).bundle_id == runs
    box.install(box.bundle("c.asd", 3))
    with pytest.raises(BundleError, match="another one, with the SHA-256"):
        bundle_of(str(box.path), runs)


def test_another_bundle_is_not_looked_into(box: Box) -> None:
    """Nobody has seen its signature; its graph is no graph, which whoever parses it would say."""
    other = box.bundle("a.asd", 1)
    write_members(other, members_of(other) | {"segment.fp32.onnx": b"attack", "manifest.json": b"{"})
    for path in (str(other), "default"):
        with pytest.raises(BundleError, match="another one, with the SHA-256"):
            bundle_of(path, "0" * 64)
