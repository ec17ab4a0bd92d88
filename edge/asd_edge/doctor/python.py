"""The Python that runs this, and the packages it needs."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib import metadata

from asd_edge.doctor.device import Device
from asd_edge.doctor.finding import Finding, fault, ok, warning

_OLDEST, _NEWEST = (3, 10), (3, 13)
_TESTED_ON = ("x86_64", "aarch64")


def check_python(device: Device) -> Iterator[Finding]:
    """Yield whether asd-edge supports this Python and this processor."""
    yield judge_python(sys.version_info[:3], platform.machine(), bits=64 if sys.maxsize > 2**32 else 32)


def judge_python(version: tuple[int, ...], machine: str, *, bits: int) -> Finding:
    """Say whether this version, on this architecture, is one that asd-edge supports."""
    found = f"Python {'.'.join(map(str, version))}, {machine}, {bits} bits, {'a venv' if in_venv() else 'no venv'}"
    between = f"Python {_OLDEST[0]}.{_OLDEST[1]} to {_NEWEST[0]}.{_NEWEST[1]}"
    if version[:2] < _OLDEST or bits != 64:
        return fault(found, f"Use a 64-bit {between}.")
    if version[:2] > _NEWEST:
        return warning(found, f"asd-edge is tested with {between}.")
    if machine not in _TESTED_ON:
        return warning(found, f"asd-edge is tested on {' and '.join(_TESTED_ON)}.")
    return ok(found)


def in_venv() -> bool:
    """Whether this Python is a virtual environment's."""
    return sys.prefix != sys.base_prefix


def check_packages(device: Device) -> Iterator[Finding]:
    """Yield whether what asd-edge's distribution requires is installed, in a version that it accepts."""
    try:
        required = metadata.requires("asd-edge") or []
    except metadata.PackageNotFoundError:
        yield warning("asd-edge is not installed as a package: what it requires is unknown", "pip install asd-edge")
        return
    remote = device.config is not None and device.config.remote.enabled
    yield from judge_packages(required, {"", "remote"} if remote else {""})


def judge_packages(required: list[str], extras: set[str]) -> Iterator[Finding]:
    """Say which of these requirements (PEP 508) are met, of those without an extra and those of `extras`."""
    try:
        from packaging.requirements import InvalidRequirement, Requirement
    except ImportError:
        yield from _only_present(required)
        return
    met: list[str] = []
    for text in required:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            yield fault(f"a requirement that cannot be read: {text!r} ({error})", "Install asd-edge again.")
            continue
        marker = requirement.marker
        if marker is not None and not any(marker.evaluate({"extra": extra}) for extra in extras):
            continue
        version = installed(requirement.name)
        if version is None:
            yield fault(f"{requirement.name} is not installed", f"pip install '{_plain(text)}'")
        elif not requirement.specifier.contains(version, prereleases=True):
            yield fault(f"{requirement.name} {version}, not {requirement.specifier}", f"pip install '{_plain(text)}'")
        else:
            met.append(f"{requirement.name} {version}")
    yield ok(", ".join(met))


def installed(package: str) -> str | None:
    """Return the version of a distribution; None when it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _only_present(required: list[str]) -> Iterator[Finding]:
    """Without the package `packaging`, which pip and many wheels bring, names alone can be read."""
    names = [text.split(";")[0].rstrip() for text in required if ";" not in text]
    bare = ["".join(c if c.isalnum() or c in "-_." else " " for c in name).split()[0] for name in names]
    found = {name: installed(name) for name in bare}
    for name in (name for name, version in found.items() if version is None):
        yield fault(f"{name} is not installed", f"pip install {name}")
    present = ", ".join(f"{name} {version}" for name, version in found.items() if version is not None)
    yield ok(present, unseen="whether the versions are accepted (needs the package packaging)")


def _plain(requirement: str) -> str:
    return requirement.split(";")[0].strip()
