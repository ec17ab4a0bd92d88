"""asd-edge remote."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asd_edge.cli.options import Machine

if TYPE_CHECKING:
    from asd_edge.config import MqttTable

remote = typer.Typer(
    no_args_is_help=True,
    help="Enroll on a device from afar, over MQTT, with signed commands.\n\n"
    "The device must have `remote.enabled` and your key in its keys_file (docs/security.md). The connection's options"
    " come before the command: `asd-edge remote --host BROKER --device ID --key FILE propose ...`.",
)

Proposal = Annotated[str, typer.Option(metavar="ID", help="What `propose` called it.")]
Condition = Annotated[str, typer.Option(metavar="NAME", help="The condition, like rpm1200.")]


@dataclass(frozen=True, slots=True)
class Connection:
    """The options before the command."""

    mqtt: dict[str, Any]
    device: str | None
    key: Path | None

    def table(self) -> MqttTable:
        """Return them as a device file has them.

        Raises:
            RefusalError: they are impossible or do not fit together.
        """
        from pydantic import ValidationError

        from asd_edge.config import MqttTable
        from asd_edge.strict import refusal_of

        try:
            return MqttTable.model_validate(self.mqtt)
        except ValidationError as error:
            raise refusal_of(error, MqttTable) from None


@remote.callback()
def connection(
    context: typer.Context,
    host: Annotated[str, typer.Option(metavar="NAME", help="Name or address of the broker.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="Its TCP port; usually 8883 with --tls.")] = 1883,
    prefix: Annotated[str, typer.Option(metavar="TOPIC", help="First levels of the device's topics.")] = "asd-edge",
    device: Annotated[str | None, typer.Option(metavar="ID", help="The device's id.")] = None,
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="Your private key: `asd-edge keygen`.")] = None,
    username: Annotated[str | None, typer.Option(metavar="NAME", help="Your user name at the broker.")] = None,
    password_file: Annotated[Path | None, typer.Option(metavar="FILE", help="File with your password.")] = None,
    tls: Annotated[bool, typer.Option("--tls", help="Encrypt the connection and check the broker's name.")] = False,
    ca_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --tls: trusted certificates (PEM); else the system's.")
    ] = None,
    cert_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --tls: your certificate (PEM); needs --cert-key.")
    ] = None,
    cert_key: Annotated[Path | None, typer.Option(metavar="FILE", help="With --tls: your certificate's key.")] = None,
) -> None:
    """Take the options of the connection."""
    table = {"ca_file": ca_file, "cert_file": cert_file, "key_file": cert_key} if tls else None
    context.obj = Connection(
        {
            "host": host,
            "port": port,
            "protocol": "3.1.1",  # every broker speaks it
            "prefix": prefix,
            "username": username,
            "password_file": password_file,
            "tls": table,
        },
        device,
        key,
    )


@remote.command()
def propose(
    context: typer.Context,
    machine: Machine,
    condition: Condition,
    last: Annotated[int, typer.Option(metavar="SECONDS", min=10, max=600, help="How much of the last sound.")] = 60,
) -> None:
    """Make a condition out of what the device has just heard, and print everything to judge it by.

    It is not in force before `commit`.
    """
    _perform(context, action="propose", machine=machine, condition=condition, last_s=last)


@remote.command()
def commit(context: typer.Context, machine: Machine, proposal: Proposal) -> None:
    """Put a proposal in force."""
    _perform(context, action="commit", machine=machine, proposal=proposal)


@remote.command()
def discard(context: typer.Context, machine: Machine, proposal: Proposal) -> None:
    """Forget a proposal."""
    _perform(context, action="discard", machine=machine, proposal=proposal)


@remote.command()
def remove(context: typer.Context, machine: Machine, condition: Condition) -> None:
    """Forget a condition that is in force; it is normal no more."""
    _perform(context, action="remove", machine=machine, condition=condition)


@remote.command()
def rollback(context: typer.Context, machine: Machine) -> None:
    """Go back to the conditions before the last change."""
    _perform(context, action="rollback", machine=machine)


@remote.command()
def conditions(context: typer.Context, machine: Machine) -> None:
    """List the conditions in force."""
    _perform(context, action="conditions", machine=machine)


def _perform(context: typer.Context, **what: str | int) -> None:
    from asd_edge.errors import RemoteError
    from asd_edge.keys import read_private_key
    from asd_edge.remote.client import perform
    from asd_edge.remote.command import command_of
    from asd_edge.sinks.mqtt_exchange import exchange
    from asd_edge.sinks.topics import Topics
    from asd_edge.strict import RefusalError

    given: Connection = context.obj
    if given.device is None or given.key is None:
        raise typer.BadParameter("--device ID and --key FILE are needed, before the command")
    device, key = given.device, read_private_key(given.key)
    try:
        mqtt = given.table()
        command_of(device=device, nonce="0" * 64, **what)  # what is wrong with it is said before anybody is asked
    except RefusalError as refusal:
        raise RemoteError(
            "The command cannot be sent",
            found=refusal.found,
            expected=refusal.expected,
            remedy="Correct the options.",
        ) from None
    with exchange(mqtt, Topics(mqtt.prefix, device)) as ask:
        result = perform(ask, key, device, lambda nonce: command_of(device=device, nonce=nonce, **what))
    typer.echo(json.dumps(result, indent=2))
