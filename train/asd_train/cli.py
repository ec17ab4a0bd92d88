"""The asd-train command: simulate, fit, imprint, evaluate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_edge.terminal import missing_extra, run_command

from .progress import Progress

if TYPE_CHECKING:
    from asd_edge.scoring.backends.backend import Backend

    from .evaluate import Evaluation

app = typer.Typer(
    help="Train and evaluate the networks that hear machines.", no_args_is_help=True, add_completion=False
)

Data = Annotated[
    list[str],
    typer.Option(
        "--data",
        help="Data set in a DCASE layout, DIR or PREFIX=DIR, or clips of one machine, MACHINE/SECTION=DIR; "
        "may be given several times, all are taken together (docs/data.md).",
    ),
]


@app.command()
def simulate(
    folder: Annotated[Path, typer.Argument(help="New folder for the data set.")],
    machines: Annotated[
        list[str] | None, typer.Option("--machine", help="Only this kind of machine; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same clips.")] = 0,
    train_source: Annotated[int, typer.Option(help="Normal training clips a machine, source domain.")] = 90,
    train_target: Annotated[int, typer.Option(help="Normal training clips a machine, target domain.")] = 10,
    test: Annotated[int, typer.Option(help="Test clips a machine for each domain and label.")] = 25,
) -> None:
    """Write a data set of simulated machines: normal sound to train on, normal and faulty sound to test with."""
    from asd_edge.simulator import MACHINES

    from .simulate import simulate_dataset

    simulate_dataset(
        folder,
        machines=tuple(machines or MACHINES),
        train_source=train_source,
        train_target=train_target,
        test_per_cell=test,
        seed=seed,
        progress=Progress(),
    )
    typer.echo(f"Wrote {folder}. Next: asd-train fit --recipe tf_resnet --fast --data {folder} --out RUN")


@app.command()
def fit(
    data: Data,
    out: Annotated[Path, typer.Option(help="New folder for the run.")],
    recipe: Annotated[str, typer.Option(help="Name of a recipe, or a TOML file.")] = "tf_resnet",
    fast: Annotated[
        bool, typer.Option("--fast", help="The recipe's preset for a CPU: minutes instead of hours.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of weights, order, crops and mixup.")] = 0,
    channel: Annotated[int | None, typer.Option(help="Which channel of multi-channel clips to hear.")] = None,
) -> None:
    """Train a network on the normal sound of all machines given."""
    from .data.dcase import read_datasets
    from .fit import fit as fit_run
    from .recipe import load_recipe
    from .run import check_free, save_run

    check_free(out)
    settings = load_recipe(recipe, fast=fast)
    run = fit_run(
        settings,
        read_datasets(data),
        datasets=data,
        seed=seed,
        channel=channel,
        progress=Progress(),
        report=lambda epoch, loss: typer.echo(f"epoch {epoch}/{settings.training.epochs}  loss {loss:.4f}", err=True),
    )
    save_run(run, out)
    typer.echo(f"Wrote {out}. Next: asd-train evaluate --run {out} --data {data[0]}")


@app.command()
def imprint(
    run: Annotated[Path, typer.Option(help="Folder of a training run.")],
    clips: Annotated[Path, typer.Option(help="Folder of normal clips: one class, or a sub-folder for each class.")],
    machine: Annotated[str, typer.Option(help="Whose clips they are, MACHINE/SECTION, for example fan/00.")],
    out: Annotated[Path, typer.Option(help="New folder for the new run.")],
    tune: Annotated[
        bool, typer.Option("--finetune", help="Adapt the network to the clips; without it no weight changes.")
    ] = False,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", help="The run's data sets where they lie now; by default where they lay."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the fine-tuning.")] = 0,
) -> None:
    """Take a few clips of a new condition into a run, so that its bundle has their centre."""
    from .imprint import imprint_run
    from .run import check_free, load_run, save_run

    check_free(out)
    trained = load_run(run)
    made = imprint_run(
        trained,
        clips,
        machine,
        datasets=data or trained.datasets,
        tune=tune,
        seed=seed,
        progress=Progress(),
        report=lambda iteration, loss: typer.echo(f"iteration {iteration}  loss {loss:.4f}", err=True),
    )
    save_run(made, out)
    if tune and made.finetuned[-1].source_classes:
        typer.echo("A single target class: the centres of the source classes joined the loss (an extension of ours).")
    typer.echo(f"Wrote {out}. Next: asd-export bundle --run {out} --out {out}.asd")


@app.command()
def evaluate(
    data: Data,
    run: Annotated[Path | None, typer.Option(help="Folder of a training run ...")] = None,
    bundle: Annotated[str | None, typer.Option(help="... or a bundle, scored as the device does.")] = None,
    channel: Annotated[
        int | None, typer.Option(help="With --bundle: which channel of multi-channel clips to hear.")
    ] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            "--backend",
            help="With --run: compare this backend, or `all`; may be repeated. Names and parameters: docs/backends.md.",
        ),
    ] = None,
    ground_truth: Annotated[
        list[Path] | None,
        typer.Option(
            "--ground-truth",
            help="Folder of the organisers' evaluator, for an evaluation set whose names hide the labels; "
            "may be repeated.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Score the test clips; print AUC, pAUC, the official DCASE score, and false alarms and detections."""
    from asd_edge.bundle.archive import load_bundle

    from .data.dcase import read_datasets
    from .embedder import torch_pipeline
    from .evaluate import compare_backends, evaluate_bundle, evaluate_run
    from .run import load_run

    if (run is None) == (bundle is None):
        raise typer.BadParameter("give either --run or --bundle")
    if backend and run is None:
        raise typer.BadParameter("a bundle has one backend; --backend goes with --run")
    chosen = _backends(backend or [])
    trained = None if run is None else load_run(run)
    clips = read_datasets(data, ground_truth=ground_truth or ())
    if trained is None:
        result = evaluate_bundle(load_bundle(bundle or "default"), clips, channel=channel, progress=Progress())
    elif chosen:
        compared = compare_backends(trained, torch_pipeline(trained), clips, chosen, progress=Progress())
        plain = {name: result.to_json() for name, result in compared.items()}
        typer.echo(json.dumps(plain, indent=1) if as_json else _comparison(compared))
        return
    else:
        result = evaluate_run(trained, torch_pipeline(trained), clips, progress=Progress())
    typer.echo(json.dumps(result.to_json(), indent=1) if as_json else _table(result))


@app.command()
def recipes() -> None:
    """List the recipes that come with asd-train."""
    from .recipe import recipe_names

    for name in recipe_names():
        typer.echo(name)


def _backends(names: list[str]) -> dict[str, Backend]:
    from asd_edge.scoring.backends.kinds import BACKENDS

    unknown = [name for name in names if name not in BACKENDS and name != "all"]
    if unknown:
        raise typer.BadParameter(f"no backend {', '.join(unknown)}; there are {', '.join(BACKENDS)} and all")
    return {name: backend for name, backend in BACKENDS.items() if name in names or "all" in names}


def _comparison(results: Mapping[str, Evaluation]) -> str:
    """One line a backend and machine, and the official score of all machines under each backend."""
    wide = max(map(len, results))
    heads = f"{'AUC_s':>6} {'AUC_t':>6} {'pAUC':>6} {'hmean':>6} {'false alarms s, t':>18} {'detected s, t':>16}"
    lines = [f"{'backend':{wide}} {'machine':16} {heads}"]
    for name, result in results.items():
        for m in result.machines:
            figures = f"{m.auc_source:6.3f} {m.auc_target:6.3f} {m.pauc:6.3f} {m.official:6.3f}"
            alarms = f"{m.source.false_alarm_rate:10.1%} {m.target.false_alarm_rate:7.1%}"
            detected = f"{m.source.detection_rate:8.1%} {m.target.detection_rate:7.1%}"
            lines.append(f"{name:{wide}} {f'{m.machine}/{m.section}':16} {figures} {alarms} {detected}")
        lines.append(f"{name:{wide}} {'official score':37} {result.official:6.3f}")
    return "\n".join(lines)


def _table(result: Evaluation) -> str:
    lines = [
        f"{'':16} {'within the domain: AUC / pAUC / false alarms / detected':59}   normals against all anomalies",
        f"{'machine':16} {'source':>29} {'target':>29}   {'AUC_s':>6} {'AUC_t':>6} {'pAUC':>6} {'hmean':>6}",
    ]
    for m in result.machines:
        domains = " ".join(
            f"{d.auc:8.3f} {d.pauc:6.3f} {d.false_alarm_rate:6.1%} {d.detection_rate:6.1%}"
            for d in (m.source, m.target)
        )
        unit = f"{m.machine}/{m.section}"
        lines.append(f"{unit:16} {domains}   {m.auc_source:6.3f} {m.auc_target:6.3f} {m.pauc:6.3f} {m.official:6.3f}")
    lines.append(f"official score (harmonic mean, 2022 and later): {result.official:.3f}")
    return "\n".join(lines)


def main() -> None:
    """Run the asd-train command."""
    try:
        import torch  # noqa: F401 — asked here so that a base install gets a clear answer
    except ModuleNotFoundError:
        missing_extra("asd-train", "train", "torch")
    run_command(app)
