"""A Debian that boots in a container, and commands in it."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

BOOT_S = 60.0
NSPAWN = (
    *("setpriv", "--pdeathsig=KILL"),  # it ends with this process, however that ends
    *("systemd-nspawn", "--quiet", "--boot", "--console=pipe"),
    "--volatile=overlay",  # what it changes is in memory
    *("--register=no", "--keep-unit"),  # neither a machine manager nor a unit of this system is needed
    "--private-network",  # its ports are not this machine's
    "--system-call-filter=bpf",  # its systemd enforces DevicePolicy= by BPF programs, where the cgroup tree is cgroup2
)


class Machine:
    """A system on a root folder, which it leaves as it is: what it changes is forgotten when it stops.

    Args:
        root: its files.
        log: what its console says.
    """

    def __init__(self, root: Path, log: Path) -> None:
        self._log = log
        with log.open("wb") as console:
            self._nspawn = subprocess.Popen(
                [*NSPAWN, f"--directory={root}"],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                env=os.environ | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},  # cgroup2, see above
            )
        self._init = self._await_init()

    def _await_init(self) -> int:
        """Return the process that is the container's first, once its systemd has started everything."""
        deadline = time.monotonic() + BOOT_S
        while time.monotonic() < deadline and self._nspawn.poll() is None:
            children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
            for child in map(int, children):
                self._init = child
                if self.run("systemctl", "is-system-running", check=False).strip() in ("running", "degraded"):
                    return child
            time.sleep(0.2)
        raise RuntimeError(f"it does not boot: {self._log.read_text(errors='replace')[-2000:]}")

    def run(self, *words: str, check: bool = True, text: str | None = None) -> str:
        """Run a command as root in it; return its outputs.

        Raises:
            AssertionError: it failed, and `check` says that it must not.
        """
        enter = ["nsenter", f"--target={self._init}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        done = subprocess.run(
            [*enter, "--root", "--wd=/", *words],
            input=text if text is not None else "",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            env={"PATH": os.defpath + ":/usr/sbin:/sbin", "LANG": "C.UTF-8"},
        )
        assert not check or done.returncode == 0, f"{' '.join(words)}: {done.stdout}"
        return done.stdout

    def write(self, path: str, text: str, mode: str = "644") -> None:
        """Write a file in it."""
        self.run("install", "-D", "-m", mode, "/dev/stdin", path, text=text)

    def shown(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def journal(self, unit: str) -> str:
        """Return what a unit has logged."""
        return self.run("journalctl", "--quiet", "--output=cat", "--unit", unit)

    def stop(self) -> None:
        """Switch it off, gently for a while."""
        if self._nspawn.poll() is None:
            self.run("systemctl", "poweroff", "--no-block", check=False)
            try:
                self._nspawn.wait(20)
            except subprocess.TimeoutExpired:
                self._nspawn.kill()
                self._nspawn.wait(10)
