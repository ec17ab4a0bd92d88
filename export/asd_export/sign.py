"""Signing: a bundle with one more signature is another file with the same content."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from asd_edge.atomic import atomic_write
from asd_edge.bundle.archive import load_bundle, read_bundle
from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.container import pack, unpack
from asd_edge.bundle.signature import MEMBER, signed
from asd_edge.errors import BundleError
from asd_edge.strict import RefusalError


def sign_bundle(path: Path, key: Ed25519PrivateKey, out: Path) -> Bundle:
    """Check the bundle at `path`, and write it to `out` with the signature of `key` added or made anew.

    Returns:
        the bundle at `out`. Its id is another one, its `embedding_id` is not: what was enrolled with it stays.

    Raises:
        BundleError: the bundle cannot be used or has no room for a signature, or `out` cannot be written.
    """
    bundle, archive = read_bundle(path)
    members = unpack(archive)
    try:
        members[MEMBER] = signed(members["manifest.json"], key, beside=bundle.signatures).to_json()
        with atomic_write(out) as stream:
            stream.writelines(piece for _, piece in pack(members))
    except RefusalError as refusal:
        raise BundleError(
            f"Cannot sign the bundle {path}",
            found=refusal.found,
            expected=refusal.expected,
            remedy=refusal.remedy or "Export the bundle again.",
        ) from None
    except OSError as error:
        raise BundleError(
            f"Cannot write the signed bundle {out}",
            found=error.strerror or str(error),
            expected="a folder that exists and can be written",
            remedy="Make the folder, or make room on the disk, and sign again.",
        ) from error
    return load_bundle(out)
