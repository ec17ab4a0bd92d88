"""The real daemon, threads of which really stand still or die: people are told which, and systemd's watchdog of those
that another process would mend."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from asd_edge.control import status
from tests.edge.device import FAN_SOURCE, asd_edge, write_device
from tests.edge.fan_bundle import make_fan_bundle

# As `asd-edge run`, but less patient with one of its machines, and with a scorer that dies when it is told to.
RUN = """
import os, sys
from asd_edge.daemon.listening import machines
from asd_edge.daemon.scorer import Scorer
Heart, advance, poison = machines.Heart, Scorer._advance, sys.argv[2]
machines.Heart = lambda name: Heart(name, 1.5 if name == "machine stuck" else 60.0)
Scorer._advance = lambda self, waiting: 1 / 0 if os.path.exists(poison) else advance(self, waiting)
sys.argv = ["asd-edge", "run", "--config", sys.argv[1]]
from asd_edge.cli import main
main()
"""


def test_a_source_that_hangs_fails_alone_and_a_dead_thread_ends_the_process(
    broker: Any, listen: Any, tmp_path: Path
) -> None:
    make_fan_bundle(tmp_path / "fan.asd", clips=3)
    os.mkfifo(tmp_path / "stuck")  # opening it as a file waits for a writer, and nothing can interrupt that
    stuck = {"id": "stuck", "source": f"sim:fan?control={tmp_path / 'stuck'}"}
    fan = {"id": "fan-1", "source": FAN_SOURCE, "factory": "fan/00"}
    device = write_device(tmp_path, tmp_path / "fan.asd", broker.port, fan, stuck)
    listener = listen(broker.port)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(10.0)
        watched = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "600000"}
        with subprocess.Popen(
            [sys.executable, "-c", RUN, str(device), str(tmp_path / "poison")],
            env=os.environ | watched,
            stderr=subprocess.PIPE,
            text=True,
        ) as daemon:
            try:
                told: list[str] = []
                while not told or "STUCK" not in told[-1]:
                    told.append(systemd.recv(4_096).decode())
                assert told.count("WATCHDOG=1") >= 2
                assert told[-1].startswith("STATUS=1 of 2 machines heard; mqtt connected; STUCK: machine stuck ")
                for _ in range(3):
                    while systemd.recv(4_096) != b"WATCHDOG=1":  # still: the other machine is heard
                        pass
                found = status(tmp_path / "state")
                assert found.process.stuck == ("machine stuck has not moved for 1.5 s",)
                fan_1, hung = found.machines
                assert (fan_1.state, hung.state, hung.health) == ("running", "failed", "failure")
                assert f"The source {stuck['source']} hangs" in str(hung.error)
                said = listener.wait("/status", lambda payload: payload["health"] == "failure")
                assert "machine stuck" in said["troubles"][0]
                (tmp_path / "poison").touch()
                while "scorer died of ZeroDivisionError" not in systemd.recv(4_096).decode():
                    pass
                systemd.settimeout(1.5)
                try:
                    while (late := systemd.recv(4_096).decode()) != "WATCHDOG=1":
                        assert late.startswith("STATUS=")
                    raise AssertionError("the watchdog was told that all is well")
                except TimeoutError:
                    pass
                assert {"history", "mqtt", "control-0", "machine fan-1"} <= set(
                    status(tmp_path / "state").process.threads
                )
                printed = asd_edge("status", "--config", device)
                assert printed.returncode == 1
                assert "- a thread is stuck: machine stuck" in printed.stdout
                daemon.send_signal(signal.SIGTERM)
                assert daemon.wait(15) == 0
            finally:
                if daemon.poll() is None:
                    daemon.kill()
                assert daemon.stderr is not None
                assert "A thread is stuck: machine stuck" in daemon.stderr.read()
