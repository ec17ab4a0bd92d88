"""A few of the inputs of `python -m tests.soak.fuzz_audio`: no broken recording harms who hears it."""

from __future__ import annotations

import pytest

from tests.soak.fuzz_audio import hear

pytestmark = pytest.mark.once

GROWTH_MIB = 64
"""Of the child: a second of 64 channels in double precision is 8 MiB at 16 kHz, and libsndfile's buffers come to it."""


def test_broken_sound_is_refused_or_heard_and_nothing_else() -> None:
    results = hear(150, seed=7)
    assert results["failures"] == []
    heard = sum(times for outcome, times in results["outcomes"].items() if outcome.endswith("heard"))
    refused = sum(times for outcome, times in results["outcomes"].items() if outcome.endswith("refused"))
    assert min(heard, refused) > 20  # both ways are gone
    assert results["growth_mib"] < GROWTH_MIB
