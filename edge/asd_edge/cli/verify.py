"""asd-edge verify."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_edge.cli.options import Json

if TYPE_CHECKING:
    from asd_edge.bundle.bundle import Bundle
    from asd_edge.config import DeviceConfig
    from asd_edge.serving.verify import Verdict


def verify(
    file: Annotated[str | None, typer.Argument(metavar="FILE", help="The bundle to verify, as with --bundle.")] = None,
    bundle: Annotated[
        str | None, typer.Option(metavar="FILE", help="The bundle to verify; without it, the one that came along.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Verify the bundle that this device file names, and the engines built of it."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run the golden segments in a bundle through each of its graphs on this machine: the parity gate.

    All run on onnxruntime. With --config those that serve run on TensorRT too, where their engines are built. What a
    graph makes of them must be what the trained network made of them (int8: what the graph itself made where it
    was exported). Ends with 1 if one is not true; that one must not serve here.
    """
    from asd_edge.bundle.archive import load_bundle
    from asd_edge.bundle.trust import load_trusted
    from asd_edge.config import load_config
    from asd_edge.errors import ConfigError
    from asd_edge.serving.verify import verify as held

    given = {"FILE": file, "--bundle": bundle, "--config": config}
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise ConfigError(
            "It is not clear which bundle to verify",
            found=" and ".join(named),
            expected="one of them",
            remedy="Leave one out.",
        )
    device = None if config is None else load_config(config)
    whole = load_bundle(file or bundle or "default") if device is None else load_trusted(device.bundle)
    verdicts = [held(whole.at(variant.precision, variant.kind)) for variant in whole.manifest.variants]
    missing: list[str] = []
    for outcome in [] if device is None else _on_engines(whole, device):
        if isinstance(outcome, str):
            missing.append(outcome)
        else:
            verdicts.append(outcome)
    if as_json:
        typer.echo(json.dumps([verdict.to_json() for verdict in verdicts], indent=1))
    else:
        typer.echo(f"{whole.manifest.name}, release {whole.manifest.release}")
        for verdict in verdicts:
            typer.echo(f"  {verdict}")
    for line in missing:
        typer.echo(f"  {line}", err=as_json)
    if not all(verdict.passed for verdict in verdicts):
        raise typer.Exit(1)


def _on_engines(bundle: Bundle, device: DeviceConfig) -> Iterator[Verdict | str]:
    """Yield a verdict for each engine that is built, and why there is no other."""
    from asd_edge.cli.owner import refuse_anothers_engines
    from asd_edge.engines.cache import EngineCache
    from asd_edge.errors import EngineError, StateError
    from asd_edge.serving.tensorrt import find_tensorrt_engines
    from asd_edge.serving.verify import verify_engines

    if device.engine.tensorrt == "off":
        yield "tensorrt is not used: engine.tensorrt is off"
        return
    try:
        accelerator = find_tensorrt_engines(device.engine_cache)
        refuse_anothers_engines(EngineCache(device.engine_cache))
    except StateError as error:
        yield f"tensorrt is not verified. {error.what}. {error.remedy}"
        return
    except EngineError as error:
        yield f"tensorrt cannot be used. {error.what}: {error.found}"
        return
    yield from verify_engines(bundle, accelerator)
