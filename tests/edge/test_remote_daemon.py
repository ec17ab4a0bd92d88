"""Remote enrollment and the whole daemon: enrolled from afar, off unless asked for, what keeps it from starting."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from asd_edge.daemon.remote import remote_enrollment
from asd_edge.errors import ConfigError
from tests.edge.device import FAN_SOURCE, asd_edge, write_device
from tests.edge.remote_device import ANNA, MALLORY, TOPICS, device_config, reason
from tests.edge.remote_operator import Operator

# `asd-edge run` that tells at its end what it has imported.
RUN_AND_TELL = """
import json, sys
sys.argv = ["asd-edge", "run", "--config", sys.argv[1]]
from asd_edge.cli import main
try:
    main()
except SystemExit as end:
    print(json.dumps({"code": end.code, "modules": sorted(sys.modules)}))
"""


@pytest.fixture
def run() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    children: list[subprocess.Popen[str]] = []

    def begin(device: Path) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", RUN_AND_TELL, str(device)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        children.append(child)
        return child

    yield begin
    for child in children:
        if child.poll() is None:
            child.kill()
        child.communicate()


def modules(daemon: subprocess.Popen[str]) -> set[str]:
    """Stop it; return what it had imported, top level only."""
    daemon.send_signal(signal.SIGTERM)
    told, log = daemon.communicate(timeout=20)
    assert daemon.returncode == 0, log
    return {name.split(".")[0] for name in json.loads(told)["modules"]}


SIMULATED = {"id": "fan-1", "source": FAN_SOURCE, "speed": 20.0, "factory": "fan/00"}


def test_a_person_enrolls_from_afar_and_a_replay_after_a_restart_is_refused(
    broker: Any, listen: Any, ask: Any, run: Any, bundle: Path, tmp_path: Path
) -> None:
    made = asd_edge("keygen", tmp_path / "carl")
    (tmp_path / "keys").write_text(made.stdout + ANNA.line + "\n")
    machine = {"id": "fan-1", "source": FAN_SOURCE, "speed": 5.0}
    device = write_device(tmp_path, bundle, broker.port, machine)
    device.write_text(device.read_text() + '[remote]\nenabled = true\nkeys_file = "keys"\n')
    heard = listen(broker.port, "asd-edge/box/#")
    daemon = run(device)
    heard.wait("/fan-1/score", lambda score: score["stop"] > 20 * 16_000)  # so much to take the last seconds of

    carl = ("remote", "--port", str(broker.port), "--device", "box", "--key", tmp_path / "carl")
    proposed = asd_edge(*carl, "propose", "--machine", "fan-1", "--condition", "rated", "--last", "15")
    assert proposed.returncode == 0, proposed.stderr
    proposal = json.loads(proposed.stdout)
    assert (proposal["condition"], proposal["author"]) == ("rated", "remote:carl")
    assert proposal["report"]["segments"] > 0
    assert not (tmp_path / "state" / "fan-1" / "site.json").exists()
    anna = ask(broker.port)
    request = ANNA.request(
        anna.challenge(), action="commit", condition=None, last_s=None, machine="fan-1", proposal=proposal["proposal"]
    )
    assert anna.ask(request)["result"]["revision"] == 1
    event = heard.wait("/fan-1/event", lambda _: True)
    assert (event["action"], event["author"]) == ("enroll", "remote:anna")
    assert heard.wait("/fan-1/score", lambda score: score["state"] == "scored")["condition"] == "rated"
    failed = asd_edge(*carl, "commit", "--machine", "fan-1", "--proposal", proposal["proposal"])
    assert failed.returncode == 1
    assert "no such proposal" in failed.stderr
    assert "Traceback" not in failed.stderr

    loaded = modules(daemon)
    assert "cryptography" in loaded
    assert loaded.isdisjoint({"scipy", "torch", "matplotlib", "rich"})
    daemon = run(device)
    heard.wait("/status", lambda _: [s["state"] for s in heard.of("/status")].count("offline") == 1)
    heard.wait("/status", lambda _: heard.of("/status")[-1]["state"] == "online")
    assert reason(anna.ask(request)) == "replayed"
    stranger = ("remote", "--port", str(broker.port), "--device", "box", "--key", key_of(MALLORY, tmp_path))
    refused = asd_edge(*stranger, "rollback", "--machine", "fan-1")
    assert refused.returncode == 1
    assert "unknown_key" in refused.stderr
    modules(daemon)


def key_of(operator: Operator, folder: Path) -> Path:
    """A key of somebody else's, as a file."""
    path = folder / operator.name
    asd_edge("keygen", path)
    return path


def test_nothing_listens_unless_asked_to(broker: Any, listen: Any, run: Any, bundle: Path, tmp_path: Path) -> None:
    online = listen(broker.port, "asd-edge/box/status")
    daemon = run(write_device(tmp_path, bundle, broker.port, SIMULATED))
    online.wait("/status", lambda status: status["state"] == "online")
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    answers: list[str] = []
    client.on_publish = lambda _c, _u, _mid, reason, _properties: answers.append(str(reason))
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    payload = b'{"ask":"challenge","request_id":"one"}'
    client.publish(TOPICS.remote_request, payload, qos=1).wait_for_publish(10)
    deadline = time.monotonic() + 10.0
    while not answers and time.monotonic() < deadline:
        time.sleep(0.02)
    client.disconnect()
    client.loop_stop()
    assert answers == ["No matching subscribers"]
    assert modules(daemon).isdisjoint({"cryptography", "scipy"})
    assert not list(tmp_path.rglob("remote-*"))


def test_the_check_names_who_may_command_or_what_is_wrong(broker: Any, bundle: Path, tmp_path: Path) -> None:
    device = write_device(tmp_path, bundle, broker.port, SIMULATED)
    device.write_text(device.read_text() + '[remote]\nenabled = true\nkeys_file = "keys"\n')
    ANNA.authorise(tmp_path / "keys")
    good = asd_edge("run", "--config", device, "--check")
    assert "remote enrollment: taken from anna" in good.stdout
    (tmp_path / "keys").chmod(0o666)
    bad = asd_edge("run", "--config", device, "--check")
    assert bad.returncode == 1
    assert "chmod go-w" in bad.stdout


def test_without_keys_a_device_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="keys"):
        remote_enrollment(device_config(tmp_path, 1883, keys_file=tmp_path / "absent"), tmp_path / "device.toml")


@pytest.mark.parametrize("damage", ["remote-nonces.json", "no folder"])
def test_a_daemon_whose_state_is_damaged_listens_and_takes_no_commands(
    broker: Any, listen: Any, ask: Any, run: Any, bundle: Path, tmp_path: Path, damage: str
) -> None:
    device = write_device(tmp_path, bundle, broker.port, SIMULATED)
    device.write_text(device.read_text() + '[remote]\nenabled = true\nkeys_file = "keys"\n')
    ANNA.authorise(tmp_path / "keys")
    state = tmp_path / "state"
    if damage == "remote-nonces.json":
        state.mkdir()
        (state / damage).write_text("damaged")
    else:
        state.symlink_to(tmp_path / "disk-that-is-away" / "state")
    heard = listen(broker.port, "asd-edge/box/#")
    daemon = run(device)
    assert heard.wait("/fan-1/score", lambda _: True)["state"] == "scored"
    assert reason(ask(broker.port).ask(b'{"ask":"challenge","request_id":"one"}')) == "unavailable"
    daemon.send_signal(signal.SIGTERM)
    _, log = daemon.communicate(timeout=20)
    assert daemon.returncode == 0, log
    assert "Remote enrollment is unavailable" in log
    assert str(state / "remote-nonces.json") in log
    assert damage == "no folder" or (state / damage).read_text() == "damaged"
