"""Which engine and precision serve the bundle on this device, and what was measured. Nothing is measured here."""

from __future__ import annotations

import os
from collections.abc import Iterator

from asd_edge.bundle.bundle import Bundle
from asd_edge.doctor.device import Device
from asd_edge.doctor.disk import existing
from asd_edge.doctor.finding import Finding, ok, warning
from asd_edge.errors import AsdEdgeError
from asd_edge.serving.choice import Choice, kept_choice
from asd_edge.serving.failures import FailureBook
from asd_edge.serving.served import known_precision, seen_at

NOT_CHOSEN = "not chosen yet: the daemon measures at its start"
_AGAIN = "asd-edge engines choose --config FILE measures again, with the daemon stopped."


def served_bundle_of(device: Device) -> Bundle:
    """Return the bundle seen as the variant that this device serves; as it was loaded where none is chosen yet.

    Raises:
        AsdEdgeError: it cannot be used, is not trusted, or has no such variant.
    """
    bundle = device.bundle
    precision = None if device.config is None else known_precision(device.config, bundle)
    return bundle if precision is None or device.config is None else seen_at(bundle, precision, device.config)


def is_chosen(device: Device) -> bool:
    """Say whether it is known which variant of a usable bundle serves; with `auto` it is not before it was measured."""
    return device.config is None or known_precision(device.config, device.bundle) is not None


def usable_served_bundle(device: Device) -> Bundle | None:
    """Return the same; None where there is an error, which the checks `bundle` and `signature` tell."""
    try:
        return served_bundle_of(device)
    except AsdEdgeError:
        return None


def check_choice(device: Device) -> Iterator[Finding]:
    """Yield what serves, why, the numbers it was chosen by, and which engines could not be built."""
    bundle = usable_served_bundle(device)
    if bundle is None or device.config is None:
        return
    state_dir = device.config.device.state_dir
    if not os.access(existing(state_dir), os.X_OK):
        yield ok("unknown", unseen=f"the choice kept in {state_dir} (another user's; use sudo)")
        return
    choice = kept_choice(state_dir, bundle)
    if choice is None:
        yield ok(_unmeasured(device, bundle) if is_chosen(device) else NOT_CHOSEN)
    else:
        yield from _measured(choice)
    for failure in FailureBook(device.config.engine_cache).failures().values():
        times = "once" if failure.attempts == 1 else f"{failure.attempts} times"
        yield warning(
            f"it failed {times}, last {failure.time_utc}: {failure.reason}",
            'asd-edge engines build --config FILE tries again and says more; or set engine.tensorrt = "off".',
            subject=failure.what,
        )


def _unmeasured(device: Device, bundle: Bundle) -> str:
    named = device.config is not None and device.config.bundle.precision != "auto"
    why = "which the device file names" if named else "which conditions were enrolled with, or the only one there is"
    return f"none kept: {bundle.precision}, {why}"


def _measured(choice: Choice) -> Iterator[Finding]:
    held = f"; {choice.instead}" if choice.instead else ""
    yield ok(f"{choice.engine}/{choice.precision}, measured {choice.measured_utc}: {choice.precision_why}{held}")
    for candidate in choice.candidates:
        told = str(candidate).removeprefix(f"{candidate.name} ")
        yield warning(told, _AGAIN, subject=candidate.name) if candidate.out else ok(told, subject=candidate.name)
