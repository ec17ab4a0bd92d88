"""The service on a real systemd, as `asd-edge service install` leaves it: `make test-systemd`.

One boot for all: the tests go through a day of the service's life, in this order.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.systemd.machine import Machine

ROOT = os.environ.get("ASD_EDGE_SYSTEMD_ROOT")
ASD_EDGE = "/opt/asd-edge/bin/asd-edge"
UNIT = "asd-edge.service"
PASSWORD = "a password that only root and the service can read"
DEVICE = """
[device]
id = "press-hall-3"
[mqtt]
host = "127.0.0.1"
username = "press-hall-3"
password_file = "/etc/asd-edge/mqtt-password"
[[machines]]
id = "fan-7"
source = "sim:fan"
factory = "fan/00"
"""
BROKER = """
listener 1883 127.0.0.1
user root
persistence false
password_file /etc/broker-passwords
"""
# The shipped unit waits half a minute for a heartbeat and five seconds before a start; here both are shorter.
SOONER = "[Service]\nWatchdogSec=4\nTimeoutAbortSec=1\nRestartSec=1\n"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    if ROOT is None:
        pytest.skip("run by tests/systemd/run.sh, which makes the system")
    machine = Machine(Path(ROOT), tmp_path_factory.mktemp("systemd") / "console.log")
    try:
        machine.write("/etc/broker.conf", BROKER)
        machine.write("/etc/broker-passwords", "")
        for user in ("press-hall-3", "scada"):
            machine.run("mosquitto_passwd", "-b", "/etc/broker-passwords", user, PASSWORD)
        machine.run("systemd-run", "--unit=broker", "mosquitto", "-c", "/etc/broker.conf")
        machine.write("/etc/asd-edge/device.toml", DEVICE)
        machine.write("/etc/asd-edge/mqtt-password", PASSWORD, "644")  # too open: tmpfiles.d is to correct it
        yield machine
    finally:
        machine.stop()


def wait_for(what: Callable[[], bool], limit_s: float) -> float:
    """Return after how many seconds it is so."""
    start = time.monotonic()
    while not what():
        assert time.monotonic() < start + limit_s, "it never came to be"
        time.sleep(0.1)
    return time.monotonic() - start


def hear(machine: Machine, topic: str, limit_s: int = 30) -> dict[str, object]:
    """Return the next message under a topic of the device."""
    said = machine.run(
        *("mosquitto_sub", "-h", "127.0.0.1", "-u", "scada", "-P", PASSWORD, "-C", "1", "-W", str(limit_s)),
        *("-t", f"asd-edge/press-hall-3/{topic}"),
    )
    return json.loads(said)


def main_pid(machine: Machine) -> int:
    return int(machine.shown(UNIT, "MainPID"))


def test_it_is_installed_and_ready(machine):
    said = machine.run(ASD_EDGE, "service", "install")
    for line in ("write /etc/systemd/system/asd-edge.service", "run systemctl daemon-reload", "run systemctl restart"):
        assert line in said
    assert machine.shown(UNIT, "ActiveState") == "active"
    assert machine.run("systemctl", "is-enabled", UNIT).strip() == "enabled"
    started = int(machine.shown(UNIT, "ExecMainStartTimestampMonotonic"))
    ready = int(machine.shown(UNIT, "ActiveEnterTimestampMonotonic"))
    print(f"READY {(ready - started) / 1e6:.2f} s after the start")


def test_the_password_reaches_the_broker_by_credential_alone(machine):
    assert hear(machine, "status")["state"] == "online"
    assert machine.run("stat", "-c", "%a %U", "/etc/asd-edge/mqtt-password").strip() == "600 root"


def test_it_scores_inside_its_sandbox(machine):
    assert hear(machine, "fan-7/score")["state"] in ("scored", "idle")


def test_its_user_exists_while_it_runs_and_owns_its_folder_alone(machine):
    pid = main_pid(machine)
    user = machine.run("stat", "-c", "%u", f"/proc/{pid}").strip()
    assert 61184 <= int(user) <= 65519  # systemd's range of dynamic users
    assert "asd-edge" not in machine.run("cat", "/etc/passwd")
    assert machine.run("stat", "-c", "%u", "/var/lib/asd-edge/").strip() == user
    assert machine.run("stat", "-L", "-c", "%a", "/var/lib/private").strip() == "700"


def test_what_the_sandbox_allows_and_refuses(machine):
    probe = (Path(__file__).parent / "probe.py").read_text()
    machine.write("/opt/probe.py", probe)
    machine.run("install", "-d", "-m", "755", "/home/somebody")
    machine.run("mknod", "-m", "666", "/dev/not-sound", "c", "10", "200")  # Linux's tun
    unit = machine.run("cat", f"/etc/systemd/system/{UNIT}")
    unit = re.sub("(?m)^(ExecReload|WatchdogSec|Restart)=.*\n", "", unit).replace("Type=notify", "Type=oneshot")
    unit = unit.replace("DynamicUser=yes", "DynamicUser=yes\nUser=asd-edge")  # the daemon's own, beside it
    unit = re.sub("(?m)^ExecStart=.*", "ExecStart=/opt/asd-edge/bin/python /opt/probe.py", unit)
    machine.write("/etc/systemd/system/probe.service", unit)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "probe.service")
    found = json.loads(next(line for line in machine.journal("probe.service").splitlines() if line.startswith("{")))
    print(json.dumps(found, indent=1))
    assert str(found.pop("user")) == machine.run("stat", "-c", "%u", "/var/lib/asd-edge/").strip()
    allowed = {name for name, how in found.items() if how == "done"}
    assert allowed == {
        "write its state",
        "write a temporary file",
        "read its credential",
        "speak IPv4",
        "run arecord",
        "run a child that comes last",
    }


def test_it_comes_back_after_kill_9(machine):
    before = main_pid(machine)
    machine.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", UNIT)
    took = wait_for(lambda: main_pid(machine) not in (0, before), 20)
    wait_for(lambda: machine.shown(UNIT, "ActiveState") == "active", 20)
    assert machine.shown(UNIT, "NRestarts") == "1"
    print(f"started again {took:.1f} s after kill -9, RestartSec=5 of them")


def test_a_daemon_that_hangs_is_ended_by_the_watchdog(machine):
    machine.write(f"/etc/systemd/system/{UNIT}.d/sooner.conf", SOONER)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", UNIT)
    time.sleep(6)  # longer than WatchdogSec: it beats
    assert machine.shown(UNIT, "NRestarts") == "0"
    before = main_pid(machine)
    machine.run("systemctl", "kill", "--kill-who=main", "--signal=STOP", UNIT)
    took = wait_for(lambda: main_pid(machine) not in (0, before), 30)
    assert "Watchdog timeout" in machine.journal(UNIT)
    print(f"started again {took:.1f} s after it hung, with WatchdogSec=4")
    wait_for(lambda: machine.shown(UNIT, "ActiveState") == "active", 20)


def test_a_reload_takes_a_new_configuration_and_refuses_a_bad_one(machine):
    pid = main_pid(machine)
    machine.write("/etc/asd-edge/device.toml", DEVICE + "[machines.decision]\non_delay_s = 20.0\n")
    machine.run("systemctl", "reload", UNIT)
    assert machine.shown(UNIT, "ReloadResult") == "success"
    machine.write("/etc/asd-edge/device.toml", DEVICE + "[machines.decision]\non_delai_s = 20.0\n")
    machine.run("systemctl", "reload", UNIT, check=False)
    machine.write("/etc/asd-edge/device.toml", DEVICE)
    assert machine.shown(UNIT, "ReloadResult") != "success"
    assert main_pid(machine) == pid
    assert machine.shown(UNIT, "ActiveState") == "active"
    assert "on_delai_s" in machine.journal(UNIT)


def test_it_stops_and_says_so(machine):
    start = time.monotonic()
    machine.run("systemctl", "stop", UNIT)
    print(f"stopped in {time.monotonic() - start:.2f} s")
    assert machine.shown(UNIT, "Result") == "success"
    assert hear(machine, "status")["state"] == "offline"
    assert "Traceback" not in machine.journal(UNIT)


def test_with_the_gpu_s_drop_in_it_starts_too(machine):
    machine.run(ASD_EDGE, "service", "install", "--gpu")
    assert machine.shown(UNIT, "ActiveState") == "active"
    assert machine.shown(UNIT, "MemoryDenyWriteExecute") == "no"
    assert set(machine.shown(UNIT, "SupplementaryGroups").split()) == {"audio", "video", "render"}


def test_an_edited_unit_is_not_overwritten(machine):
    unit = machine.run("cat", f"/etc/systemd/system/{UNIT}")
    machine.write(f"/etc/systemd/system/{UNIT}", unit.replace("RestartSec=5", "RestartSec=6"))
    assert "not overwritten" in machine.run(ASD_EDGE, "service", "install", check=False)
    assert "RestartSec=6" in machine.run("cat", f"/etc/systemd/system/{UNIT}")
    machine.run(ASD_EDGE, "service", "install", "--force", "--no-start")
    assert machine.run("cat", f"/etc/systemd/system/{UNIT}") == unit


def test_uninstalled_it_is_gone_but_for_what_it_knows(machine):
    said = machine.run(ASD_EDGE, "service", "uninstall")
    assert "leave /var/lib/asd-edge" in said
    assert "leave /etc/systemd/system/asd-edge.service.d/sooner.conf" in said
    assert machine.shown(UNIT, "ActiveState") == "inactive"
    assert machine.shown(UNIT, "LoadState") == "not-found"
    machine.run("test", "-f", "/etc/asd-edge/device.toml")
    machine.run("test", "-d", "/var/lib/asd-edge/outbox")
