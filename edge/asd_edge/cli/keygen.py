"""asd-edge keygen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def keygen(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The new private key; nobody else may read it.")],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What devices call the key's owner; else FILE's name.")
    ] = None,
) -> None:
    """Make a key to sign bundles or remote commands with, and print the line that lets a device trust it.

    The line, which FILE.pub has too, goes into the file that bundle.trusted_keys_file names, or remote.keys_file.
    Ed25519, in OpenSSH's format, without a passphrase: keep FILE where only you can read it. A key of
    `ssh-keygen -t ed25519 -N "" -C NAME` does as well.
    """
    from asd_edge.keys import public_file, write_private_key

    typer.echo(write_private_key(file, name or file.stem))
    typer.echo(
        f"Wrote {file}, the private key, and {public_file(file)}: this line, which goes into the device's file of "
        "trusted keys (bundle.trusted_keys_file, or remote.keys_file for remote commands).",
        err=True,
    )
