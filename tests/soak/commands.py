"""Ten thousand fuzzed MQTT commands to the running daemon: it goes on, and remembers none of them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
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
from tests.soak import fuzz_sparkplug
from tests.soak.fuzz_commands import Requests
from tests.soak.load import tracebacks

COMMANDS = 10_000
_REQUESTS = "asd-edge/box/remote/request"
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
    """Send a third to a daemon that judges all requests, one to one with its limit, one to a Sparkplug node."""
    count = (COMMANDS // 50 if quick else COMMANDS) // 3 + 1
    results: dict[str, Any] = {"seed": seed, "commands": 3 * count}
    for how, work in (("all_judged", _all_judged), ("rate_limited", _limited), ("sparkplug", _sparkplug)):
        results[how] = _fuzz(Random(f"{seed} {how}"), count, work, limited=how != "all_judged")
    return results


def _fuzz(random: Random, count: int, work: Callable[..., None], *, limited: bool) -> dict[str, Any]:
    known = Operator("anna")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = Broker(folder)
        broker.start()
        stack.callback(broker.stop)
        log, device = folder / "log", _device(folder, broker.port, known)
        command = ["-m", "asd_edge.cli", "run", "--config"] if limited else ["-c", _UNLIMITED]
        child = subprocess.Popen([sys.executable, *command, str(device)], stderr=log.open("wb"))
        stack.callback(child.wait)
        stack.callback(child.kill)
        sender = _Sender(broker.port)
        stack.callback(sender.close)
        sender.wait_online()
        requests = Requests(random, known, Operator("mallory"))
        work(sender, requests, random, count // 10)  # everything is imported, and every table as large as it gets
        time.sleep(_SETTLED_S)
        watched = psutil.Process(child.pid)
        before = _figures(watched)
        work(sender, requests, random, count - count // 10)
        time.sleep(_SETTLED_S)
        after, answers = _figures(watched), dict(sender.answers)
        sender.wait_score()
        births = sender.rebirth()
        if (code := child.poll()) is not None:
            raise RuntimeError(f"the daemon ended with {code}: {log.read_text()[-2000:]}")
        child.terminate()
        return {
            "requests": count,
            "answers": answers,
            "births": births,
            "before": before,
            "after": after,
            "growth_mb": after["resident_mb"] - before["resident_mb"],
            "exit_code": child.wait(10),
            "exceptions_in_the_log": tracebacks(log),
        }


def _all_judged(sender: _Sender, requests: Requests, random: Random, count: int) -> None:
    for _ in range(count):
        sender.send(_REQUESTS, requests.make(), retain=random.random() < 0.01)
        sender.wait_answers()
        requests.nonces = [*requests.nonces, *sender.take_nonces()][-50:]


def _limited(sender: _Sender, requests: Requests, random: Random, count: int) -> None:
    for _ in range(count):
        sender.send(_REQUESTS, requests.make())


def _sparkplug(sender: _Sender, _requests: Requests, random: Random, count: int) -> None:
    for number in range(count):
        topic, payload = fuzz_sparkplug.make(random)
        sender.send(topic, payload, retain=topic == fuzz_sparkplug.STATE and random.random() < 0.5)
        if number % 50 == 0:  # it can be read before the next ones take its place
            time.sleep(0.3)


def _device(folder: Path, port: int, known: Operator) -> Path:
    make_fan_bundle(folder / "fan.asd")
    machine = {"id": "fan-1", "source": FAN_SOURCE, "speed": 1.0, "factory": "fan/00"}
    device = write_device(folder, folder / "fan.asd", port, machine)
    keys = known.authorise(folder / "keys")
    tables = (
        f"[remote]\nenabled = true\nkeys_file = {json.dumps(str(keys))}\ncommands_per_hour = 600\n"
        f'[sparkplug]\nenabled = true\nhost = "127.0.0.1"\nport = {port}\nprimary_host = "scada"\n'
    )
    device.write_text(f"{device.read_text()}\n{tables}")
    return device


def _figures(process: psutil.Process) -> dict[str, float]:
    return {
        "resident_mb": process.memory_info().rss / 1e6,
        "files": process.num_fds(),
        "threads": process.num_threads(),
    }


class _Sender:
    """Sends requests, and counts what comes back."""

    def __init__(self, port: int) -> None:
        self.answers: Counter[str] = Counter()
        self._seen: Counter[str] = Counter()  # messages by the kind that their topics tell
        self._nonces: list[str] = []
        self._sent = self._answered = 0
        self._came = threading.Condition()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        for topic in ("asd-edge/box/#", "spBv1.0/asd-edge/+/box"):
            self._client.subscribe(topic, qos=1)
        self._client.loop_start()

    def send(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send a message, and wait until the broker has it."""
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(_PATIENCE_S)
        self._sent += 1

    def wait_answers(self) -> None:
        """Wait until no more than some requests are without an answer."""
        with self._came:
            if not self._came.wait_for(lambda: self._sent - self._answered <= _AT_ONCE, _PATIENCE_S):
                self._answered = self._sent  # an empty retained one only clears the topic, and never comes
                self.answers["none"] += 1

    def take_nonces(self) -> list[str]:
        """Return the nonces that came since the last call."""
        with self._came:
            nonces, self._nonces = self._nonces, []
            return nonces

    def wait_online(self) -> None:
        """Wait for the daemon."""
        self._wait("status")

    def wait_score(self) -> None:
        """Wait until the machine is heard to be scored."""
        self._wait("score")

    def rebirth(self) -> int:
        """Let the Sparkplug node be born again, as a host would; return how often it was born by then."""
        latest = (1 << 63) - 1  # no fuzzed STATE is newer
        self.send(fuzz_sparkplug.STATE, fuzz_sparkplug.state(online=True, timestamp=latest), retain=True)
        self.send(fuzz_sparkplug.COMMAND, fuzz_sparkplug.rebirth())
        self._wait("NBIRTH")
        return self._seen["NBIRTH"]

    def close(self) -> None:
        """End the connection."""
        self._client.disconnect()
        self._client.loop_stop()

    def _wait(self, kind: str) -> None:
        with self._came:
            before = self._seen[kind]
            if not self._came.wait_for(lambda: self._seen[kind] > before, 60.0):
                raise RuntimeError(f"no {kind} comes")

    def _on_message(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        levels = message.topic.split("/")
        with self._came:
            self._seen[levels[2] if levels[0] == "spBv1.0" else levels[-1]] += 1
            if levels[-1] == "response":
                answer = json.loads(message.payload)
                self._answered += 1
                self.answers[answer.get("reason") or answer["verdict"]] += 1
                if "nonce" in answer:
                    self._nonces.append(answer["nonce"])
            self._came.notify_all()
