"""Distances of different kinds on one scale: that of normal sound."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from asd_edge.scoring.backends.knn import KNN
from asd_edge.scoring.backends.part import Part
from asd_edge.scoring.backends.spectral_shift import SpectralShift
from asd_edge.scoring.backends.sum import Sum
from asd_edge.strict import RefusalError
from tests.contracts.outputs import VECTOR_AND_SPECTRUM

PARTS = (
    Part(start=0, stop=12, over=KNN(neighbours=1, distance="cosine")),
    Part(start=12, stop=24, over=SpectralShift()),
)
SCALED, PLAIN = Sum(parts=PARTS, weights=(0.5, 1.0), scaled=True), Sum(parts=PARTS, weights=(0.5, 1.0))


def left_out(part: Part) -> float:
    """The mean distance of each fifth of the clips from what the rest of them taught."""
    listed = [(label, clip) for label, clips in VECTOR_AND_SPECTRUM.source.items() for clip in clips]
    distances: list[NDArray[np.float32]] = []
    for fold in range(5):
        rest: dict[str, list[NDArray[np.float32]]] = {}
        for i, (label, clip) in enumerate(listed):
            if i % 5 != fold:
                rest.setdefault(label, []).append(clip)
        score = part.scorer([part.fit(rest)])
        distances += [score(clip) for _, clip in listed[fold::5]]
    return float(np.concatenate(distances).mean())


def test_each_distance_is_in_units_of_normal_clips_left_out() -> None:
    x = VECTOR_AND_SPECTRUM.rows(6)
    each = [part.scorer([part.fit(VECTOR_AND_SPECTRUM.source)])(x) / left_out(part) for part in PARTS]
    found = SCALED.scorer([SCALED.fit(VECTOR_AND_SPECTRUM.source)])(x)
    np.testing.assert_allclose(found, 0.5 * each[0] + each[1], rtol=1e-5)


def test_a_later_condition_has_the_sources_scale_and_a_single_clip_none() -> None:
    source = SCALED.fit(VECTOR_AND_SPECTRUM.source)
    later = SCALED.fit(VECTOR_AND_SPECTRUM.target, source=source)
    np.testing.assert_array_equal(later["scale"], source["scale"])
    np.testing.assert_array_equal(SCALED.fit(VECTOR_AND_SPECTRUM.single)["scale"], [1.0, 1.0])


def test_a_sum_that_was_written_before_there_was_a_scale_is_read_and_scores_as_it_did() -> None:
    written = PLAIN.model_dump(mode="json")
    del written["scaled"]
    old, x = Sum.model_validate(written), VECTOR_AND_SPECTRUM.rows(4)
    fitted = old.fit(VECTOR_AND_SPECTRUM.source)
    old.check(fitted, VECTOR_AND_SPECTRUM.dims)
    assert "scale" not in fitted
    each = [part.scorer([part.fit(VECTOR_AND_SPECTRUM.source)])(x) for part in PARTS]
    np.testing.assert_allclose(old.scorer([fitted])(x), 0.5 * each[0] + each[1], rtol=1e-6)


@pytest.mark.parametrize("scale", [None, [1.0], [1.0, 0.0], [1.0, np.nan]])
def test_a_scale_that_fit_never_returns_is_refused(scale: list[float] | None) -> None:
    fitted = dict(SCALED.fit(VECTOR_AND_SPECTRUM.source))
    del fitted["scale"]
    wrong = {} if scale is None else {"scale": np.array(scale, np.float32)}
    with pytest.raises(RefusalError):
        SCALED.check(fitted | wrong, VECTOR_AND_SPECTRUM.dims)
