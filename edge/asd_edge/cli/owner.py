"""Whose engines are loaded: never another user's, and least of all by root."""

from __future__ import annotations

import os
import pwd
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from asd_edge.errors import StateError

if TYPE_CHECKING:
    from asd_edge.engines.cache import EngineCache

_PRIVATE = Path("/var/lib/private")  # where systemd keeps the StateDirectory of a DynamicUser, for root's eyes alone
_GPU_GROUPS = "video render"  # as in firmware_configs/systemd/asd-edge.service.d/gpu.conf


def refuse_anothers_engines(cache: EngineCache) -> None:
    """Refuse to go on where an engine is another user's: an engine is code, and he may have written it.

    Raises:
        StateError: with the command that does it as that user.
    """
    others = {entry.owner for entry in cache.entries()} - {0, os.geteuid()}
    if others:
        user = min(others)
        raise StateError(
            f"The engines in {cache.folder} are not loaded by this user",
            found=f"engines of user {user}, whose code they are, and user {os.geteuid()} who asks",
            expected="the user that the daemon runs as",
            remedy=f"Run it as that user: {command_as(user, cache.folder.resolve(), running())}",
        )


def command_as(user: int, folder: Path, words: list[str]) -> str:
    """Return what root runs so that `words` run as the user whose folder it is.

    A DynamicUser has no entry in passwd, and nobody but systemd opens his folder to him.
    """
    if folder.is_relative_to(_PRIVATE):
        name = folder.relative_to(_PRIVATE).parts[0]
        told = ("DynamicUser=yes", f"User={name}", f"StateDirectory={name}", "StateDirectoryMode=0755")
        groups = (f"SupplementaryGroups={_GPU_GROUPS}",) if Path("/etc/nv_tegra_release").exists() else ()
        properties = [word for property in (*told, *groups) for word in ("-p", property)]
        return shlex.join(["systemd-run", "--pipe", "--wait", "--collect", "--same-dir", *properties, *words])
    group, others = user, "--clear-groups"
    with suppress(KeyError):
        group, others = pwd.getpwuid(user).pw_gid, "--init-groups"
    return shlex.join(["setpriv", f"--reuid={user}", f"--regid={group}", others, *words])


def running() -> list[str]:
    """Return the command that this process is."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        return [sys.executable, "-m", "asd_edge.cli", *sys.argv[1:]]
    return [str(program.resolve()), *sys.argv[1:]]
