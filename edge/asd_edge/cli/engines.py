"""asd-edge engines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asd_edge.cli.choose import choose
from asd_edge.cli.options import Json

if TYPE_CHECKING:
    from asd_edge.bundle.bundle import Bundle
    from asd_edge.engines.build import BuiltEngine
    from asd_edge.engines.cache import EngineCache, Entry

app = typer.Typer(
    help="Build a bundle's graphs into TensorRT engines ahead of time, look at those that are kept, remove them.\n\n"
    "The daemon builds what it needs by itself, beside the sound; this is for an installation that should not wait, and"
    " for looking into one that does not build. An engine fits one GPU and one version of TensorRT: build it on the"
    " device (docs/tensorrt.md).",
    no_args_is_help=True,
)

Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="The device's configuration: its bundle, its folder; this or --cache."
    ),
]
Folder = Annotated[
    Path | None, typer.Option("--cache", metavar="DIR", help="Folder of the engines; without it, that of --config.")
]


app.command()(choose)


@app.command()
def build(
    config: Config = None,
    bundle: Annotated[
        str | None, typer.Option(metavar="FILE", help="A bundle instead of the device's; needs --cache or --config.")
    ] = None,
    precision: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="fp32, fp16 or int8, again for more; all without it.")
    ] = None,
    cache: Folder = None,
    as_json: Json = False,
) -> None:
    """Build what is not built yet: an engine for every graph of the kind that serves, in each precision.

    It tells of each graph what happened, and ends with 1 if one of them could not be built; the others are kept.
    --config or --cache is needed: the device's folder of engines, or another.
    """
    from asd_edge.engines.build import build_engines, find_builder
    from asd_edge.serving.failures import FailureBook
    from asd_edge.serving.tensorrt import TensorRTEngines

    variants = _variants(_opened(config, bundle), precision)
    store = _cache(config, cache)
    builder = find_builder()
    if not as_json:
        gpu = "all GPUs that it knows" if builder.gpu is None else builder.gpu.name
        typer.echo(f"{builder.tensorrt.flavour} {builder.tensorrt.version} builds for {gpu}")
    told: list[dict[str, Any]] = []
    for variant in variants:
        graphs = {name: variant.graphs[name] for name in variant.variant.members}
        for built in build_engines(graphs, variant.precision, store, builder=builder):
            told.append(_built(built))
            if not as_json:
                typer.echo(_line(built))
        if not any(row["error"] for row in told[-len(graphs) :]):  # the daemon tries them again, whatever failed before
            FailureBook(store.folder).forget(TensorRTEngines(builder, store).key(variant))
    if as_json:
        typer.echo(json.dumps(told, indent=2))
    if any(row["error"] for row in told):
        raise typer.Exit(1)


@app.command("list")
def list_(config: Config = None, cache: Folder = None, as_json: Json = False) -> None:
    """List the engines that are kept, the oldest first, and say of one that would not be loaded why not.

    --config or --cache is needed: the device's folder of engines, or another.
    """
    store = _cache(config, cache)
    entries = store.entries()
    if as_json:
        typer.echo(json.dumps([_row(entry) for entry in entries], indent=2))
        return
    for entry in entries:
        typer.echo(_entry(entry))
    total = sum(entry.size for entry in entries)
    typer.echo(f"{len(entries)} engine{'' if len(entries) == 1 else 's'} in {store.folder}, {total / 1e6:.1f} MB")


@app.command()
def clean(config: Config = None, cache: Folder = None, as_json: Json = False) -> None:
    """Remove all engines that are kept, and forget which failed. A daemon that runs goes on with what it has loaded."""
    from asd_edge.serving.failures import FailureBook

    store = _cache(config, cache)
    entries = store.clean()
    FailureBook(store.folder).clear()
    if as_json:
        typer.echo(json.dumps([_row(entry) for entry in entries], indent=2))
    else:
        freed = sum(entry.size for entry in entries)
        plural = "" if len(entries) == 1 else "s"
        typer.echo(f"Removed {len(entries)} engine{plural} from {store.folder}, {freed / 1e6:.1f} MB", err=True)


def _cache(config: Path | None, folder: Path | None) -> EngineCache:
    from asd_edge.config import load_config
    from asd_edge.engines.cache import EngineCache
    from asd_edge.errors import ConfigError

    if folder is None and config is None:
        raise ConfigError(
            "It is not clear where engines are kept",
            found="neither a device file nor a folder",
            expected="--config FILE or --cache DIR",
            remedy="Give one of the two; asd-edge engines --help explains them.",
        )
    if folder is None:
        assert config is not None
        folder = load_config(config).engine_cache
    return EngineCache(folder)


def _opened(config: Path | None, bundle: str | None) -> Bundle:
    from asd_edge.bundle.archive import load_bundle
    from asd_edge.bundle.trust import load_trusted
    from asd_edge.config import load_config

    if bundle is None and config is not None:
        return load_trusted(load_config(config).bundle)
    return load_bundle(bundle or "default")


def _variants(bundle: Bundle, wanted: list[str] | None) -> list[Bundle]:
    """Return the bundle seen in each precision of the kind that serves, or in those that are wanted."""
    from asd_edge.bundle.variants import PRECISIONS
    from asd_edge.errors import ConfigError

    unknown = sorted(set(wanted or ()) - set(PRECISIONS))
    if unknown:
        raise ConfigError(
            "There is no such precision",
            found=", ".join(unknown),
            expected=f"one of {', '.join(PRECISIONS)}",
            remedy="Correct --precision.",
        )
    there = [variant.precision for variant in bundle.manifest.variants if variant.kind == bundle.kind]
    chosen = there if not wanted else [name for name in PRECISIONS if name in wanted]
    return [bundle.at(name) for name in chosen]


def _line(built: BuiltEngine) -> str:
    if built.error is not None:
        return f"  {built.member:20} not built\n{built.error}"
    assert built.engine is not None
    size = f"{len(built.engine) / 1e6:.1f} MB"
    return f"  {built.member:20} {size:>8}  " + (
        "there already" if built.from_cache else f"built, {built.seconds:.1f} s"
    )


def _built(built: BuiltEngine) -> dict[str, Any]:
    error = built.error
    return {
        "member": built.member,
        "from_cache": built.from_cache,
        "seconds": round(built.seconds, 3),
        "size": None if built.engine is None else len(built.engine),
        "error": None
        if error is None
        else {"what": error.what, "found": error.found, "expected": error.expected, "remedy": error.remedy},
    }


def _entry(entry: Entry) -> str:
    header = entry.header
    if header is None:
        return f"{entry.path.name}: not usable: {entry.problem}"
    key = header.key
    gpu = "all GPUs that it knows" if key.gpu is None else f"{key.gpu} ({key.compute_capability})"
    return (
        f"{header.member:20} {entry.size / 1e6:6.1f} MB  {key.flavour} {key.version} for {gpu}, "
        f"built {header.built_utc} in {header.build_s:.1f} s"
    )


def _row(entry: Entry) -> dict[str, Any]:
    header = None if entry.header is None else entry.header.model_dump(mode="json")
    return {"path": str(entry.path), "size": entry.size, "header": header, "problem": entry.problem}
