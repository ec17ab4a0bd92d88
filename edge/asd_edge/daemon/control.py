"""The daemon's side of the control socket (asd_edge.control has the protocol)."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import sleep

import numpy as np
from numpy.typing import NDArray

from asd_edge.control import (
    FORMAT,
    RELOAD_S,
    VERSION,
    ControlReply,
    ControlRequest,
    read_line,
    socket_address,
)
from asd_edge.errors import AsdEdgeError, StateError
from asd_edge.heart import Heart
from asd_edge.strict import RefusalError, parse_versioned

_log = logging.getLogger(__name__)

_WORKERS = 4  # connections that are served at once; others wait in the socket's queue
_REQUEST_S = 2.0
_REPLY_S = 10.0
_LONGEST_S = _REQUEST_S + RELOAD_S + 2 * _REPLY_S  # of one request
_RETRY_S = 5.0  # until a folder that could not be used is tried again

Answer = Callable[[ControlRequest], tuple[ControlReply, NDArray[np.float32]]]


class ControlServer:
    """Answers requests in threads of its own, a few at a time; whoever asks wrongly or slowly is let go.

    Args:
        state_dir: where the socket lies. One daemon may use it: it is locked as long as this one lives.
        answer: gives the reply and its samples, or raises an AsdEdgeError that becomes the reply.
        heart: gives each thread's sign of life.
        mended: called when a folder that could not be used can be; with the error, when another daemon has it by then.
    """

    def __init__(
        self,
        state_dir: Path,
        answer: Answer,
        heart: Callable[[str, float], Heart] = Heart,
        mended: Callable[[StateError | None], None] = lambda _error: None,
    ) -> None:
        self.fault: str | None = None
        """Why no commands are taken."""
        self._state_dir = state_dir
        self._answer = answer
        self._mended = mended
        self._heart = heart
        self._lock: int | None = None
        self._listener: socket.socket | None = None
        self._stopping = threading.Event()

    def start(self) -> None:
        """Listen. A folder that cannot be used is tried again and again, for machines are heard all the same.

        Raises:
            StateError: another daemon uses the folder.
        """
        if not self._opened():
            threading.Thread(target=self._try_again, name="control", daemon=True).start()

    def stop(self) -> None:
        """Take no more requests, and leave the folder to the next daemon."""
        self._stopping.set()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)  # wakes those who wait in accept(); close() would not
            with suppress(OSError), socket_address(self._state_dir) as address:
                os.unlink(address)
            listener.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _opened(self) -> bool:
        try:
            self._state_dir.mkdir(parents=True, exist_ok=True)
            if self._lock is None:
                self._lock = self._locked()
            listener = self._listener = self._bound()
        except OSError as error:
            if self.fault is None:
                words = "No commands can be taken from %s: %s. Machines are heard all the same; correct that folder."
                _log.warning(words, self._state_dir, error.strerror or error)
            self.fault = f"no commands can be taken from {self._state_dir}: {error.strerror or error}"
            return False
        self.fault = None
        for number in range(_WORKERS):
            # A client that hangs must not keep the process alive.
            name = f"control-{number}"
            arguments = (listener, self._heart(name, _LONGEST_S))
            threading.Thread(target=self._serve, args=arguments, name=name, daemon=True).start()
        return True

    def _try_again(self) -> None:
        heart = self._heart("control", _LONGEST_S)
        with heart:
            while not self._stopping.wait(_RETRY_S):
                heart.beat()
                try:
                    if self._opened():
                        _log.warning("Commands are taken from %s", self._state_dir)
                        self._mended(None)
                        return
                except StateError as error:
                    self._mended(error)
                    return

    def _locked(self) -> int:
        """Lock the folder itself, which can be done where nothing can be written.

        The lock ends with the process, however that ends, so it is never stale.
        """
        folder = os.open(self._state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(folder)
            raise StateError(
                "Two daemons cannot use one state folder",
                found=f"another asd-edge run that uses {self._state_dir}",
                expected="one asd-edge run for each device.state_dir",
                remedy="Stop the other one (systemctl stop asd-edge), or give this one a device.state_dir of its own.",
            ) from None
        except OSError:
            os.close(folder)
            raise
        return folder

    def _bound(self) -> socket.socket:
        """Listen at the socket's place; what lies there is a dead daemon's, as the lock is ours."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with socket_address(self._state_dir) as address:
                if os.path.lexists(address):
                    os.unlink(address)
                listener.bind(address)
                os.chmod(address, 0o600)  # before listen(): until then nobody can connect
                listener.listen(16)
        except OSError:
            listener.close()
            raise
        return listener

    def _serve(self, listener: socket.socket, heart: Heart) -> None:
        with heart:
            self._take(listener, heart)

    def _take(self, listener: socket.socket, heart: Heart) -> None:
        while not self._stopping.is_set():
            heart.rest()
            try:
                connection, _ = listener.accept()
                heart.beat()
            except OSError as error:
                if not self._stopping.is_set():  # no descriptor left, perhaps
                    _log.warning("A command cannot be taken: %s", error)
                    sleep(1.0)
                continue
            with connection:
                try:
                    self._converse(connection)
                except OSError as error:  # it left, or took too long
                    _log.info("A command was not answered: %s", error)
                except Exception:  # one bad request must not end the thread
                    _log.exception("A command could not be answered")

    def _converse(self, connection: socket.socket) -> None:
        sound = np.zeros(0, np.float32)
        try:
            line = read_line(connection, _REQUEST_S)
            request = parse_versioned(line, ControlRequest, format=FORMAT, version=VERSION)
            reply, sound = self._answer(request)
        except AsdEdgeError as error:
            reply = ControlReply.refusal(error)
        except RefusalError as refusal:
            remedy = refusal.remedy or "Use the asd-edge command of the daemon's version."
            told = StateError("No such request", found=refusal.found, expected=refusal.expected, remedy=remedy)
            reply = ControlReply.refusal(told)
        connection.settimeout(_REPLY_S)  # of each of the two as a whole (socket.sendall)
        connection.sendall(reply.model_dump_json().encode() + b"\n")
        if len(sound):  # a client that asked for none is gone by now
            connection.sendall(sound.astype("<f4", copy=False).data)
