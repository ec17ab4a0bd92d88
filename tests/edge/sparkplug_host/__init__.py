"""An independent Sparkplug host: npm packages, run by node, installed into a cache outside the project."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.edge.required import missing, required_tool

_HERE = Path(__file__).parent
_FILES = ("package.json", "package-lock.json")


class NpmHost:
    """The host's process."""

    def __init__(self, port: int, group: str) -> None:
        modules = _installed() / "node_modules"
        self._process = subprocess.Popen(
            [required_tool("node", "nodejs"), str(_HERE / "host.js"), str(port), group],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"NODE_PATH": str(modules)},
        )
        assert self._line() == "ready"

    def report(self) -> Any:
        """Return all that it knows: nodes with devices and tags, history, problems."""
        self._say("report")
        return json.loads(self._line())

    def ask_for_rebirth(self) -> None:
        self._say("rebirth")

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def _installed() -> Path:
    """Install the packages once for each lock file; the registry is the one that npm is configured with."""
    npm = required_tool("npm", "npm")
    lock = hashlib.sha256(b"".join((_HERE / name).read_bytes() for name in _FILES)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "asd-edge-tests"
    folder = cache / f"sparkplug-host-{lock}"
    if folder.exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as making:
        for name in _FILES:
            shutil.copy(_HERE / name, making)
        install = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(install, cwd=making, capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            missing(f"npm ci: {done.stderr.strip()[-300:]}", allowed=os.environ.get("CI") != "true")
        try:
            Path(making).rename(folder)
        except OSError:  # another process was faster
            assert folder.exists()
        else:
            Path(making).mkdir()  # for the end of this block
    return folder
