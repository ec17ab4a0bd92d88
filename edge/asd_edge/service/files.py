"""What the service's files say: the shipped texts, with this installation's paths and credentials filled in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from asd_edge.config import DeviceConfig
from asd_edge.errors import ServiceError

UNIT = Path("/etc/systemd/system/asd-edge.service")
GPU = Path("/etc/systemd/system/asd-edge.service.d/gpu.conf")
SYSUSERS = Path("/etc/sysusers.d/asd-edge.conf")
TMPFILES = Path("/etc/tmpfiles.d/asd-edge.conf")
STATE = Path("/var/lib/asd-edge")
"""The unit's StateDirectory=."""

SHIPPED = {
    UNIT: "asd-edge.service",
    GPU: "asd-edge.service.d/gpu.conf",
    SYSUSERS: "sysusers.d/asd-edge.conf",
    TMPFILES: "tmpfiles.d/asd-edge.conf",
}
"""The service's files, and what they are called beside this one."""
_PROGRAM, _CONFIG = "/opt/asd-edge/bin/asd-edge", "/etc/asd-edge/device.toml"  # as the shipped unit has them
_SEAL = "# Written by asd-edge service install, SHA-256 of the lines above: "


def shipped(path: Path) -> str:
    """Return the text that comes with this package for a file of the service."""
    return (Path(__file__).parent / "systemd" / SHIPPED[path]).read_text("utf-8")


def unit_text(program: Path, config: Path, credentials: Mapping[str, Path]) -> str:
    """Return the unit for an installation.

    Args:
        program: the asd-edge that the service runs.
        config: the device file.
        credentials: files that root alone may read, each by the name of the service's copy.
    """
    lines: list[str] = []
    for line in shipped(UNIT).splitlines():
        if line.startswith("LoadCredential="):
            lines += [f"LoadCredential={name}:{_escaped(path)}" for name, path in credentials.items()]
        elif not line.startswith("# LoadCredential="):
            lines.append(line)
    text = "\n".join(lines) + "\n"
    return text.replace(_PROGRAM, _escaped(program)).replace(_CONFIG, _escaped(config))


def credentials(config: DeviceConfig) -> dict[str, Path]:
    """Return the secrets that a device file names, each under the name of the service's copy.

    Raises:
        ServiceError: two of them have the same file name, by which the daemon finds its copies.
    """
    named = [config.remote.keys_file] if config.remote.enabled else []
    for broker in config.destinations:
        named += [broker.password_file, broker.tls.key_file if broker.tls is not None else None]
    found: dict[str, Path] = {}
    for path in (path for path in named if path is not None):
        if found.setdefault(path.name, path) != path:
            raise ServiceError(
                "The service cannot be given its credentials",
                found=f"{found[path.name]} and {path}, two files of one name",
                expected="names that differ: the service finds its copies by them",
                remedy="Rename one of the files, and correct the device file.",
            )
    return found


def sealed(text: str) -> str:
    """Return a text with a last line by which `is_edited` knows it again."""
    return f"{text}{_SEAL}{_digest(text)}\n"


def is_edited(text: str) -> bool:
    """Say whether a file is not as `sealed` left it: somebody's own, or changed by hand."""
    above, found, digest = text.rpartition(_SEAL)
    return not found or digest.strip() != _digest(above)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _escaped(path: Path) -> str:
    """Return a path as a unit has it: % begins a specifier (systemd.unit(5))."""
    text = str(path)
    if any(c.isspace() or c in "\"'\\:;$" for c in text):
        raise ServiceError(
            "The unit cannot name a file",
            found=f"{text!r}, with a space, a quote, a colon or another sign that systemd reads as its own",
            expected="a path of letters, digits and / . _ - @ %",
            remedy="Move or rename it.",
        )
    return text.replace("%", "%%")
