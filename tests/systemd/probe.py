"""What a process can do in the service's sandbox: printed as JSON, one attempt a key, its error's name or "done".

It runs in the unit's own sandbox in place of the daemon (booted.py).
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

STATE = Path(os.environ["STATE_DIRECTORY"])


def attempt(action: Callable[[], object]) -> str:
    """Return "done", or the name of the error that kept it from being done."""
    try:
        action()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "done"


def run_own_file() -> None:
    """Run a program that this process has written."""
    program = STATE / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    subprocess.run([program], check=True)


def child_that_comes_last() -> None:
    """Start a child as an engine is built: ctypes, prctl, the idle scheduler, oom_score_adj."""
    from asd_edge.serving.come_last import command

    subprocess.run(command("true"), check=True)


ATTEMPTS: dict[str, Callable[[], object]] = {
    "write its state": lambda: (STATE / "file").write_text(""),
    "write a temporary file": lambda: Path("/tmp/file").write_text(""),
    "read its credential": lambda: Path(os.environ["CREDENTIALS_DIRECTORY"], "mqtt-password").read_text(),
    "speak IPv4": lambda: socket.socket(socket.AF_INET).close(),
    "run arecord": lambda: subprocess.run(["arecord", "-q", "-D", "null", "-d", "1", "/dev/null"], check=True),
    "run a child that comes last": child_that_comes_last,
    "read the file behind its credential": lambda: Path("/etc/asd-edge/mqtt-password").read_text(),
    "write in /etc": lambda: Path("/etc/asd-edge/file").write_text(""),
    "write in /usr": lambda: Path("/usr/file").write_text(""),
    "write in /var/lib": lambda: Path("/var/lib/file").write_text(""),
    "list /home": lambda: os.listdir("/home"),
    "list /root": lambda: os.listdir("/root"),
    "see process 1": lambda: Path("/proc/1/cmdline").read_text(),
    "open another device": lambda: os.open("/dev/not-sound", os.O_RDONLY),
    "write a kernel setting": lambda: Path("/proc/sys/kernel/hostname").write_text("x"),
    "run a file it wrote": run_own_file,
    "have memory to write and run": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC),
    "speak netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
    "speak raw packets": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
    "become root": lambda: os.setuid(0),
    "change a file's owner": lambda: os.chown(STATE / "file", 0, 0),
    "make a namespace": lambda: subprocess.run(["unshare", "--user", "true"], check=True, stderr=subprocess.DEVNULL),
}

if __name__ == "__main__":
    found = {}
    for name, action in ATTEMPTS.items():
        try:
            found[name] = attempt(action)
        except subprocess.CalledProcessError as failed:
            found[name] = f"exit status {failed.returncode}"
    print(json.dumps(found | {"user": os.getuid()}))
