"""The daemon: is its unit installed and running, and does a daemon answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from asd_edge.control import NoDaemonError, ping
from asd_edge.doctor.device import Device, ask, is_denied, silent
from asd_edge.doctor.disk import state_dir
from asd_edge.doctor.finding import Finding, fault, ok, warning
from asd_edge.errors import StateError

UNIT = "asd-edge.service"
_ASKED = ("LoadState", "ActiveState", "SubState", "UnitFileState", "Result", "NRestarts", "User", "DynamicUser")


def check_service(device: Device) -> Iterator[Finding]:
    """Yield what systemd says of the unit, and whether a daemon answers."""
    if device.path("/run/systemd/system").exists():
        try:
            answer = ask("systemctl", "show", UNIT, f"--property={','.join(_ASKED)}", timeout_s=3.0)
        except TimeoutError as error:
            answer = None
            yield silent(error, subject="unit")
        if answer is not None and answer.status == 0:
            yield judge_unit(dict(line.partition("=")[::2] for line in answer.output.splitlines()))
    yield _daemon(state_dir(device))


def _daemon(folder: Path) -> Finding:
    """Say whether a daemon answers at the control socket of a state folder."""
    try:
        ping(folder)
    except NoDaemonError:
        return ok(f"none uses {folder}", subject="daemon")
    except StateError as error:
        if is_denied(error):
            return ok("unknown", subject="daemon", unseen=f"whether one runs ({error.found}; use sudo)")
        return fault(f"{error.what}: {error.found}", error.remedy, subject="daemon")
    return ok(f"one runs and answers at {folder}", subject="daemon")


def judge_unit(said: Mapping[str, str]) -> Finding:
    """Say how a unit does, given its properties as `systemctl show` says them."""
    if said.get("LoadState") != "loaded":
        remedy = "asd-edge service install, as root, starts it with the device."
        return warning("not installed: nothing starts the daemon with the device", remedy, subject="unit")
    user = said.get("User") or "root"
    if said.get("DynamicUser") == "yes":
        user += " (dynamic)"
    state = f"{said.get('ActiveState')} ({said.get('SubState')})"
    found = f"{UNIT} {state}, {said.get('UnitFileState')}, user {user}"
    log = "journalctl -u asd-edge -n 50 says why."
    if said.get("ActiveState") == "failed" or said.get("SubState") == "auto-restart":
        return fault(f"{found}, {said.get('Result')}", log, subject="unit")
    if said.get("ActiveState") != "active":
        return warning(found, "systemctl start asd-edge", subject="unit")
    if (restarts := said.get("NRestarts", "0")) not in ("0", ""):
        return warning(f"{found}, started again {restarts} times", log, subject="unit")
    if said.get("UnitFileState") not in ("enabled", "static"):
        return warning(f"{found}: it does not start with the device", "systemctl enable asd-edge", subject="unit")
    return ok(found, subject="unit")
