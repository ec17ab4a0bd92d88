"""The contract of `Backend`, run over every kind: one checker, many implementations."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from asd_edge.bundle.fitted import StoredArray, cut, joined, shapes_of
from asd_edge.errors import ConfigError
from asd_edge.scoring.backends.backend import Backend, Clips, Embeddings, Fitted
from asd_edge.scoring.backends.class_log_odds import ClassLogOdds
from asd_edge.scoring.backends.density_map import DensityMap
from asd_edge.scoring.backends.ensemble import Ensemble
from asd_edge.scoring.backends.gmm import GMM
from asd_edge.scoring.backends.k_means import KMeans
from asd_edge.scoring.backends.kinds import BACKENDS, AnyBackend
from asd_edge.scoring.backends.knn import KNN
from asd_edge.scoring.backends.local_density import LocalDensity
from asd_edge.scoring.backends.mahalanobis import Mahalanobis
from asd_edge.scoring.backends.minimum import LEAST_Z, Minimum
from asd_edge.scoring.backends.mixture_likelihood import MixtureLikelihood
from asd_edge.scoring.backends.nearest_centre import NearestCentre
from asd_edge.scoring.backends.part import Part
from asd_edge.scoring.backends.pseudo_target import PseudoTarget
from asd_edge.scoring.backends.reconstruction import Reconstruction
from asd_edge.scoring.backends.sum import Sum
from asd_edge.scoring.conditions import Condition, ConditionSet
from asd_edge.strict import RefusalError
from tests.contracts.outputs import (
    DENSITIES,
    DIRECTIONS,
    ERROR,
    LOG_ODDS,
    MEAN_RESIDUALS,
    RESIDUALS,
    TWICE,
    VECTOR_AND_DENSITIES,
    WITH_MAXIMUM,
    Output,
)

DIMS = DIRECTIONS.dims
_GMM, _KNN = GMM(components=3), KNN(neighbours=1, distance="cosine")
KINDS: dict[str, Backend] = {  # of vectors that are compared by direction
    **BACKENDS,
    "knn of 3": KNN(neighbours=3, distance="cosine"),
    "density over centres": LocalDensity(neighbours=4, over=NearestCentre()),
    "density over k-means": LocalDensity(neighbours=4, over=KMeans(centres=4)),
    "density over Mahalanobis": LocalDensity(neighbours=2, over=KNN(neighbours=2, distance="mahalanobis")),
}


@dataclass(frozen=True)
class Case:
    """A backend, and the kind of output that it reads. `misfit`: a length of embeddings that it cannot read."""

    backend: Backend
    output: Output
    misfit: int | None


CASES = {name: Case(backend, DIRECTIONS, DIMS + 1) for name, backend in KINDS.items()} | {
    "pseudo-target GMM": Case(PseudoTarget(over=_GMM, ratio=0.7, count=4), DIRECTIONS, DIMS + 1),
    "part": Case(Part(start=2, stop=11, over=Mahalanobis()), DIRECTIONS, 10),
    "part that learns nothing": Case(
        Part(start=12, stop=17, over=DensityMap()), replace(VECTOR_AND_DENSITIES, decisive=13), 16
    ),
    "part of several": Case(Part(start=0, stop=12, over=Minimum(parts=(_KNN, Mahalanobis()))), DIRECTIONS, 11),
    "sum": Case(Sum(parts=(NearestCentre(), Mahalanobis()), weights=(2.0, 0.5)), DIRECTIONS, DIMS + 1),
    "sum of parts": Case(
        Sum(parts=(Part(start=0, stop=12, over=_GMM), Part(start=12, stop=17, over=DensityMap()))),
        VECTOR_AND_DENSITIES,
        16,
    ),
    "ensemble": Case(Ensemble(members=(_KNN, KMeans(centres=4))), TWICE, 25),
    "ensemble of sums": Case(
        Ensemble(members=(Sum(parts=(_KNN, Part(start=0, stop=9, over=Mahalanobis()))), _GMM)), TWICE, 16
    ),
    "mean square error": Case(Reconstruction(reading="mse"), ERROR, 2),
    "residuals": Case(Reconstruction(reading="mahalanobis"), RESIDUALS, 15),
    "mean residuals": Case(Reconstruction(reading="mahalanobis_of_mean"), MEAN_RESIDUALS, 15),
    "log-odds": Case(ClassLogOdds(), LOG_ODDS, 5),
    "mixtures": Case(MixtureLikelihood(components=2, embedding=12, temporal_maximum=False), DIRECTIONS, 11),
    "mixtures and maximum": Case(
        MixtureLikelihood(components=2, embedding=12, temporal_maximum=True), WITH_MAXIMUM, 16
    ),
    "density map": Case(DensityMap(), DENSITIES, None),
}
# A matrix product over few rows may add in another order than one over many: float32 cosines differ by 1e-7, and a
# distance is rescaled by spacings and deviations down to a few hundredths, or whitened by 1e3 at the most.
TOGETHER = {"rtol": 2e-4, "atol": 2e-4}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="module")
def backend(case: Case) -> Backend:
    return case.backend


@pytest.fixture(scope="module")
def output(case: Case) -> Output:
    return case.output


@pytest.fixture(scope="module")
def source(backend: Backend, output: Output) -> Fitted:
    return backend.fit(output.source)


@pytest.fixture(scope="module")
def conditions(backend: Backend, output: Output, source: Fitted) -> list[Fitted]:
    """The source, a condition of few clips, one of the same that has no source, of a single segment, of one sound."""
    few = backend.fit(output.target, source=source)
    return [
        source,
        few,
        backend.fit(output.target),
        backend.fit(output.single, source=source),
        backend.fit(output.single),
        backend.fit(output.always),
    ]


def alone(backend: Backend, fitted: Fitted, embeddings: Embeddings) -> NDArray[np.float32]:
    found = backend.scorer([fitted])(embeddings)
    assert found.shape == (len(embeddings), 1)
    return found[:, 0]


FINITE = st.floats(-1e6, 1e6, width=32)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), count=st.integers(0, 5))
def test_distances_are_finite_and_not_negative_for_every_embedding(
    backend: Backend, output: Output, conditions: list[Fitted], data: st.DataObject, count: int
) -> None:
    embeddings = data.draw(arrays(np.float32, (count, output.dims), elements=FINITE))
    found = backend.scorer(conditions)(embeddings)
    assert found.dtype == np.float32
    assert found.shape == (len(embeddings), len(conditions))
    assert np.isfinite(found).all()
    assert (found >= 0.0).all()


def test_zeros_and_the_references_themselves_have_a_distance(
    backend: Backend, output: Output, conditions: list[Fitted]
) -> None:
    heard = _all(output.source)
    found = backend.scorer(conditions)(np.concatenate([np.zeros((1, output.dims), np.float32), heard, 1e-30 * heard]))
    assert np.isfinite(found).all()
    assert (found >= 0.0).all()


def test_no_number_in_gives_no_number_out_and_touches_no_other(
    backend: Backend, output: Output, conditions: list[Fitted]
) -> None:
    embeddings = output.rows(3)
    expected = backend.scorer(conditions)(embeddings)
    embeddings[1, output.decisive] = np.nan
    found = backend.scorer(conditions)(embeddings)
    assert np.isnan(found[1]).all()
    np.testing.assert_allclose(found[[0, 2]], expected[[0, 2]], **TOGETHER)


def test_what_was_heard_is_nearer_than_what_has_nothing_to_do_with_it(
    backend: Backend, output: Output, source: Fitted, conditions: list[Fitted]
) -> None:
    unrelated = output.rows(200, seed=9)
    for fitted, known in ((source, output.source), (conditions[1], output.target), (conditions[2], output.target)):
        assert alone(backend, fitted, _all(known)).max() < np.quantile(alone(backend, fitted, unrelated), 0.05)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.output in (DIRECTIONS, TWICE)])
def test_of_vectors_only_the_direction_counts(name: str) -> None:
    case = CASES[name]
    score, embeddings = case.backend.scorer([case.backend.fit(case.output.source)]), case.output.rows(8)
    np.testing.assert_allclose(score(64.0 * embeddings), score(embeddings), **TOGETHER)


def test_a_backend_says_whether_what_it_learns_changes_a_distance(
    backend: Backend, output: Output, source: Fitted
) -> None:
    other = backend.fit({"other": [output.rows(7)]})
    found = backend.scorer([source, other])(_all(output.target))
    assert backend.imprints == bool((found[:, 0] != found[:, 1]).any())


def test_conditions_together_score_as_each_alone_in_any_order(
    backend: Backend, output: Output, conditions: list[Fitted]
) -> None:
    embeddings = output.rows(9)
    each = np.stack([alone(backend, fitted, embeddings) for fitted in conditions], axis=1)
    for order in list(permutations(range(len(conditions))))[::17]:
        found = backend.scorer([conditions[i] for i in order])(embeddings)
        np.testing.assert_allclose(found, each[:, order], **TOGETHER)
    named = tuple(Condition(f"c{i}", fitted, 0.1) for i, fitted in enumerate(conditions))
    np.testing.assert_array_equal(
        ConditionSet(backend, named, 0.0).distances(embeddings), backend.scorer(conditions)(embeddings)
    )


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(9)), cut_at=st.integers(0, 9))
def test_a_batch_scores_as_its_rows_in_any_order(
    backend: Backend, output: Output, conditions: list[Fitted], order: list[int], cut_at: int
) -> None:
    score, embeddings = backend.scorer(conditions), output.rows(9)
    pieces = [score(embeddings[order][:cut_at]), score(embeddings[order][cut_at:])]
    np.testing.assert_allclose(np.concatenate(pieces), score(embeddings)[order], **TOGETHER)


def test_scoring_changes_nothing(backend: Backend, output: Output, conditions: list[Fitted]) -> None:
    before = joined(conditions).copy()
    score, embeddings = backend.scorer(conditions), output.rows(6)
    given_rows = embeddings.copy()
    first = score(embeddings)
    score(output.rows(50, seed=7))
    np.testing.assert_array_equal(score(embeddings), first)
    np.testing.assert_array_equal(embeddings, given_rows)
    np.testing.assert_array_equal(joined(conditions), before)


def test_learning_changes_neither_clips_nor_source_and_gives_the_same_again(
    backend: Backend, output: Output, source: Fitted
) -> None:
    before, known = _all(output.target).copy(), joined([source]).copy()
    first, second = backend.fit(output.target, source=source), backend.fit(output.target, source=source)
    np.testing.assert_array_equal(joined([first]), joined([second]))
    np.testing.assert_array_equal(joined([backend.fit(output.source)]), known)
    np.testing.assert_array_equal(_all(output.target), before)
    np.testing.assert_array_equal(joined([source]), known)


def test_what_is_stored_in_a_bundle_or_a_site_state_scores_identically(
    backend: Backend, output: Output, conditions: list[Fitted]
) -> None:
    embeddings = output.rows(6)
    numbers = joined(conditions)
    starts = np.cumsum([0, *(joined([fitted]).size for fitted in conditions)])
    in_bundle = [
        cut(numbers[a:b], shapes_of(fitted)) for a, b, fitted in zip(starts, starts[1:], conditions, strict=False)
    ]
    on_site = [{name: StoredArray.of(array).array() for name, array in fitted.items()} for fitted in conditions]
    for restored in (in_bundle, on_site):
        for fitted in restored:
            backend.check(fitted, output.dims)
        np.testing.assert_array_equal(backend.scorer(restored)(embeddings), backend.scorer(conditions)(embeddings))


def test_arrays_are_single_precision_and_their_names_can_be_stored(conditions: list[Fitted]) -> None:
    for fitted in conditions:
        assert {array.dtype for array in fitted.values()} <= {np.dtype(np.float32)}  # some store nothing
        assert all(StoredArray.of(array).shape == array.shape for array in fitted.values())


def test_arrays_that_cannot_have_been_learned_are_refused(case: Case, source: Fitted) -> None:
    backend, dims = case.backend, case.output.dims
    for name, array in source.items():
        lost = {other: values for other, values in source.items() if other != name}
        empty, unlike, no_number = array[:0], array[None], np.full_like(array, np.nan)
        for broken in (lost, *(source | {name: other} for other in (empty, unlike, no_number))):
            with pytest.raises(RefusalError):
                backend.check(broken, dims)
    for name in ("more", "7.references", "section.more"):
        with pytest.raises(RefusalError):
            backend.check({**source, name: np.ones(1, np.float32)}, dims)
    if case.misfit is not None:
        with pytest.raises(RefusalError):
            backend.check(source, case.misfit)


@pytest.mark.parametrize(
    ("kind", "name", "change"),
    [
        ("nearest_centre", "references", lambda array: 0.0 * array),
        ("knn_mahalanobis", "whitening", lambda array: array.T),
        ("mahalanobis", "whitening", lambda array: -array),
        ("gmm", "means", lambda array: array[:1]),
        ("gmm", "log_weights", lambda array: array + 0.1),
        ("gmm", "whitenings", lambda array: 0.0 * array),
        ("local_density", "spacing", lambda array: array[1:]),
        ("local_density", "spacing", lambda array: 0.0 * array),
        ("minimum", "deviation", lambda array: array[1:]),
        ("minimum", "deviation", lambda array: 0.0 * array),
        ("minimum", "mean", lambda array: -array),
        ("minimum", "1.references", lambda array: 0.0 * array),
        ("ensemble", "1.references", lambda array: 0.0 * array),
        ("sum", "1.whitening", lambda array: array.T),
        ("residuals", "whitening", lambda array: -array),
        ("log-odds", "chosen", lambda array: 0.0 * array),
        ("log-odds", "chosen", lambda array: 1.0 - array),
        ("mixtures", "section.log_weights", lambda array: array + np.float32(np.log(2.0))),
        ("mixtures", "attribute.log_weights", lambda array: array - 0.1),
        ("mixtures", "floor", lambda array: array - 1.0),
        ("mixtures and maximum", "maximum.log_weights", lambda array: array - 0.1),
        ("mixtures and maximum", "maximum.whitenings", lambda array: array[:1]),
    ],
)
def test_numbers_that_cannot_have_been_learned_are_refused(
    kind: str, name: str, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> None:
    case = CASES[kind]
    learned = case.backend.fit(case.output.source)
    case.backend.check(learned, case.output.dims)
    with pytest.raises(RefusalError):
        case.backend.check({**learned, name: change(learned[name])}, case.output.dims)


def test_conditions_of_different_spread_compete_by_z() -> None:
    """z = (d − m) / s by the formula, of the very distances of the parts."""
    backend = KINDS["minimum"]
    assert isinstance(backend, Minimum)
    calm, wild = DIRECTIONS.clips("calm", 12, seed=1, spread=0.1), DIRECTIONS.clips("wild", 12, seed=2, spread=0.6)
    known = [backend.fit(calm), backend.fit(wild)]
    one, other = (np.concatenate(next(iter(members.values()))) for members in (calm, wild))
    heard = np.concatenate([one + share * (other - one) for share in (0.0, 0.05, 0.1, 0.2, 1.0)])
    z = np.full((len(heard), 2), np.inf)
    for i, part in enumerate(backend.parts):
        arrays_of = [{name[2:]: a for name, a in c.items() if name.startswith(f"{i}.")} for c in known]
        mean, deviation = (np.array([c[name][i] for c in known]) for name in ("mean", "deviation"))
        z = np.minimum(z, (part.scorer(arrays_of)(heard) - mean) / deviation)
    found = backend.scorer(known)(heard)
    np.testing.assert_allclose(found, np.maximum(z, LEAST_Z) - LEAST_Z, **TOGETHER)
    decided = np.abs(z[:, 0] - z[:, 1]) > 1e-3
    np.testing.assert_array_equal(found.argmin(axis=1)[decided], z.argmin(axis=1)[decided])
    assert 0.05 < z.argmin(axis=1).mean() < 0.95  # either wins some


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if math.isfinite(case.backend.unrelated)])
def test_vectors_at_right_angles_are_as_far_as_the_backend_says_of_unrelated_sound(name: str) -> None:
    backend, dims = CASES[name].backend, CASES[name].output.dims
    one, other = np.ones((1, dims), np.float32), np.tile([1.0, -1.0], dims // 2)[None].astype(np.float32)
    learned = backend.fit({"one": [one]})
    assert alone(backend, learned, other) == pytest.approx(backend.unrelated, rel=1e-6)


@pytest.mark.parametrize("name", ["part", "ensemble", "mean square error", "residuals", "mixtures"])
def test_a_network_whose_output_the_backend_cannot_read_is_an_error_that_says_so(name: str) -> None:
    case = CASES[name]
    assert case.misfit is not None
    with pytest.raises(ConfigError, match=rf"embeddings of {case.misfit} numbers"):
        case.backend.fit({"label": [np.ones((2, case.misfit), np.float32)]})


@pytest.mark.parametrize(
    "written",
    [
        {"kind": "part", "start": 3, "stop": 3, "over": {"kind": "mahalanobis"}},
        {"kind": "sum", "parts": [{"kind": "mahalanobis"}] * 2, "weights": [1.0]},
        {"kind": "sum", "parts": [{"kind": "mahalanobis"}] * 2, "weights": [1.0, -1.0]},
        {"kind": "ensemble", "members": [{"kind": "mahalanobis"}]},
        {"kind": "reconstruction", "reading": "median"},
    ],
)
def test_parameters_that_make_no_sense_are_refused(written: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(AnyBackend).validate_python(written)


def test_a_backend_is_read_back_from_a_manifest_and_from_a_recipe(backend: Backend) -> None:
    adapter: TypeAdapter[Backend] = TypeAdapter(AnyBackend)
    assert adapter.validate_json(backend.model_dump_json()) == backend
    assert adapter.validate_python(backend.model_dump(mode="json")) == backend  # lists, as TOML has them


def _all(known: Clips) -> NDArray[np.float32]:
    return np.concatenate([clip for members in known.values() for clip in members])
