"""What aarch64 computes is what x86 recorded. Run by tests/aarch64/run.sh; its name keeps it out of `make test`."""

from __future__ import annotations

import json
import platform

import pytest

from asd_edge.bundle.archive import load_bundle
from tests.edge.default_bundle import RECORDED, SEEDS, scores

# Kernels of another processor add in another order, and contract a·b + c to one rounding: 5e-7 of a score was seen.
TOLERANCE = 1e-5


def test_this_is_aarch64() -> None:
    assert platform.machine() == "aarch64"


def test_scores_of_the_default_bundle_are_those_of_x86() -> None:
    """Simulated sound → front end → graph → distance → window score, one seed of every machine, normal and faulty."""
    recorded = json.loads(RECORDED.read_text())
    got = dict(scores(load_bundle("default"), seeds=SEEDS[:1]))
    assert got == pytest.approx({name: recorded[name] for name in got}, abs=TOLERANCE, rel=0)
