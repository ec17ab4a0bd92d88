"""What runs the network: the kept choice of engine and precision, what was measured for it, and builds that failed."""

from __future__ import annotations

from collections.abc import Iterator

from asd_edge.doctor.device import Device
from asd_edge.doctor.finding import Finding, ok, warning
from asd_edge.serving.choice import kept_choice
from asd_edge.serving.failures import FailureBook


def check_engine(device: Device) -> Iterator[Finding]:
    """Yield which precision serves and why, the figures of every way to run it, and which builds failed."""
    bundle, config = device.usable_bundle, device.config
    if bundle is None or config is None:
        return
    choice = kept_choice(config.device.state_dir, bundle)
    if choice is None:
        yield ok(f"{bundle.precision}; nothing was measured here yet (asd-edge engines choose)")
    elif choice.precision != bundle.precision:
        yield ok(f"{bundle.precision}; {choice.precision} was chosen before something else held it")
    else:
        instead = f"; {choice.instead}" if choice.instead else ""
        yield ok(f"{choice.engine}/{choice.precision}: {choice.precision_why}, {choice.measured_utc}{instead}")
    for candidate in () if choice is None else choice.candidates:
        yield ok(str(candidate), subject=candidate.name)
    for failure in FailureBook(config.engine_cache).failures().values():
        times = "once" if failure.attempts == 1 else f"{failure.attempts} times"
        yield warning(
            f"its build failed {times}, last {failure.time_utc}: {failure.reason}",
            'Run asd-edge engines build --config FILE, which says more, or set engine.tensorrt = "off".',
            subject=failure.what,
        )
