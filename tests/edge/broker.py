"""A real MQTT broker on this machine, and somebody who listens to it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.edge.required import required_tool


class Broker:
    """A mosquitto that can be stopped and started again on the same port."""

    def __init__(self, folder: Path, extra: str = "allow_anonymous true\n") -> None:
        self._executable = required_tool("mosquitto", "mosquitto")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._config = folder / "mosquitto.conf"
        # As root mosquitto would change to a user who cannot read the test's files.
        user = "user root\n" if os.geteuid() == 0 else ""
        self._config.write_text(f"listener {self.port} 127.0.0.1\npersistence false\n{user}{extra}")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [self._executable, "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 10.0
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        pytest.fail("mosquitto does not answer")

    def freeze(self) -> None:
        """Let it hold its connections and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Let it die as in a power cut; it has written nothing down."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)
        self._process = None

    def stop(self) -> None:
        if self._process is not None:
            self.thaw()
            self._process.terminate()
            self._process.wait(10)
            self._process = None


class Listener:
    """Collects every message under a topic filter."""

    def __init__(
        self, port: int, topic: str = "#", *, username: str | None = None, password: str | None = None
    ) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self._arrived = threading.Condition(threading.RLock())
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        if username is not None:
            self._client.username_pw_set(username, password)
        subscribed = threading.Event()
        self._client.on_message = self._keep
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.subscribe(topic, qos=1)
        self._client.loop_start()
        assert subscribed.wait(10)

    def _keep(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        with self._arrived:
            self.messages.append((message.topic, json.loads(message.payload or b"{}")))  # empty: no longer retained
            self._arrived.notify_all()

    def of(self, suffix: str) -> list[dict[str, Any]]:
        with self._arrived:
            return [payload for topic, payload in self.messages if topic.endswith(suffix)]

    def wait(self, suffix: str, wanted: Callable[[dict[str, Any]], bool], timeout_s: float = 20.0) -> dict[str, Any]:
        """Return the first payload on a topic with this ending that is wanted."""
        found: list[dict[str, Any]] = []

        def arrived() -> bool:
            found[:] = [payload for payload in self.of(suffix) if wanted(payload)]
            return bool(found)

        with self._arrived:
            if not self._arrived.wait_for(arrived, timeout_s):
                pytest.fail(f"nothing wanted on {suffix} within {timeout_s} s; there was {self.of(suffix)[-3:]}")
        return found[0]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
