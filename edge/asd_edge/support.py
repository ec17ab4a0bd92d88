"""What somebody far away needs to help with a device, in one archive: no sound, no embeddings, no secrets.

Only what is named here goes in, so that a file added to the device later does not go in by itself. What could not be
had is in the archive as the reason why.
"""

from __future__ import annotations

import io
import json
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from time import time
from typing import Any

from asd_edge import __version__
from asd_edge.atomic import atomic_write
from asd_edge.config import BrokerTable, DeviceConfig
from asd_edge.control import status
from asd_edge.credentials import credential
from asd_edge.doctor.checks import CHECKS
from asd_edge.doctor.device import Device
from asd_edge.doctor.examine import examine, report_of
from asd_edge.errors import AsdEdgeError, StateError
from asd_edge.strict import utc_time

_STATE_FILES = ("alarms.json", "installed.json", "engine-choice.json")  # of the state folder; none holds what was heard
_LONGEST = 1 << 20  # bytes of a member
_LOG_LINES = 1_000
_MOST_FILES = 5_000
_REMOVED = "<removed>"
_NAMED = re.compile(r"""\b(username|password_file|key_file)\s*=\s*(["'])(.+?)\2""")
_SHORTEST_SECRET = 4  # characters; less would take words out of texts


def write_support_bundle(config_file: Path, out: Path) -> list[str]:
    """Write the archive, which its owner alone may read; return the names of what is in it.

    Raises:
        StateError: it cannot be written.
    """
    members = support_members(Device.of(config_file))
    try:
        with atomic_write(out, mode=0o600) as stream, tarfile.open(fileobj=stream, mode="w:gz") as archive:
            for name, content in members.items():
                entry = tarfile.TarInfo(f"asd-edge-support/{name}")
                entry.size, entry.mtime, entry.mode = len(content), int(time()), 0o600
                archive.addfile(entry, io.BytesIO(content))
    except OSError as error:
        raise StateError(
            f"Cannot write the support bundle {out}",
            found=error.strerror or str(error),
            expected="a folder to write to, with room in it",
            remedy="Name another file with --out.",
        ) from error
    return list(members)


def support_members(device: Device) -> dict[str, bytes]:
    """Return what goes into the archive, by name."""
    config = device.config
    makers: dict[str, Callable[[], bytes]] = {
        "about.json": _about,
        "device.json": lambda: _json(_without_secrets(config) if config is not None else str(device.refusal)),
        "doctor.json": lambda: report_of(examine(device, CHECKS)).model_dump_json(indent=1).encode(),
        "log.txt": _log,
        "memory.txt": lambda: _kernel("meminfo", "loadavg", "uptime"),
    }
    if config is not None:
        state = config.device.state_dir
        makers["status.json"] = lambda: status(state).model_dump_json(indent=1).encode()
        makers["disk.json"] = lambda: _json(_disk(state))
        makers |= {name: partial(_read, state / name) for name in _STATE_FILES}
    secrets = list(_secrets(config)) if config is not None else _guessed(device)
    return {name: _scrubbed(_made(make), secrets) for name, make in makers.items()}


def _made(make: Callable[[], bytes]) -> bytes:
    try:
        return make()[-_LONGEST:]
    except AsdEdgeError as error:
        return f"not available: {error.what}: {error.found}\n".encode()
    except Exception as error:  # one part that fails must not keep the others
        return f"not available: {type(error).__name__}: {error}\n".encode()


def _about() -> bytes:
    return _json(
        {
            "time": utc_time(),
            "asd_edge": __version__,
            "python": sys.version,
            "platform": platform.platform(),
            "packages": dict(_packages()),
        }
    )


def _packages() -> Iterator[tuple[str, str]]:
    for requirement in requires("asd-edge") or ():
        name = requirement.split(";")[0].split("[")[0].strip().rstrip("=<>!~0123456789., ")
        if "extra ==" in requirement:
            continue
        try:
            yield name, version(name)
        except PackageNotFoundError:
            yield name, "not installed"


def _without_secrets(config: DeviceConfig) -> dict[str, Any]:
    """Return the device file's tables. Its text is left out: anything may stand in a comment."""
    tables = config.model_dump(mode="json")
    for name in ("mqtt", "sparkplug"):
        if tables[name]["username"] is not None:
            tables[name]["username"] = _REMOVED
    return tables


def _secrets(config: DeviceConfig) -> Iterator[bytes]:
    """Yield what must not be in the archive, whichever text it has got into: passwords, keys, names of users."""
    brokers: tuple[BrokerTable, ...] = (config.mqtt, config.sparkplug)
    for table in brokers:
        if table.username is not None:
            yield table.username.encode()
        for path in (table.password_file, None if table.tls is None else table.tls.key_file):
            if path is not None:
                yield from _lines(path)


def _lines(path: Path) -> list[bytes]:
    try:
        return [line.strip() for line in credential(path).read_bytes().splitlines()]
    except OSError:  # who may not read it cannot give it away either
        return []


def _guessed(device: Device) -> list[bytes]:
    """Return the same of a device file that cannot be used, as far as its text tells."""
    found = "" if device.refusal is None else device.refusal.found
    secrets = [found.partition(" = ")[2].encode()]  # what it is refused for may be a password in a wrong place
    assert device.config_file is not None  # of a support bundle
    try:
        text = device.config_file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return secrets
    for key, _, value in _NAMED.findall(text):
        secrets += [value.encode()] if key == "username" else _lines(device.config_file.absolute().parent / value)
    return secrets


def _scrubbed(content: bytes, secrets: list[bytes]) -> bytes:
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            content = content.replace(secret, _REMOVED.encode())
    return content


def _log() -> bytes:
    command = ["journalctl", "--unit=asd-edge", f"--lines={_LOG_LINES}", "--no-pager", "--output=short-iso"]
    done = subprocess.run(command, capture_output=True, timeout=20, check=False)
    return done.stdout + done.stderr


def _kernel(*names: str) -> bytes:
    return b"".join(Path("/proc", name).read_bytes() for name in names)


def _disk(state: Path) -> dict[str, Any]:
    """Return the room on the disk, and which files lie in the state folder, without a look into them."""
    usage = shutil.disk_usage(state)
    files: dict[str, int] = {}
    for folder, _, names in os.walk(state):
        for name in names:
            if len(files) < _MOST_FILES:
                path = Path(folder, name)
                files[str(path.relative_to(state))] = path.lstat().st_size
    return {"total": usage.total, "free": usage.free, "state_dir": str(state), "files": files}


def _read(path: Path) -> bytes:
    """Read a file of the state folder. Another user owns that: a link there must not lead root elsewhere."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("no regular file")
        return stream.read(_LONGEST)


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, default=str).encode() + b"\n"
