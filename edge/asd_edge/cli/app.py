"""The commands of asd-edge, and what they all understand."""

from __future__ import annotations

import typer

from asd_edge import __version__
from asd_edge.cli import clips, conditions, engines, service, threshold
from asd_edge.cli.bench import bench
from asd_edge.cli.demo import demo
from asd_edge.cli.doctor import doctor
from asd_edge.cli.enroll import enroll
from asd_edge.cli.install import install
from asd_edge.cli.keygen import keygen
from asd_edge.cli.reload import reload
from asd_edge.cli.remote import remote
from asd_edge.cli.run import run
from asd_edge.cli.score import score
from asd_edge.cli.status import status
from asd_edge.cli.support_bundle import support_bundle
from asd_edge.cli.verify import verify
from asd_edge.cli.watch import watch

app = typer.Typer(
    name="asd-edge",
    help="Hear when a machine starts to sound wrong, and tell the plant over MQTT.\n\n"
    "See it work first: `asd-edge demo`. Then `score` a clip of your own, `enroll` how your machine sounds"
    " when it is healthy, and leave `run` running.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command()(score)
app.command()(enroll)
app.add_typer(conditions.app, name="conditions")
app.add_typer(threshold.app, name="threshold")
app.add_typer(clips.app, name="clips")
app.command()(run)
app.command()(status)
app.command()(watch)
app.command()(reload)
app.command()(support_bundle)
app.command()(verify)
app.command()(doctor)
app.command()(bench)
app.command()(install)
app.command()(keygen)
app.add_typer(engines.app, name="engines")
app.add_typer(service.app, name="service")
app.add_typer(remote, name="remote")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)
