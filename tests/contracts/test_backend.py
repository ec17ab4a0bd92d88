"""The contract of `Backend`, run over every kind: one checker, many implementations."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from pydantic import TypeAdapter

from asd_edge.bundle.fitted import StoredArray, cut, joined, shapes_of
from asd_edge.scoring.backends.backend import Backend, Clips, Embeddings, Fitted
from asd_edge.scoring.backends.kinds import AnyBackend
from asd_edge.scoring.backends.minimum import LEAST_Z, Minimum
from asd_edge.scoring.conditions import Condition, ConditionSet
from tests.contracts.backend_cases import CASES, KINDS, Case
from tests.contracts.outputs import DIRECTIONS, TWICE, Output

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


def test_a_backend_is_read_back_from_a_manifest_and_from_a_recipe(backend: Backend) -> None:
    adapter: TypeAdapter[Backend] = TypeAdapter(AnyBackend)
    assert adapter.validate_json(backend.model_dump_json()) == backend
    assert adapter.validate_python(backend.model_dump(mode="json")) == backend  # lists, as TOML has them


def _all(known: Clips) -> NDArray[np.float32]:
    return np.concatenate([clip for members in known.values() for clip in members])
