"""asd-edge demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the picture goes.")] = Path("demo.png"),
    speed: Annotated[
        float, typer.Option(min=1.0, max=40.0, help="How many times faster than real time the machine runs.")
    ] = 12.0,
    bundle: Annotated[
        str, typer.Option(metavar="FILE", help="The bundle to show; it must know gearbox/00 from the factory.")
    ] = "default",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The demo broker's port; 0 picks a free one.")] = 0,
) -> None:
    """Watch one machine's life in under a minute, through the same code that runs on a device.

    A broker is started, and a simulated gearbox whose sound `asd-edge run` listens to. It runs normally; its
    operating condition changes and false alarms rise; that condition is enrolled from three clips and they
    end; a fault develops and raises the alarm; the repair ends it. Then a picture of all that is drawn. The
    command fails if any of it did not happen.
    """
    from asd_edge.demo.show import run_demo

    run_demo(out, speed=speed, port=port, bundle=bundle)
