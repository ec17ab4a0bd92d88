"""Brokers of MQTT 5 that misbehave in ways a real one cannot be made to."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class BadBroker:
    """Takes every connection and answers PINGREQ and SUBSCRIBE.

    Args:
        acknowledges: how many messages of a connection; None for all.
        cuts_at: closes a connection at this message.
        last_word: what it sends before.
        connack: properties of its CONNACK.
        suback: reason code of its SUBACKs.
    """

    def __init__(
        self,
        *,
        acknowledges: int | None = None,
        cuts_at: int | None = None,
        last_word: bytes = b"",
        connack: bytes = b"",
        suback: int = 1,
    ) -> None:
        self.connects: list[bytes] = []
        """Every CONNECT without its fixed header."""
        self.unanswered = 0
        """Messages of the last connection that it has not acknowledged."""
        self._acknowledges, self._cuts_at, self._last_word = acknowledges, cuts_at, last_word
        self._connack, self._suback = connack, suback
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        messages = self.unanswered = 0
        with client, suppress(EOFError, OSError):
            while True:
                kind, body = _packet(client)
                if kind == 1:
                    self.connects.append(body)
                    client.sendall(bytes([0x20, 3 + len(self._connack), 0, 0, len(self._connack)]) + self._connack)
                elif kind == 8:
                    client.sendall(b"\x90\x04" + body[:2] + bytes([0, self._suback]))
                elif kind == 12:
                    client.sendall(b"\xd0\x00")
                elif kind == 14:
                    return
                elif kind == 3:
                    messages += 1
                    if messages == self._cuts_at:
                        client.sendall(self._last_word)
                        return
                    if self._acknowledges is None or messages <= self._acknowledges:
                        topic = int.from_bytes(body[:2], "big")
                        client.sendall(b"\x40\x02" + body[2 + topic : 4 + topic])
                    else:
                        self.unanswered += 1


def _packet(client: socket.socket) -> tuple[int, bytes]:
    """Return the type of the next packet, and what is behind its fixed header."""
    kind = _exactly(client, 1)[0] >> 4
    length = shift = 0
    while True:
        byte = _exactly(client, 1)[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return kind, _exactly(client, length)


def _exactly(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = client.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data
