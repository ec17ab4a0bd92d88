"""A broker that speaks MQTT 3.1.1 only."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class OldBroker:
    """In front of a mosquitto: refuses MQTT 5 as brokers of 3.1.1 do (its 3.1.2.2), and passes on the rest."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.connects: list[bytes] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                connect = client.recv(4096)
                self.connects.append(connect)
                if connect[connect.index(b"MQTT") + 4] == 5:
                    client.sendall(b"\x20\x02\x00\x01")  # unacceptable protocol version
                    client.close()
                    continue
                broker = socket.create_connection(("127.0.0.1", self._to))
                broker.sendall(connect)
                for pair in ((client, broker), (broker, client)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    @staticmethod
    def _pass_on(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(4096):
                target.sendall(data)
        target.close()

    def close(self) -> None:
        self._server.close()
