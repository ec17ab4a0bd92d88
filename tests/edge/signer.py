"""Whoever signs bundles: an independent writer of signature.json, from docs/bundle.md alone."""

from __future__ import annotations

import base64
import json
import zipfile
from pathlib import Path
from typing import Any

from asd_edge.bundle.container import pack
from tests.edge.remote_operator import Operator

DOMAIN = b"asd-edge bundle v1\0"


def members_of(bundle: Path) -> dict[str, bytes]:
    """The members of a bundle, as any zip tool reads them."""
    with zipfile.ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_members(bundle: Path, members: dict[str, bytes]) -> Path:
    """Write a bundle of these members, whatever is in them."""
    bundle.write_bytes(b"".join(piece for _, piece in pack(members)))
    return bundle


def signature_of(signer: Operator, signed: bytes) -> dict[str, str]:
    """An entry of signature.json over these bytes."""
    return {"key": signer.fingerprint, "signature": base64.b64encode(signer.key.sign(signed)).decode()}


def with_signatures(bundle: Path, signatures: list[dict[str, str]], **changes: Any) -> Path:
    """Write these signatures into a bundle."""
    content = {"format": "asd-edge-bundle-signature", "version": 1, "signatures": signatures}
    member = json.dumps(content | changes).encode()
    return write_members(bundle, members_of(bundle) | {"signature.json": member})


def sign(bundle: Path, *signers: Operator) -> Path:
    """Sign a bundle in place."""
    manifest = members_of(bundle)["manifest.json"]
    return with_signatures(bundle, [signature_of(signer, DOMAIN + manifest) for signer in signers])


def trust(path: Path, *signers: Operator) -> Path:
    """Write a file of public keys."""
    path.write_text("".join(f"{signer.line}\n" for signer in signers))
    path.chmod(0o644)
    return path
