"""What the running daemon hears with, which is what it started with, and how its machines do."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from asd_edge.bundle.bundle import Bundle
from asd_edge.control import NoDaemonError, Serving, serving, status
from asd_edge.doctor.choice import usable_served_bundle
from asd_edge.doctor.device import Device
from asd_edge.doctor.finding import Finding, ok, warning
from asd_edge.errors import StateError

_RESTART = "systemctl restart asd-edge"


def check_daemon(device: Device) -> Iterator[Finding]:
    """Yield whether the daemon hears with what the device file names, and each machine that it does not score."""
    if device.config is None:
        return
    try:
        running = serving(device.config.device.state_dir)
    except NoDaemonError:
        yield ok("none runs")
        return
    except StateError as error:  # what to do about it, the check service says
        yield ok("unknown", unseen=f"what it hears with ({error.found})")
        return
    yield _hears(device, running)
    yield from _of_itself(device)
    for machine in running.machines:
        if machine.error is not None:
            held = "is not heard or scored" if machine.health == "failure" else "goes on, but with an error"
            log = "Follow what it says; journalctl -u asd-edge -n 50 tells more."
            yield warning(f"{held}: {machine.error}", log, subject=machine.machine)


def _of_itself(device: Device) -> Iterator[Finding]:
    """Yield what the daemon says of its threads and of its device file; nothing where it cannot say."""
    if device.config is None or device.config_file is None:
        return
    try:
        found = status(device.config.device.state_dir)
        on_disk = sha256(device.config_file.read_bytes()).hexdigest()
    except (StateError, OSError):
        return
    for stuck in found.process.stuck:
        yield warning(f"a thread is stuck: {stuck}", _RESTART)
    if on_disk != found.file.sha256:
        yield warning(
            f"the daemon goes on with {found.file.path} as it was at {found.file.loaded}",
            f"asd-edge reload --config {device.config_file}",
        )


def _hears(device: Device, running: Serving) -> Finding:
    bundle = usable_served_bundle(device)
    found = f"the daemon hears with {running} on {running.engine}"
    if device.bundle_path is None and bundle is not None and _ids(bundle) != _ids(running):
        return warning(f"{found}, until it is restarted", _RESTART)
    return ok(found)


def _ids(heard_with: Bundle | Serving) -> tuple[str, str]:
    return heard_with.bundle_id, heard_with.embedding_id
