"""What aarch64 computes is what x86 recorded. Run by tests/aarch64/run.sh; its name keeps it out of `make test`."""

from __future__ import annotations

import json
import platform

import numpy as np
import pytest

from asd_edge.bundle.archive import load_bundle
from asd_edge.bundle.bundle import Bundle
from asd_edge.serving.verify import golden_embeddings, verify
from tests.edge.default_bundle import RECORDED, SEEDS, scores

TOLERANCE = 1e-5
"""Of a number of an fp32 embedding, and of a score: kernels of another processor add in another order, and round
a·b + c once. 5e-7 of a score was seen.

Other precisions are held to the parity gate alone, 1e-3 in cosine distance. In fp16 this processor rounds every number
where x86 rounds none (1.1e-5 was seen); in int8 what lies between two levels may fall to either.
"""


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle("default")


def test_this_is_aarch64() -> None:
    assert platform.machine() == "aarch64"


def test_every_variant_of_the_default_bundle_passes_the_parity_gate(bundle: Bundle) -> None:
    for variant in bundle.manifest.variants:
        verdict = verify(bundle.at(variant.precision, variant.kind))
        print(verdict)
        assert verdict.passed


def test_fp32_embeds_golden_segments_as_on_x86(bundle: Bundle) -> None:
    golden = bundle.golden
    for kind, precision in golden.exported:
        if precision == "fp32":
            found = golden_embeddings(bundle.at(precision, kind).pipeline(), golden)
            far = float(np.abs(found - golden.exported[kind, precision]).max())
            print(f"{kind}/{precision}: {far:.1e}")
            assert far <= TOLERANCE


def test_scores_of_the_default_bundle_are_those_of_x86(bundle: Bundle) -> None:
    """Simulated sound → front end → graph → distance → window score, one seed of every machine, normal and faulty."""
    recorded = json.loads(RECORDED.read_text())
    got = dict(scores(bundle, seeds=SEEDS[:1]))
    print(max(abs(got[name] - recorded[name]) for name in got))
    assert got == pytest.approx({name: recorded[name] for name in got}, abs=TOLERANCE, rel=0)
