"""A Jetson compiles nothing: all that its installation needs comes as wheels for its Python and its C library."""

from __future__ import annotations

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.edge.required import required_index
from tests.packaging.aarch64_wheels import BOARDS, Board, NoWheelError, required, resolve


@pytest.fixture(scope="module", autouse=True)
def _index() -> None:
    required_index()


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_base_and_extras_of_a_device_have_wheels(board: Board) -> None:
    found = resolve(board, required())
    for requirement in map(Requirement, required()):
        if requirement.marker is None or requirement.marker.evaluate(board.environment):
            assert requirement.specifier.contains(found[canonicalize_name(requirement.name)])


def test_the_package_without_a_wheel_is_named() -> None:
    # onnxruntime 1.23 was the last for Python 3.10
    with pytest.raises(NoWheelError, match=r"Python 3\.10 on aarch64:\n.*onnxruntime>=1\.24"):
        resolve(BOARDS[0], ["numpy>=2", "onnxruntime>=1.24"])


def test_what_only_the_boards_python_needs_is_resolved_too() -> None:
    # cryptography asks for it before Python 3.11, which is not what pip runs on here
    assert "typing-extensions" in resolve(BOARDS[0], ["cryptography>=42"])
