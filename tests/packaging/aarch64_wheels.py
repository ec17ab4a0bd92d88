"""What pip would install on a Jetson, resolved on any machine: wheels only, metadata only, nothing is downloaded.

As constraints for an installation with the same versions: python -m tests.packaging.aarch64_wheels JetPack-6
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
EXTRAS = ("tensorrt", "demo")  # what a device may have beside the base; training and export happen elsewhere


@dataclass(frozen=True)
class Board:
    """A JetPack's system Python and its C library, which says what manylinux wheels run: glibc 2.`glibc`."""

    name: str
    python: str
    glibc: int

    @property
    def environment(self) -> dict[str, str]:
        """Values of the markers of PEP 508, for those that dependencies ask for."""
        return {
            "python_version": self.python,
            "python_full_version": f"{self.python}.0",
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
            "os_name": "posix",
            "sys_platform": "linux",
            "platform_system": "Linux",
            "platform_machine": "aarch64",
            "extra": "",
        }


BOARDS = (Board("JetPack-6", "3.10", 35), Board("JetPack-7", "3.12", 39))  # Ubuntu 22.04 and 24.04


class NoWheelError(Exception):
    """pip's words on the package that cannot be had."""


def required() -> list[str]:
    """Return the requirements of the base distribution and of a device's extras, with their markers."""
    project = tomllib.loads(PROJECT.read_text())["project"]
    extras = project["optional-dependencies"]
    return [*project["dependencies"], *(line for extra in EXTRAS for line in extras[extra])]


def resolve(board: Board, requirements: Iterable[str]) -> dict[str, str]:
    """Return the version of every package that the requirements bring to a board; `NoWheelError` names the one without.

    pip takes wheels for another platform, but reads markers (python_version < "3.11") as those of the Python it runs
    on: what the board would need beyond that is asked for until nothing is missing.
    """
    wanted = _applying(board, requirements)
    while True:
        packages = _ask_pip(board, wanted)
        found = {canonicalize_name(package["name"]): package["version"] for package in packages}
        needed = _applying(board, (line for package in packages for line in package.get("requires_dist", [])))
        missing = {line for line in needed if canonicalize_name(Requirement(line).name) not in found}
        if not missing:
            return found
        wanted |= missing


def _applying(board: Board, requirements: Iterable[str]) -> set[str]:
    kept = set()
    for requirement in map(Requirement, requirements):
        if requirement.marker is None or requirement.marker.evaluate(board.environment):
            requirement.marker = None
            kept.add(str(requirement))
    return kept


def _ask_pip(board: Board, requirements: Iterable[str]) -> list[dict[str, Any]]:
    """Return the metadata of all packages of the resolution."""
    platforms = [f"--platform=manylinux_2_{minor}_aarch64" for minor in range(17, board.glibc + 1)]
    # fmt: off
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--report=-", "--retries=1",
        "--target=unused",  # what is installed here is not looked at
        "--only-binary=:all:", f"--python-version={board.python}", *platforms, "--platform=manylinux2014_aarch64",
        *sorted(requirements),
    ]
    # fmt: on
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise NoWheelError(f"{board.name}, Python {board.python} on aarch64:\n" + "\n".join(errors or [done.stderr]))
    return [package["metadata"] for package in json.loads(done.stdout)["install"]]


if __name__ == "__main__":
    for name, version in resolve(next(board for board in BOARDS if board.name == sys.argv[1]), required()).items():
        print(f"{name}=={version}")
