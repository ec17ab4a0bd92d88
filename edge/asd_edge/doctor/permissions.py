"""Files that only some may read or write."""

from __future__ import annotations

import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from asd_edge.doctor.device import Device
from asd_edge.doctor.disk import state_dir
from asd_edge.doctor.finding import Finding, fault, ok, warning

_GROUP_OR_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def check_permissions(device: Device) -> Iterator[Finding]:
    """Yield owner and mode of the state folder, of the device file and of the files that it names."""
    if device.config is None or device.config_file is None:
        return
    yield from _judge("state_dir", state_dir(device), secret=False)
    yield from _judge("config", device.config_file, secret=False)
    secret = {}
    for table in device.config.destinations:
        secret[f"{table.name}.password_file"] = table.password_file
        secret[f"{table.name}.tls.key_file"] = None if table.tls is None else table.tls.key_file
    trusted = device.config.bundle.trusted_keys_file
    public = {"remote.keys_file": device.config.remote.keys_file, "bundle.trusted_keys_file": trusted}
    for name, path in (secret | public).items():
        if path is not None:
            yield from _judge(name, path, secret=name in secret)


def _judge(name: str, path: Path, *, secret: bool) -> Iterator[Finding]:
    try:
        status = path.stat()
    except FileNotFoundError:
        if name != "state_dir":  # which may be made later; check `disk_write` tells
            yield fault(f"no file {path}", f"Make it, or correct {name} in the device file.", subject=name)
        return
    except OSError as error:
        yield ok(f"{path}", subject=name, unseen=f"its mode ({error.strerror}; use sudo)")
        return
    yield judge_mode(path, status.st_mode, _user(status.st_uid), name=name, secret=secret)


def judge_mode(path: Path, mode: int, owner: str, *, name: str, secret: bool) -> Finding:
    """Say whether the wrong people may read or write a file.

    Args:
        path: the file or folder.
        mode: its mode.
        owner: its owner's name.
        name: what it is in the device file.
        secret: nobody but the owner may read it.
    """
    found = f"{path} {stat.filemode(mode)}, {owner}"
    if mode & stat.S_IWOTH:
        return fault(f"{found}: everybody may write it", f"chmod o-w {path}", subject=name)
    if secret and mode & stat.S_IROTH:
        return fault(f"{found}: everybody may read it", f"chmod 600 {path}", subject=name)
    if mode & _GROUP_OR_OTHERS_WRITE:
        return warning(f"{found}: its group may write it", f"chmod g-w {path}", subject=name)
    if secret and mode & stat.S_IRGRP:
        return warning(f"{found}: its group may read it", f"chmod 600 {path}", subject=name)
    return ok(found, subject=name)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
