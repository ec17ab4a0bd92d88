"""Whether this device may run a bundle: the policy of `[bundle]` in its device file (docs/security.md)."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from asd_edge.bundle.archive import load_bundle, read_bundle
from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.signature import Signatures, signers
from asd_edge.config import BundleTable
from asd_edge.errors import BundleError

if TYPE_CHECKING:  # it loads cryptography, which a daemon without signatures to verify does not need
    from asd_edge.keys import AuthorisedKeys

_log = logging.getLogger(__name__)


class UntrustedError(BundleError):
    """A bundle that this device may not run, whatever is in it. Nothing but its container was looked into."""


def previous_of(path: Path) -> Path:
    """Return where the bundle is kept that was at `path` before the present one."""
    return path.with_name(f"{path.stem}.previous.asd")


def load_trusted(table: BundleTable) -> Bundle:
    """Return the bundle that a device file names, if the device may run it.

    Raises:
        UntrustedError: no trusted key signed it, and the file asks for that.
        BundleError: it cannot be used.
        ConfigError: the trusted keys cannot be used.
    """
    if table.path == "default":  # a part of this package, and as trusted as the code that asks
        return load_bundle(table.path)
    path = Path(table.path)
    bundle, _ = read_trusted(path, table, remedy=_mend(path))
    by = f"signed by {', '.join(bundle.signed_by)}" if bundle.signed_by else "not signed, which the device file allows"
    _log.info("The bundle %s, release %d, is %s", bundle.manifest.name, bundle.manifest.release, by)
    return bundle


def read_trusted(path: Path, table: BundleTable, *, remedy: str | None = None) -> tuple[Bundle, bytes]:
    """Return another bundle under the same policy, and its file; `remedy` as for `read_bundle`.

    Raises:
        UntrustedError, BundleError, ConfigError: as `load_trusted`.
    """
    keys = _trusted_keys(table)

    def vouched(signatures: Signatures | None, manifest: bytes) -> tuple[str, ...]:
        names = signers(signatures, manifest, keys)
        if not (names or table.allow_unsigned):
            raise _untrusted(path, signatures, keys, table.trusted_keys_file)
        return names

    return read_bundle(path, vouched, remedy=remedy)


def _trusted_keys(table: BundleTable) -> AuthorisedKeys | None:
    if table.trusted_keys_file is None:
        return None
    from asd_edge.keys import read_authorised_keys

    return read_authorised_keys(table.trusted_keys_file)


def _mend(path: Path) -> str:
    """Return how a device gets the bundle back that its device file names."""
    remedy = "Install it: asd-edge install BUNDLE --config FILE"
    if os.access(previous_of(path), os.R_OK):
        remedy += ", or go back to the one before: asd-edge install --previous --config FILE"
    return f"{remedy}."


def _untrusted(
    path: Path, signatures: Signatures | None, keys: AuthorisedKeys | None, keys_file: Path | None
) -> UntrustedError:
    said = ", ".join(signatures.keys) if signatures is not None else ""
    if keys is None:
        remedy = "Name the file of public keys with trusted_keys_file under [bundle]"
        if not said:
            remedy += ", and sign the bundle: asd-export sign BUNDLE --key FILE"
    elif said:
        remedy = f"Add the signer's line to {keys_file} if you trust it, or sign it with the key of {_one_of(keys)}"
    else:
        remedy = f"Sign it with the key of {_one_of(keys)}: asd-export sign BUNDLE --key FILE"
    return UntrustedError(
        f"The bundle {path} is not signed by a key that this device trusts",
        found=f"signatures of {said} alone" if said else "no signature",
        expected=_one_of(keys) if keys else "one of a key in bundle.trusted_keys_file, not set yet",
        remedy=f"{remedy}; docs/security.md says how. Only if it is your own and nobody else can write that file: "
        "add the line `allow_unsigned = true` under [bundle].",
    )


def _one_of(keys: AuthorisedKeys) -> str:
    return f"one of {', '.join(keys.names)}"
