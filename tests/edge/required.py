"""What a test needs and a machine may not have: without it the test is skipped, or fails where it must not be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec

import pytest


def required_tool(name: str, package: str) -> str:
    """Return the path of a program. With CI=true a missing one is a failure (tests/install_services.sh installs it)."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        missing(f"{name} is not installed (apt-get install {package})", allowed=os.environ.get("CI") != "true")
        raise AssertionError("not reached")
    return found


def required_module(name: str, extra: str) -> None:
    """Go on only with a module of an extra, which a base installation lacks; ASD_EDGE_FULL=1 says there is all."""
    if find_spec(name) is None:
        missing(f"{name} (extra {extra}) is not installed", allowed=os.environ.get("ASD_EDGE_FULL") != "1")


def required_gpu() -> None:
    """Go on only with an NVIDIA GPU and its driver; CI has none, so without one it is always a skip."""
    from asd_edge.engines.cuda import find_gpu
    from asd_edge.errors import EngineError

    try:
        find_gpu()
    except EngineError as error:
        pytest.skip(f"no NVIDIA GPU: {error.found}")


def required_index() -> None:
    """Go on only where the package index that pip is configured with answers; `make setup` needs it as well."""
    ask = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps", "--retries=0"]
    done = subprocess.run([*ask, "--target=unused", "packaging"], capture_output=True, text=True)
    if done.returncode != 0:
        missing(f"no package index: {done.stderr.strip()}", allowed=os.environ.get("CI") != "true")


def missing(what: str, *, allowed: bool) -> None:
    """Skip the test where something may be missing, else fail."""
    if allowed:
        pytest.skip(what)
    pytest.fail(what)
