"""The figures of the daemon for a scraper on this computer: `http://127.0.0.1:PORT/metrics` (docs/operations.md)."""

from __future__ import annotations

import logging
import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, sleep

from asd_edge.config import DeviceConfig
from asd_edge.daemon.exposition import CONTENT_TYPE, exposition
from asd_edge.errors import SinkError
from asd_edge.heart import Heart
from asd_edge.status import Status

_log = logging.getLogger(__name__)

_WORKERS = 2  # scrapers that are served at once; others wait in the socket's queue
_PATIENCE_S = 2.0  # for a whole request, and for a whole answer
_LONGEST = 8_192  # bytes of a request
# A page that a browser has open can have the name of its own server lead here; its name then stands in Host.
_HOST = re.compile(rb"\r\nhost:[ \t]*(127\.0\.0\.1|localhost)(:\d+)?[ \t]*\r\n", re.IGNORECASE)


class Prometheus:
    """Serves the figures, if the device file says so. Whoever asks wrongly or slowly is let go.

    Args:
        config: the device.
        status: how the daemon does; called in threads of this server.
        heart: gives the sign of life of each of them.
    """

    def __init__(
        self, config: DeviceConfig, status: Callable[[], Status], heart: Callable[[str], Heart] = Heart
    ) -> None:
        self.fault: str | None = None
        """Why nothing is served although it should be."""
        self._config, self._status = config, status
        self._hearts = [heart(f"prometheus-{number}") for number in range(_WORKERS)]
        self._listener: socket.socket | None = None

    def start(self) -> None:
        """Begin to serve; a port that is taken keeps no machine from being heard."""
        if self._config.prometheus.enabled:
            try:
                self._serve(_listening(self._config.prometheus.port))
            except SinkError as error:
                self.fault = f"{error.what}: {error.found}"
                _log.error("%s", error)

    def stop(self) -> None:
        """Serve no more."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes those who wait in accept(); close() would not
            listener.close()

    def plan(self, config: DeviceConfig) -> Callable[[], None]:
        """Try the port of another device file; return what puts that in force.

        Raises:
            SinkError: the port is taken.
        """
        if config.prometheus == self._config.prometheus and self.fault is None:
            return lambda: None
        same_port = self._listener is not None and config.prometheus.port == self._config.prometheus.port
        listener = _listening(config.prometheus.port) if config.prometheus.enabled and not same_port else None

        def follow() -> None:
            self._config, self.fault = config, None
            if listener is not None or not config.prometheus.enabled:
                self.stop()
            if listener is not None:
                self._serve(listener)

        return follow

    def _serve(self, listener: socket.socket) -> None:
        self._listener = listener
        for heart in self._hearts:
            threading.Thread(target=self._work, args=(listener, heart), name=heart.name, daemon=True).start()

    def _work(self, listener: socket.socket, heart: Heart) -> None:
        with heart:
            while listener is self._listener:
                heart.rest()
                try:
                    connection, _ = listener.accept()
                except OSError as error:
                    if listener is self._listener:  # no descriptor left, perhaps
                        _log.warning("Figures cannot be served: %s", error)
                        sleep(1.0)
                    continue
                heart.beat()
                with connection:
                    try:
                        connection.settimeout(_PATIENCE_S)  # of sendall as a whole
                        connection.sendall(self._answer(_request(connection)))
                    except OSError as error:  # it left, or took too long
                        _log.debug("A scraper was not served: %s", error)

    def _answer(self, request: bytes) -> bytes:
        line = request.partition(b"\r\n")[0].split(b" ")
        if len(line) != 3 or not line[2].startswith(b"HTTP/1."):
            return _response("400 Bad Request", "Not HTTP.\n")
        if _HOST.search(request) is None:
            return _response("421 Misdirected Request", "Ask for 127.0.0.1 or localhost.\n")
        if line[1].partition(b"?")[0] != b"/metrics":
            return _response("404 Not Found", "There is /metrics alone.\n")
        if line[0] != b"GET":
            return _response("405 Method Not Allowed", "GET alone.\n")
        try:
            return _response("200 OK", exposition(self._status()))
        except Exception:  # one page must not end the thread
            _log.exception("The figures could not be put together")
            return _response("500 Internal Server Error", "See the log.\n")


def _listening(port: int) -> socket.socket:
    """Return a socket that listens on loopback.

    Raises:
        SinkError: the port is taken.
    """
    try:
        return socket.create_server(("127.0.0.1", port), backlog=8)
    except OSError as error:
        raise SinkError(
            f"Prometheus cannot be served on port {port}",
            found=error.strerror or str(error),
            expected="a free port above 1023",
            remedy="Set another prometheus.port, or stop what uses this one (ss -ltnp).",
        ) from error


def _request(connection: socket.socket) -> bytes:
    """Return the head of a request, up to its empty line.

    Raises:
        OSError: it was too slow, or left.
    """
    deadline, data = monotonic() + _PATIENCE_S, b""
    while b"\r\n\r\n" not in data and len(data) < _LONGEST:
        connection.settimeout(max(0.001, deadline - monotonic()))
        piece = connection.recv(_LONGEST - len(data))
        if not piece:
            raise ConnectionResetError("it left before the end of its request")
        data += piece
    return data


def _response(status: str, body: str) -> bytes:
    content = body.encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {len(content)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + content
