"""Ten thousand fuzzed MQTT commands to the running daemon: it goes on, and remembers none of them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import paho.mqtt.client as paho
import psutil
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.edge.broker import Broker
from tests.edge.device import FAN_SOURCE, write_device
from tests.edge.fan_bundle import make_fan_bundle
from tests.edge.remote_operator import Operator
from tests.soak.fuzz_commands import Requests
from tests.soak.load import tracebacks

COMMANDS = 10_000
_TOPIC = "asd-edge/box/remote/request"
_AT_ONCE = 16  # requests that wait for their answers: half of those that the device lets wait
_PATIENCE_S = 10.0
_SETTLED_S = 10.0

# The limit of requests a minute would let through twenty of them: here all are judged.
_UNLIMITED = """
import sys
from asd_edge.remote import gate
gate.REQUESTS_PER_MINUTE = 1 << 40
from asd_edge.cli import main
sys.argv = ["asd-edge", "run", "--config", sys.argv[1]]
main()
"""


def run(*, seed: int, quick: bool) -> dict[str, Any]:
    """Send half of them to a daemon that answers as many as come, half to one with its limit."""
    count = (COMMANDS // 50 if quick else COMMANDS) // 2
    unlimited, limited = (_fuzz(Random(f"{seed} {how}"), count, limited=how) for how in (False, True))
    return {"seed": seed, "commands": 2 * count, "all_judged": unlimited, "rate_limited": limited}


def _fuzz(random: Random, count: int, *, limited: bool) -> dict[str, Any]:
    known, stranger = Operator("anna"), Operator("mallory")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = Broker(folder)
        broker.start()
        stack.callback(broker.stop)
        make_fan_bundle(folder / "fan.asd")
        machine = {"id": "fan-1", "source": FAN_SOURCE, "speed": 1.0, "factory": "fan/00"}
        device = write_device(folder, folder / "fan.asd", broker.port, machine)
        keys = known.authorise(folder / "keys")
        device.write_text(
            f"{device.read_text()}\n[remote]\nenabled = true\nkeys_file = {json.dumps(str(keys))}\n"
            "commands_per_hour = 600\n"
        )
        log = folder / "log"
        command = ["-m", "asd_edge.cli", "run", "--config"] if limited else ["-c", _UNLIMITED]
        child = subprocess.Popen([sys.executable, *command, str(device)], stderr=log.open("wb"))
        stack.callback(child.wait)
        stack.callback(child.kill)
        sender = _Sender(broker.port)
        stack.callback(sender.close)
        sender.wait_online()
        requests = Requests(random, known, stranger)
        for _ in range(count // 10):  # everything is imported, and every table as large as it gets
            sender.send(requests.make(), wait=not limited)
        time.sleep(_SETTLED_S)
        watched = psutil.Process(child.pid)
        before = _figures(watched)
        for _ in range(count - count // 10):
            sender.send(requests.make(), wait=not limited, retain=random.random() < 0.01)
            requests.nonces = [*requests.nonces, *sender.take_nonces()][-50:]
        time.sleep(2.0)
        after = _figures(watched)
        answers = sender.verdicts
        scores = sender.scores
        sender.wait_score()
        if (code := child.poll()) is not None:
            raise RuntimeError(f"the daemon ended with {code}: {log.read_text()[-2000:]}")
        child.terminate()
        code = child.wait(10)
        return {
            "requests": count,
            "answers": dict(answers),
            "scores_meanwhile": scores,
            "before": before,
            "after": after,
            "growth_mb": after["resident_mb"] - before["resident_mb"],
            "exit_code": code,
            "exceptions_in_the_log": tracebacks(log),
        }


def _figures(process: psutil.Process) -> dict[str, float]:
    return {
        "resident_mb": process.memory_info().rss / 1e6,
        "files": process.num_fds(),
        "threads": process.num_threads(),
    }


class _Sender:
    """Sends requests, a few at a time, and counts what comes back."""

    def __init__(self, port: int) -> None:
        self.verdicts: Counter[str] = Counter()
        self.scores = 0
        self._nonces: list[str] = []
        self._sent = self._answered = 0
        self._online = threading.Event()
        self._came = threading.Condition()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.subscribe("asd-edge/box/#", qos=1)
        self._client.loop_start()

    def wait_online(self) -> None:
        if not self._online.wait(30):
            raise RuntimeError("the daemon does not come online")

    def send(self, payload: bytes, *, wait: bool, retain: bool = False) -> None:
        """Send a request; with `wait`, let no more than some be without an answer."""
        self._client.publish(_TOPIC, payload, qos=1, retain=retain).wait_for_publish(_PATIENCE_S)
        with self._came:
            self._sent += 1
            if wait and not self._came.wait_for(lambda: self._sent - self._answered <= _AT_ONCE, _PATIENCE_S):
                self._answered = self._sent  # one that is never answered, as an empty one that clears a retained one
                self.verdicts["no answer"] += 1

    def take_nonces(self) -> list[str]:
        """Return the nonces that came since the last call."""
        with self._came:
            nonces, self._nonces = self._nonces, []
            return nonces

    def wait_score(self) -> None:
        """Wait until the machine is heard to be scored."""
        with self._came:
            now = self.scores
            if not self._came.wait_for(lambda: self.scores > now, 30):
                raise RuntimeError("no score comes any more")

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        kind = message.topic.rpartition("/")[2]
        with self._came:
            if kind == "status" and json.loads(message.payload)["state"] == "online":
                self._online.set()
            elif kind == "score":
                self.scores += 1
            elif kind == "response":
                answer = json.loads(message.payload)
                self._answered += 1
                self.verdicts[answer.get("reason") or answer["verdict"]] += 1
                if "nonce" in answer:
                    self._nonces.append(answer["nonce"])
            self._came.notify_all()
