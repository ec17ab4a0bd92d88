"""What a command asks a running daemon: requests and replies over `<state_dir>/control.sock`, and the client.

A UNIX stream socket that only root and the daemon's user may open. A connection carries one request, a line of JSON,
and one reply: a line of JSON, then its samples as little-endian float32. docs/state.md has an example.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Annotated, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from asd_edge.errors import AsdEdgeError, StateError
from asd_edge.status import Status
from asd_edge.strict import Name, RefusalError, Sha256, Strict, parse_versioned

FORMAT: Final = "asd-edge-control"
VERSION: Final = 1
LONGEST_S: Final = 600.0
"""Seconds of sound that can be asked for, and that device.ring_s may keep."""
LINE_LIMIT: Final = 16_384  # bytes of a request
REPLY_LIMIT: Final = 1 << 20  # bytes of the first line of a reply: an error of every machine may be in it
_SOCKET: Final = "control.sock"
_PATIENCE_S = 20.0  # the disk may be slow; the daemon itself answers at once
RELOAD_S: Final = 60.0
"""Seconds that reading the device file anew may take: microphones and connections end and begin."""


class NoDaemonError(StateError):
    """No daemon uses the state folder."""


class ControlRequest(Strict):
    """`ping`: are you there; `serving`: with what, and how the machines do; `status`: everything; `reload`: read the
    device file anew; `flush`: write the histories to the disk; `sound`: the last `seconds` of `machine`."""

    format: Literal["asd-edge-control"] = FORMAT
    version: Literal[1] = VERSION
    request: Literal["ping", "serving", "status", "reload", "flush", "sound"]
    machine: Name | None = None
    seconds: Annotated[float, Field(gt=0.0, le=LONGEST_S)] | None = None

    @model_validator(mode="after")
    def _complete(self) -> ControlRequest:
        if (self.request == "sound") != (self.machine is not None and self.seconds is not None):
            raise ValueError("machine and seconds belong to the request 'sound', and to no other")
        return self


class ControlError(Strict):
    """Why a request was not fulfilled: the parts of an AsdEdgeError."""

    what: str
    found: str
    expected: str
    remedy: str


class ServedMachine(Strict):
    """How a machine does: `error` is why it is not heard or scored, or what is wrong while it goes on."""

    machine: Name
    health: Literal["normal", "failure", "check_function", "out_of_specification", "maintenance_required"]
    error: str | None


class Serving(Strict):
    """What a running daemon hears with since its start, whatever lies on the disk by now."""

    name: str
    bundle_id: Sha256
    embedding_id: Sha256
    precision: Literal["fp32", "fp16", "int8"]
    engine: Literal["onnxruntime", "tensorrt"]
    machines: tuple[ServedMachine, ...]

    def __str__(self) -> str:
        """Return the bundle's name as people are told it."""
        return f"{self.name} ({self.bundle_id[:12]}), {self.precision}"


class ControlReply(Strict):
    """The first line of a reply; `samples` of sound at `rate` a second follow it."""

    format: Literal["asd-edge-control"] = FORMAT
    version: Literal[1] = VERSION
    error: ControlError | None = None
    serving: Serving | None = None
    status: Status | None = None
    rate: Annotated[int, Field(ge=1)] | None = None
    samples: Annotated[int, Field(ge=0, le=1 << 28)] = 0

    @classmethod
    def refusal(cls, error: AsdEdgeError) -> ControlReply:
        """Return the reply that makes the client raise `error`."""
        return cls(error=ControlError(what=error.what, found=error.found, expected=error.expected, remedy=error.remedy))


def ping(state_dir: Path) -> None:
    """Return when a daemon answers.

    Raises:
        NoDaemonError: none does.
        StateError: its answer makes no sense.
    """
    _ask(state_dir, ControlRequest(request="ping"))


def serving(state_dir: Path) -> Serving:
    """Return what the running daemon hears with, and how its machines do.

    Raises:
        NoDaemonError: none runs.
        StateError: it may not be asked, or is of a version that does not say.
    """
    reply, _ = _ask(state_dir, ControlRequest(request="serving"))
    if reply.serving is None:
        raise _nonsense("a reply without what it hears with")
    return reply.serving


def status(state_dir: Path) -> Status:
    """Return how the running daemon does.

    Raises:
        NoDaemonError: none runs.
        StateError: it may not be asked, or is of a version that does not say.
    """
    reply, _ = _ask(state_dir, ControlRequest(request="status"))
    if reply.status is None:
        raise _nonsense("a reply without its status")
    return reply.status


def reload(state_dir: Path) -> None:
    """Let the running daemon read its device file anew; return when that is in force.

    Raises:
        NoDaemonError: none runs.
        StateError: the file is not taken, and why; what was in force goes on.
    """
    _ask(state_dir, ControlRequest(request="reload"), RELOAD_S)


def flush_history(state_dir: Path) -> None:
    """Let the running daemon write to the disk what it has heard until now.

    Raises:
        NoDaemonError: none runs; what it wrote before its end is on the disk then.
        StateError: its disk takes nothing.
    """
    _ask(state_dir, ControlRequest(request="flush"))


def last_sound(state_dir: Path, machine: str, seconds: float) -> tuple[NDArray[np.float32], int]:
    """Return the last `seconds` that the running daemon heard of a machine, float32 [n] in -1..1, and their rate.

    Raises:
        NoDaemonError: none runs.
        StateError: it has not heard so much without a gap.
    """
    if not 0.0 < seconds <= LONGEST_S:
        raise StateError(
            "The daemon does not keep so much sound",
            found=f"{seconds:g} s",
            expected=f"more than 0 and at most {LONGEST_S:g} s",
            remedy="Ask for less.",
        )
    reply, sound = _ask(state_dir, ControlRequest(request="sound", machine=machine, seconds=seconds))
    if reply.rate is None:
        raise _nonsense("a reply without the rate of its sound")
    return np.frombuffer(sound, "<f4").astype(np.float32), reply.rate


def _ask(state_dir: Path, request: ControlRequest, patience_s: float = _PATIENCE_S) -> tuple[ControlReply, bytes]:
    try:
        with socket_address(state_dir) as address, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as daemon:
            daemon.settimeout(patience_s)
            daemon.connect(address)
            daemon.sendall(request.model_dump_json().encode() + b"\n")
            reply = parse_versioned(
                read_line(daemon, patience_s, REPLY_LIMIT), ControlReply, format=FORMAT, version=VERSION
            )
            if reply.error is not None:
                raise StateError(**reply.error.model_dump())
            with daemon.makefile("rb") as stream:
                sound = stream.read(reply.samples * 4)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        raise NoDaemonError(
            "No daemon answers",
            found=f"no asd-edge run that listens at {state_dir / _SOCKET}",
            expected="asd-edge run on this computer, with the same device.state_dir",
            remedy="Start asd-edge run (systemctl start asd-edge), or name its file with --config; restart it if "
            "device.state_dir is another by now.",
        ) from None
    except PermissionError:
        raise StateError(
            "The daemon does not listen to this user",
            found=f"no permission to open {state_dir / _SOCKET}",
            expected="root, or the user that asd-edge run runs as",
            remedy="Run the command with sudo.",
        ) from None
    except RefusalError as refusal:
        raise _nonsense(refusal.found, refusal.expected) from None
    except OSError as error:
        raise _nonsense(error.strerror or str(error) or type(error).__name__) from error
    if len(sound) != reply.samples * 4:
        raise _nonsense(f"{len(sound) // 4} of {reply.samples} samples")
    return reply, sound


def _nonsense(found: str, expected: str = "an answer") -> StateError:
    return StateError(
        "The daemon does not answer as it should",
        found=found,
        expected=expected,
        remedy="Try again; if that fails too, restart asd-edge run with the version of this command.",
    )


# sockaddr_un has room for 107 bytes of path (unix(7)), fewer than a folder may have. The folder's descriptor, by its
# name in /proc, stands for the path.
@contextmanager
def socket_address(state_dir: Path) -> Iterator[str]:
    """Give the address of the socket in `state_dir`, however long that path is; it holds inside the block.

    Raises:
        OSError: there is no such folder.
    """
    folder = os.open(state_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{_SOCKET}"
    finally:
        os.close(folder)


def read_line(connection: socket.socket, patience_s: float, limit: int = LINE_LIMIT) -> bytes:
    """Return the first line that comes, of `limit` bytes at most, without its end; what follows stays in the socket.

    Raises:
        RefusalError: it is too long, or the other side left before it was complete.
        TimeoutError: it took too long as a whole.
        OSError: the connection broke.
    """
    deadline, line = monotonic() + patience_s, b""
    while True:
        connection.settimeout(max(0.001, deadline - monotonic()))
        # Looked at first: the reply's samples follow its line, and are not ours to take.
        ready = connection.recv(limit + 1 - len(line), socket.MSG_PEEK)
        end = ready.find(b"\n")
        line += connection.recv(len(ready) if end < 0 else end + 1)
        if end >= 0:
            return line[:-1]
        if not ready:
            raise RefusalError("a connection that ended before its line", "a line of JSON")
        if len(line) > limit:
            raise RefusalError(f"more than {limit} bytes", "a line of JSON")
