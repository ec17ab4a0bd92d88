"""Thousands of mutated bundles: each is refused or is as good as it looks, and none harms the process that reads it.

A child process loads and runs them, bounded in memory and time. A crash, a hang, an error that is no AsdEdgeError, a
file that is opened beside the bundle: each is a failure that names the mutant. `make fuzz` tries a hundred thousand.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asd_edge.bundle.archive import load_bundle
from asd_edge.bundle.graphs import Graphs
from asd_edge.bundle.variants import PRECISIONS
from tests.edge.fuzz.child import read_notes, watch
from tests.edge.fuzz.mutants import Mutants
from tests.edge.fuzz.precisions import in_eight_bits, in_half_precision
from tests.edge.fuzz.signature_mutants import PLANT
from tests.edge.signer import sign
from tests.edge.tiny_bundle import GOLDEN, GRAPHS, SEGMENT, STREAM, make_tiny_bundle

pytestmark = pytest.mark.once

MUTANTS = int(os.environ.get("ASD_EDGE_FUZZ", "2000"))
FIRST = int(os.environ.get("ASD_EDGE_FUZZ_FIRST", "0"))
BATCH = 1000
PEAK_MIB = 512
"""Of the child: 190 after it has loaded and run a whole bundle once, and the largest tensors that the limits allow."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both kinds in all precisions, signed."""
    path = tmp_path_factory.mktemp("fuzz") / "whole.asd"
    graphs: dict[str, bytes] = {}
    for part, file in GRAPHS.items():
        plain = (GOLDEN / file).read_bytes()
        graphs |= {f"{part}.fp16.onnx": in_half_precision(plain), f"{part}.int8.onnx": in_eight_bits(plain)}
    make_tiny_bundle(path, graphs=Graphs(segment=SEGMENT, stream=STREAM), precisions=PRECISIONS, graphs_bytes=graphs)
    return sign(path, PLANT)


def tried(whole: Path, first: int, stop: int) -> dict[str, Any]:
    """Return what the child says of these mutants; the test fails when it dies."""
    secrets = whole.parent / "secret"
    secrets.mkdir(exist_ok=True)
    (secrets / "weights.bin").write_bytes(bytes(1 << 16))
    # Without warnings: Python opens its own source to show where one comes from.
    child = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "tests.edge.fuzz.child",
        str(whole),
        str(first),
        str(stop),
        str(secrets),
    ]
    done = subprocess.run(child, capture_output=True, text=True, timeout=600, env=os.environ | {"OMP_NUM_THREADS": "1"})
    progress = whole.with_name(f"progress-{first}")
    at = progress.read_text() if progress.exists() else "the end"
    assert done.returncode == 0, f"mutant {at} ended the process with {done.returncode}: {done.stderr[-2000:]}"
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_no_mutant_does_any_harm(whole: Path) -> None:
    outcomes: dict[tuple[str, str], set[str]] = defaultdict(set)
    count = 0
    for first in range(FIRST, FIRST + MUTANTS, BATCH):
        found = tried(whole, first, min(first + BATCH, FIRST + MUTANTS))
        assert found["failures"] == []
        assert found["peak_mib"] < PEAK_MIB
        for what, times in found["counts"].items():
            kind, trusted, outcome = what.split(" ", 2)
            outcomes[kind, trusted].add(outcome)
            count += times
    assert count == MUTANTS
    # Damage to the file is always found; behind right digests some mutants are bundles, or the fuzzing is too shallow.
    for kind, how in outcomes:
        if kind in ("flipped", "cut", "spliced", "header", "rezipped", "renamed", "attacked"):
            assert outcomes[kind, how] <= {"refused", "equal"}, (kind, how)
        elif kind != "swapped":  # a graph is as good in the place of another precision's, or does not fit at all
            assert {"refused", "loaded and ran"} <= outcomes[kind, how], (kind, how)
    assert set(outcomes) == {(kind, how) for kind in KINDS for how in ("untrusted", "trusted")}


KINDS = ("flipped", "cut", "spliced", "header", "rezipped", "renamed", "swapped", "told", "array")
KINDS += ("attacked", "signature", "graph_bytes", "graph")


def test_what_is_mutated_is_signed_and_computes_in_three_precisions(whole: Path) -> None:
    bundle = load_bundle(whole)
    assert bundle.signatures is not None
    assert bundle.signatures.keys == (PLANT.fingerprint,)
    for kind in ("segment", "stream"):
        exact, half, eight_bits = (bundle.golden.exported[kind, precision] for precision in PRECISIONS)
        assert 0.0 < np.abs(half - exact).max() < 0.05 < np.abs(eight_bits - exact).max()


def test_a_mutant_is_made_from_its_number_alone(whole: Path) -> None:
    one, other = Mutants(whole.read_bytes()), Mutants(whole.read_bytes())
    numbers = range(60)
    made = [one.make(number) for number in numbers]
    assert [other.make(number) for number in reversed(numbers)][::-1] == made
    assert {kind for kind, _ in made} == set(KINDS)


def test_the_child_sees_files_that_are_opened_behind_pythons_back(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(16))
    noted = watch(str(tmp_path))
    os.listdir(tmp_path)
    assert read_notes(noted) == []
    libc = ctypes.CDLL(None)
    libc.close(libc.open(os.fsencode(tmp_path / "weights.bin"), os.O_RDONLY))
    assert read_notes(noted) == ["weights.bin"]
    os.close(noted)
