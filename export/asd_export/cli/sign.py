"""asd-export sign."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def sign(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle, usually NAME.asd.")],
    key: Annotated[Path, typer.Option(metavar="FILE", help="Your private key: `asd-edge keygen`.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write the signed bundle; in place by default.")
    ] = None,
) -> None:
    """Vouch for a bundle: devices that trust the key run it.

    It is checked first. Signatures of other keys stay: a factory and a plant may both sign one bundle.
    """
    from asd_edge.keys import read_private_key
    from asd_export.sign import sign_bundle

    made = sign_bundle(bundle, read_private_key(key), out or bundle)
    assert made.signatures is not None
    typer.echo(f"Wrote {out or bundle}, signed with {', '.join(made.signatures.keys)}.")
