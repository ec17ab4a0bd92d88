"""A broker whose certificate is over, and one that does not allow something."""

from __future__ import annotations

from pathlib import Path
from random import Random

from tests.edge.certificates import Authority
from tests.soak.broker import free_port
from tests.soak.rig import Rig

_LASTS_S = 15.0


def certificate_expired(rig: Rig, random: Random) -> None:
    """Found at a connection; then a new one is installed."""
    authority = Authority(rig.folder / "authority")
    old, new = authority.sign("old", begins_d=-10.0, ends_d=-1.0), authority.sign("new", begins_d=-1.0, ends_d=10.0)
    port = free_port()
    rig.device.write_text(
        rig.device.read_text()
        .replace(f"port = {rig.broker.port}", f"port = {port}")
        .replace("[[machines]]", f'[mqtt.tls]\nca_file = "{authority.ca_file}"\n[[machines]]', 1)
    )
    rig.broker.restart(_tls(port, *old))
    rig.start()
    rig.run_on(_LASTS_S)
    rig.ask("meanwhile")
    rig.broker.restart(_tls(port, *new))
    rig.wait("afterwards", lambda status: status.get("state") == "online")
    rig.wait_scores()


def acl_denies(rig: Rig, random: Random) -> None:
    """One machine's scores are denied, then allowed."""
    acl = rig.folder / "acl"
    acl.write_text("topic readwrite #\ntopic deny asd-edge/box/fan-1/score\n")
    rig.broker.restart(f"acl_file {acl}\n")
    rig.start()
    rig.wait("meanwhile", lambda status: status.get("outbox", {}).get("parked", 0) > 0)
    rig.ask("meanwhile, at the device")
    acl.write_text("topic readwrite #\n")
    rig.broker.restart(f"acl_file {acl}\n")
    rig.stop()  # what was refused is offered again after a restart, or an hour
    rig.start()
    rig.wait("afterwards", lambda status: status["state"] == "online" and status["outbox"]["parked"] == 0)
    rig.wait_scores()


def _tls(port: int, certificate: Path, key: Path) -> str:
    return f"listener {port} 127.0.0.1\ncertfile {certificate}\nkeyfile {key}\n"
