"""Fixtures every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings, which is not part of the project; the test is skipped without it."""
    path = Path(os.environ.get("ASD_EDGE_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (path / "README.md").is_file():
        pytest.skip(f"no real recordings at {path}; set ASD_EDGE_REAL_DATA to their folder")
    return path


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the features that training computes out of the user's cache, also those of commands that tests start."""
    os.environ["ASD_EDGE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
