"""What backends refuse: arrays they cannot have learned, outputs they cannot read, parameters without sense."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from asd_edge.errors import ConfigError
from asd_edge.scoring.backends.kinds import AnyBackend
from asd_edge.strict import RefusalError
from tests.contracts.backend_cases import CASES


@pytest.mark.parametrize("name", CASES)
def test_arrays_that_cannot_have_been_learned_are_refused(name: str) -> None:
    case = CASES[name]
    backend, dims, source = case.backend, case.output.dims, case.backend.fit(case.output.source)
    for key, array in source.items():
        lost = {other: values for other, values in source.items() if other != key}
        empty, unlike, no_number = array[:0], array[None], np.full_like(array, np.nan)
        for broken in (lost, *({**source, key: other} for other in (empty, unlike, no_number))):
            with pytest.raises(RefusalError):
                backend.check(broken, dims)
    for unknown in ("more", "7.references", "section.more"):
        with pytest.raises(RefusalError):
            backend.check({**source, unknown: np.ones(1, np.float32)}, dims)
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
