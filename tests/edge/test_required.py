"""What is missing skips a test visibly, and fails it where nothing may be missing."""

from __future__ import annotations

import pytest

from tests.edge.required import required_index, required_module, required_tool


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_missing_tool_fails_in_ci(ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="apt-get install unheard"):
        required_tool("unheard-of", "unheard")


@pytest.mark.parametrize(("full", "outcome"), [("1", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_missing_module_fails_in_the_full_environment(
    full: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")  # base installations are tested in CI too
    monkeypatch.setenv("ASD_EDGE_FULL", full)
    with pytest.raises(outcome, match="extra demo"):
        required_module("unheard_of", "demo")


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_missing_index_fails_in_ci(ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(outcome, match="no package index"):
        required_index()


def test_what_is_there_is_returned() -> None:
    assert required_tool("sh", "dash").endswith("/sh")
    required_module("numpy", "demo")
