"""asd-edge engines choose."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from asd_edge.cli.options import Config, Json
from asd_edge.words import counted

if TYPE_CHECKING:
    from asd_edge.bundle.bundle import Bundle
    from asd_edge.config import DeviceConfig
    from asd_edge.serving.accelerator import Accelerator
    from asd_edge.serving.choice import Choice


def choose(
    config: Config,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Take the fastest precision even if conditions are enrolled with another; enroll them again.",
        ),
    ] = False,
    seconds: Annotated[float, typer.Option(min=0.5, max=600.0, help="How long to measure, in all.")] = 10.0,
    verbose: Annotated[bool, typer.Option("--verbose", help="Say more of why TensorRT is not measured.")] = False,
    as_json: Json = False,
) -> None:
    """Measure every engine and precision of the bundle on this device, and keep which one serves.

    All are measured in turns, as many channels at once as the device has machines; what fails parity is out. The device
    file decides the precision unless it says precision = "auto"; then the fastest is taken, but not one that enrolled
    conditions do not belong to. The daemon takes the choice over when it is restarted. Stop it before, or it is
    measured too.
    """
    from asd_edge.bundle.trust import load_trusted
    from asd_edge.config import load_config
    from asd_edge.control import ping
    from asd_edge.errors import StateError
    from asd_edge.serving.choice import kept_choice
    from asd_edge.serving.choose import choose as measured
    from asd_edge.serving.measuring import measuring
    from asd_edge.serving.served import enrolled_with

    device = load_config(config)
    bundle = load_trusted(device.bundle)
    with suppress(StateError):
        ping(device.device.state_dir)
        typer.echo("asd-edge run is running and is measured too; stop it for better figures", err=True)
    enrolled = enrolled_with(device, bundle)
    accelerator = _accelerator(device, verbose=verbose)
    before = kept_choice(device.device.state_dir, bundle)
    with measuring(device.device.state_dir):
        choice = measured(device, bundle, enrolled=enrolled, accelerator=accelerator, forced=force, seconds=seconds)
    typer.echo(choice.model_dump_json(indent=1) if as_json else "\n".join(lines(choice, bundle)))
    if before is not None and before.forced and not choice.forced:
        typer.echo(f"The choice of {before.precision}, which was forced, is replaced", err=True)
    typer.echo("It holds from the next start of asd-edge run", err=True)
    again = sorted(name for precision, names in enrolled.items() if precision != choice.precision for name in names)
    if again:
        typer.echo(f"enroll again: {', '.join(again)}; what is enrolled of them belongs to another precision", err=True)


def lines(choice: Choice, bundle: Bundle) -> list[str]:
    """Return a choice as text."""
    from asd_edge.serving.decide import NAMED

    counts = (counted(choice.channels, "channel"), counted(choice.threads, "thread"))
    head = f"{bundle.manifest.name} on {choice.hardware.processor}, {counts[0]} at once, {counts[1]}"
    rows = [f"{'engine':12} {'precision':10} {'ms for a second of sound':>25} {'parity':>8}"]
    for candidate in choice.candidates:
        cost = parity = "–"
        if candidate.seconds is not None and candidate.deviation is not None:
            cost = f"{1e3 * candidate.seconds:.2f} ± {1e3 * candidate.deviation:.2f}"
        if candidate.parity is not None:
            parity = f"{candidate.parity:.0e}"
        out = f"  out: {candidate.out}" if candidate.out else ""
        rows.append(f"{candidate.engine:12} {candidate.precision:10} {cost:>25} {parity:>8}{out}")
    # The device file goes before --force.
    named = choice.precision_why == NAMED
    how = "name it as bundle.precision in the device file" if named else "take it with --force"
    return [
        head,
        "",
        *rows,
        "",
        f"serves: {choice.engine}/{choice.precision}",
        f"precision: {choice.precision_why}" + (" (forced)" if choice.forced else ""),
        *([f"instead: {choice.instead}; {how}"] if choice.instead else []),
    ]


def _accelerator(device: DeviceConfig, *, verbose: bool) -> Accelerator | None:
    from asd_edge.cli.owner import refuse_anothers_engines
    from asd_edge.engines.cache import EngineCache
    from asd_edge.errors import EngineError
    from asd_edge.serving.tensorrt import find_tensorrt_engines, installed_tensorrt

    if device.engine.tensorrt == "off":
        return None
    refuse_anothers_engines(EngineCache(device.engine_cache))
    try:
        return find_tensorrt_engines(device.engine_cache)
    except EngineError as error:
        why = "cannot be used (asd-edge doctor says why)" if installed_tensorrt() else "is not installed"
        typer.echo(f"onnxruntime alone is measured: TensorRT {why}.", err=True)
        if verbose:
            typer.echo(f"{error.what}: {error.found}", err=True)
        return None
