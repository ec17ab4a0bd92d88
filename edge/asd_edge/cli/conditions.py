"""asd-edge conditions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asd_edge.cli.options import Author, Config, Json, Machine

if TYPE_CHECKING:
    from asd_edge.bundle.bundle import Bundle
    from asd_edge.bundle.site import EnrolledCondition, SiteState
    from asd_edge.bundle.site_store import SiteStore

app = typer.Typer(
    help="Look at the operating conditions enrolled on this device, take them back, carry them to another device.\n\n"
    "Every change makes a new revision and keeps the one before. A running daemon follows within a second.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The condition's name.")]
KeepOne = Annotated[
    bool, typer.Option("--keep-one", help="Refuse if nothing would be known of the machine then; so it is from afar.")
]


@app.command("list")
def list_(
    config: Config,
    machine: Annotated[
        str | None, typer.Option(metavar="ID", help="A machine's id in the configuration; all without it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List what is enrolled, and what made each revision that is still kept.

    With --json, one object for each machine, in a list. It says how many clips a condition was made from; `show`
    has their names, and how the threshold was found.
    """
    from asd_edge.bundle.site_store import SiteStore
    from asd_edge.cli.opened import embedding_in_use
    from asd_edge.config import load_config

    device = load_config(config)
    chosen = device.machines if machine is None else (device.machine(machine),)
    stores = [SiteStore(device.device.state_dir, known.id) for known in chosen]
    factory = {known.id: known.factory for known in chosen}
    if as_json:
        typer.echo(json.dumps([_row(store) for store in stores], indent=2))
        return
    in_use = embedding_in_use(device)
    for store in stores:
        _list(store, in_use, factory[store.machine])


@app.command()
def show(config: Config, machine: Machine, name: Name, as_json: Json = False) -> None:
    """Show where a condition comes from: its clips, threshold and who enrolled it when."""
    from asd_edge.cli.opened import open_machine_of
    from asd_edge.enrollment.exchange import condition_of

    store = open_machine_of(config, machine).store
    condition = condition_of(store, store.load(), name)
    if as_json:
        typer.echo(json.dumps(_plain(condition), indent=2))
        return
    learned = ", ".join(f"{what} {list(array.shape)}" for what, array in condition.arrays.items())
    lines = [
        f"{machine}: {condition.name}",
        f"  enrolled {condition.enrolled_utc} by {condition.author}"
        + (", who vouched for it although it sounded anomalous" if condition.forced else ""),
        f"  bundle {condition.bundle_id[:12]}; {learned} learned from {condition.segments} segments",
        f"  threshold {condition.threshold:.4f} ({condition.calibration.method})",
        *(f"  clip {clip.name}  sha256 {clip.sha256[:12]}" for clip in condition.clips),
    ]
    typer.echo("\n".join(lines))


@app.command()
def remove(
    config: Config,
    machine: Machine,
    name: Name,
    keep_one: KeepOne = False,
    author: Author = None,
    as_json: Json = False,
) -> None:
    """Forget a condition: sound like it is normal no more."""
    from asd_edge.cli.opened import open_machine_of, who
    from asd_edge.enrollment.commit import change_of, check_something_known
    from asd_edge.enrollment.exchange import condition_of

    opened = open_machine_of(config, machine)
    store = opened.store
    with store.exclusive(who(author)):
        state = store.load()
        condition_of(store, state, name)
        without = state.without_condition(name)
        if keep_one:
            check_something_known(opened.machine, opened.bundle(), without)
        after = store.save(without, change_of("remove", name, who(author)))
    _changed(machine, f"condition {name} removed", after, as_json)


@app.command()
def rollback(
    config: Config,
    machine: Machine,
    to: Annotated[
        int | None, typer.Option(metavar="REVISION", min=0, help="Which revision; the one before without it.")
    ] = None,
    keep_one: KeepOne = False,
    author: Author = None,
    as_json: Json = False,
) -> None:
    """Go back to an earlier revision of the machine's conditions; that is a new revision, and can be taken back too.

    Where the state file is damaged or gone, the newest revision that is whole takes its place; what was damaged stays
    as site.json.damaged.
    """
    from asd_edge.cli.opened import open_machine_of, who
    from asd_edge.enrollment.commit import check_something_known, roll_back
    from asd_edge.serving.served import served_after

    opened = open_machine_of(config, machine)
    bundle = opened.bundle()

    def served_with(after: SiteState) -> Bundle:
        return served_after(opened.device, bundle, machine, after)

    def check(after: SiteState) -> None:
        if keep_one:
            check_something_known(opened.machine, served_with(after), after)
        if after.conditions or after.factory_thresholds:  # what is empty fits every bundle
            opened.check_heard_with(served_with(after), anyhow=True)

    with opened.store.exclusive(who(author)):
        number, after = roll_back(opened.store, bundle, to, author=who(author), check=check, served_with=served_with)
    _changed(machine, f"back to what was known in revision {number}", after, as_json)


@app.command("export")
def export_(
    config: Config,
    machine: Machine,
    out: Annotated[Path, typer.Option(metavar="FILE", help="File to write.")],
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME...", help="Which conditions; all without a name.")
    ] = None,
) -> None:
    """Write conditions to a file, for another device that runs the same bundle, or as a backup."""
    from asd_edge.cli.opened import open_machine_of
    from asd_edge.enrollment.exchange import export_conditions

    exported = export_conditions(open_machine_of(config, machine).store, names or [], out)
    typer.echo(f"Wrote {out}: {', '.join(condition.name for condition in exported.conditions)}", err=True)


@app.command("import")
def import_(
    config: Config,
    machine: Machine,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `conditions export` wrote.")],
    replace: Annotated[bool, typer.Option("--replace", help="Replace conditions of the same names.")] = False,
    other_machine: Annotated[
        bool, typer.Option("--other-machine", help="Take conditions of another machine: a twin, or a new name.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Import without asking.")] = False,
    author: Author = None,
    as_json: Json = False,
) -> None:
    """Take over conditions from a file, all or none of them.

    Centres, thresholds and idle levels belong to a bundle, a microphone and its place: what the last day would have
    been with them is shown first.
    """
    from asd_edge.cli.opened import agreed, open_machine_of, who
    from asd_edge.enrollment.exchange import commit_import, propose_import, read_exported

    opened = open_machine_of(config, machine)
    exported = read_exported(file)
    with opened.store.exclusive(who(author)):
        bundle = opened.bundle()
        opened.check_heard_with(bundle, anyhow=True)
        imported = propose_import(
            opened.machine,
            bundle,
            exported,
            replace=replace,
            other_machine=other_machine,
            history=opened.history(bundle, hours=24.0),
        )
        before, after = imported.windows
        effect = f"{len(imported.vanish)} alarms would vanish and {len(imported.appear)} appear"
        scores = f"windows with a score: {before} before, {after} after"
        names = ", ".join(imported.names)
        typer.echo(f"{machine}: {names} of {exported.machine}. In the last day {effect}; {scores}", err=True)
        if not yes and (as_json or not agreed("Import")):
            typer.echo("Nothing has changed; add --yes to import.", err=True)
            raise typer.Exit(1)
        state = commit_import(opened.store, bundle, imported, author=who(author))
    _changed(machine, f"{len(imported.names)} conditions imported", state, as_json)


def _changed(machine: str, what: str, after: SiteState, as_json: bool) -> None:
    if as_json:
        names = [condition.name for condition in after.conditions]
        typer.echo(json.dumps({"machine": machine, "revision": after.revision, "conditions": names}, indent=2))
    else:
        left = ", ".join(condition.name for condition in after.conditions[:6]) or "nothing enrolled any more"
        typer.echo(f"{machine}: {what} (revision {after.revision}); known now: {left}", err=True)


def _row(store: SiteStore) -> dict[str, Any]:
    state = store.load()
    return {
        "machine": store.machine,
        "revision": state.revision,
        "change": None if state.change is None else state.change.model_dump(mode="json"),
        "conditions": [_short(condition) for condition in state.conditions],
        "factory_thresholds": [
            threshold.model_dump(mode="json", exclude={"calibration"}) for threshold in state.factory_thresholds
        ],
        "revisions": store.revisions(),
    }


def _short(condition: EnrolledCondition) -> dict[str, Any]:
    """Return one of many conditions: a list from afar must fit into one message."""
    row = condition.model_dump(mode="json", exclude={"arrays", "calibration", "clips"})
    return row | {"clips": len(condition.clips)}


def _plain(condition: EnrolledCondition) -> dict[str, Any]:
    return condition.model_dump(mode="json", exclude={"arrays"})


def _list(store: SiteStore, in_use: str | None, factory: str | None) -> None:
    state = store.load()
    idle = in_use is not None and state.embedding_id != in_use
    mark = " (of another bundle or precision: not in use)" if idle else ""
    if not state.conditions:
        else_known = f"the factory's {factory} is in force" if factory else "see asd-edge enroll --help"
        typer.echo(f"{store.machine}: nothing enrolled; {else_known}")
    for condition in state.conditions:
        clips = len(condition.clips)
        typer.echo(
            f"{store.machine}: {condition.name}: threshold {condition.threshold:.4f}, "
            f"{clips} clip{'s' if clips != 1 else ''}, enrolled {condition.enrolled_utc} by {condition.author}{mark}"
        )
    for threshold in state.factory_thresholds:
        typer.echo(f"{store.machine}: {threshold.name}: threshold {threshold.threshold:.4f}, set on this device{mark}")
    kept = [*(store.load_revision(number) for number in store.revisions()), state]
    for revision in kept:
        if revision.change is not None:
            change = revision.change
            names = ", ".join(condition.name for condition in revision.conditions[:6]) or "nothing"
            more = " …" if len(revision.conditions) > 6 else ""
            typer.echo(
                f"  revision {revision.revision}  {change.time_utc}  {change.action} {change.subject} by "
                f"{change.author}; then known: {names}{more}"
            )
