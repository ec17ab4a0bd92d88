"""The support bundle: what helps is in it, and none of the secrets that were planted everywhere."""

from __future__ import annotations

import json
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from asd_edge import support
from asd_edge.doctor.checks import CHECKS
from asd_edge.errors import StateError
from asd_edge.support import write_support_bundle
from tests.edge.broker import Broker
from tests.edge.device import asd_edge, write_device

SECRET = "hunter2-planted-secret"
DEVICE = """
# {secret} in a comment
[device]
id = "box"
state_dir = "{folder}/state"
[bundle]
path = "{folder}/fan.asd"
allow_unsigned = true
[mqtt]
host = "broker.plant.example"
username = "user-{secret}"
password_file = "{folder}/password"
[mqtt.tls]
cert_file = "{folder}/cert.pem"
key_file = "{folder}/key.pem"
[[machines]]
id = "fan-1"
source = "file:{folder}/clip.wav"
"""


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A device file with secrets in and around it."""
    state = tmp_path / "state"
    for folder in ("fan-1/revisions", "history", "evidence/a-clip", "outbox", "engines"):
        (state / folder).mkdir(parents=True)
    for name in ("fan-1/site.json", "history/fan-1.bin", "evidence/a-clip/sound.wav", "outbox/mqtt.db", "new.json"):
        (state / name).write_text(SECRET)
    (state / "remote-nonces.json").write_text(SECRET)
    (state / "remote-audit.jsonl").write_text(SECRET)
    (state / "installed.json").write_text('{"format": "asd-edge-installed", "highest": 7}')
    (tmp_path / "password").write_text(f"{SECRET}\n")
    (tmp_path / "key.pem").write_text(f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n")
    (tmp_path / "cert.pem").write_text("no certificate")
    (tmp_path / "clip.wav").write_text(SECRET)
    path = tmp_path / "device.toml"
    path.write_text(DEVICE.format(folder=tmp_path, secret=SECRET))
    return path


@pytest.fixture(autouse=True)
def few_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor's own tests run all of them."""
    monkeypatch.setattr(
        support, "CHECKS", [check for check in CHECKS if check.name in ("config", "packages", "daemon")]
    )


def members(archive: Path) -> dict[str, str]:
    with tarfile.open(archive) as opened:
        found = {}
        for entry in opened:
            stream = opened.extractfile(entry)
            assert stream is not None
            found[entry.name.removeprefix("asd-edge-support/")] = stream.read().decode()
        return found


def test_what_helps_is_in_it_and_no_secret(device: Path, tmp_path: Path) -> None:
    written = write_support_bundle(device, tmp_path / "out.tar.gz")
    assert stat.S_IMODE((tmp_path / "out.tar.gz").stat().st_mode) == 0o600
    found = members(tmp_path / "out.tar.gz")
    assert list(found) == written
    assert not [name for name, text in found.items() if SECRET in text]
    assert set(found) == {
        *("about.json", "alarms.json", "device.json", "disk.json", "doctor.json", "engine-choice.json"),
        *("installed.json", "log.txt", "memory.txt", "status.json"),
    }
    tables = json.loads(found["device.json"])
    assert (tables["mqtt"]["host"], tables["mqtt"]["username"]) == ("broker.plant.example", "<removed>")
    assert tables["machines"][0]["source"].endswith("clip.wav")
    assert json.loads(found["installed.json"])["highest"] == 7
    assert json.loads(found["doctor.json"])["findings"][0]["check"] == "config"
    assert json.loads(found["disk.json"])["files"]["history/fan-1.bin"] == len(SECRET)
    assert "numpy" in json.loads(found["about.json"])["packages"]
    assert "MemTotal" in found["memory.txt"]
    assert found["status.json"].startswith("not available: No daemon answers")
    assert found["alarms.json"].startswith("not available: FileNotFoundError")


def test_a_secret_that_got_into_a_text_is_taken_out(device: Path, tmp_path: Path) -> None:
    (tmp_path / "state" / "alarms.json").write_text(f"somebody wrote {SECRET} here")
    write_support_bundle(device, tmp_path / "out.tar.gz")
    assert members(tmp_path / "out.tar.gz")["alarms.json"] == "somebody wrote <removed> here"


@pytest.mark.parametrize("damage", ["", "nonsense = 1\n", "[nonsense\n"], ids=["usable", "refused", "no TOML"])
def test_no_log_line_tells_a_password_or_a_user_whatever_the_device_file_is(
    device: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    (tmp_path / "key.pem").write_text("a-planted-key\n")
    device.write_text(device.read_text().replace(f"user-{SECRET}", "planted-user") + damage)
    log = tmp_path / "journalctl"
    log.write_text(f"#!/bin/sh\necho user planted-user with {SECRET} and a-planted-key was refused\n")
    log.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    write_support_bundle(device, tmp_path / "out.tar.gz")
    assert members(tmp_path / "out.tar.gz")["log.txt"] == "user <removed> with <removed> and <removed> was refused\n"


@pytest.mark.parametrize(
    "damage", [("port", f'port = "{SECRET}"'), ("password", f'password = "{SECRET}"'), ("toml", f'"{SECRET}')]
)
def test_a_device_file_that_cannot_be_used_gives_nothing_away(
    device: Path, tmp_path: Path, damage: tuple[str, str]
) -> None:
    device.write_text(device.read_text().replace("[mqtt]", f"[mqtt]\n{damage[1]}", 1))
    write_support_bundle(device, tmp_path / "out.tar.gz")
    found = members(tmp_path / "out.tar.gz")
    assert not [name for name, text in found.items() if SECRET in text]
    assert "Cannot use the device file" in found["device.json"]


def test_a_link_in_the_state_folder_leads_nowhere(device: Path, tmp_path: Path) -> None:
    """The service's user owns that folder, and root makes the bundle."""
    (tmp_path / "elsewhere").write_text("what only root may read")
    (tmp_path / "state" / "alarms.json").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "state" / "engine-choice.json")
    write_support_bundle(device, tmp_path / "out.tar.gz")
    found = members(tmp_path / "out.tar.gz")
    assert found["alarms.json"].startswith("not available")
    assert found["engine-choice.json"].startswith("not available")


def test_a_folder_that_takes_nothing_is_said(device: Path, tmp_path: Path) -> None:
    with pytest.raises(StateError, match="Cannot write the support bundle"):
        write_support_bundle(device, tmp_path / "absent" / "out.tar.gz")


def test_the_command_says_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "device.toml").write_text("nothing")  # the archive is of most use when something is wrong
    made = asd_edge("support-bundle", "--config", tmp_path / "device.toml", "--out", tmp_path / "out.tar.gz")
    assert made.returncode == 0, made.stderr
    assert [line.strip() for line in made.stdout.splitlines()[:-1]] == list(members(tmp_path / "out.tar.gz"))


def test_no_user_name_of_a_broker_that_answers(
    make_broker: Callable[..., Broker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(support, "CHECKS", [check for check in CHECKS if check.name == "broker"])
    broker = make_broker()
    broker.start()
    device = write_device(
        tmp_path, tmp_path / "none.asd", broker.port, {"id": "fan", "source": "sim:fan"}, username="plantuser77"
    )
    write_support_bundle(device, tmp_path / "out.tar.gz")
    found = members(tmp_path / "out.tar.gz")
    assert "MQTT 5, user <removed>" in found["doctor.json"]
    assert not [name for name, text in found.items() if "plantuser77" in text]
