"""The daemon: is its unit installed and running, or does it run without systemd."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from asd_edge.doctor.device import Device, ask
from asd_edge.doctor.disk import state_dir
from asd_edge.doctor.finding import Finding, fault, ok, warning
from asd_edge.lock import holder_of

UNIT = "asd-edge.service"
_ASKED = ("LoadState", "ActiveState", "SubState", "UnitFileState", "Result", "NRestarts", "User", "DynamicUser")


def check_service(device: Device) -> Iterator[Finding]:
    """Yield how the daemon does."""
    runs = daemon_runs(device)
    if device.path("/run/systemd/system").exists():
        answer = ask("systemctl", "show", UNIT, f"--property={','.join(_ASKED)}", timeout_s=4.0)
        if answer is not None and answer.status == 0:
            said = dict(line.partition("=")[::2] for line in answer.output.splitlines())
            yield judge_unit(said, runs=runs)
            return
    if runs:
        yield ok("a daemon runs; no systemd keeps it")
    else:
        yield ok("no daemon runs, and no systemd to keep one")


def daemon_runs(device: Device) -> bool:
    """Whether a daemon holds the state folder; it also has the microphones then."""
    return holder_of(state_dir(device) / "control.lock") is not None


def judge_unit(said: Mapping[str, str], *, runs: bool) -> Finding:
    """Say how a unit does, given what `systemctl show` says of it.

    Args:
        said: its properties.
        runs: a daemon, of this unit or not, holds the state folder.
    """
    if said.get("LoadState") != "loaded":
        without = "a daemon runs without it" if runs else "no daemon runs"
        remedy = "Install firmware_configs/asd-edge.service, then systemctl enable --now asd-edge."
        return warning(f"no unit {UNIT}; {without}", remedy)
    user = said.get("User") or "root"
    if said.get("DynamicUser") == "yes":
        user += " (dynamic)"
    state = f"{said.get('ActiveState')} ({said.get('SubState')})"
    found = f"{UNIT} {state}, {said.get('UnitFileState')}, user {user}"
    log = "journalctl -u asd-edge -n 50 says why."
    if said.get("ActiveState") == "failed" or said.get("SubState") == "auto-restart":
        return fault(f"{found}, {said.get('Result')}", log)
    if said.get("ActiveState") != "active":
        return warning(found, "systemctl start asd-edge")
    if (restarts := said.get("NRestarts", "0")) not in ("0", ""):
        return warning(f"{found}, started again {restarts} times", log)
    if said.get("UnitFileState") not in ("enabled", "static"):
        return warning(f"{found}: it does not start with the device", "systemctl enable asd-edge")
    return ok(found)
