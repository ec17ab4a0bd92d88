"""Whether this device may run a bundle: the policy of `[bundle]` in its device file (docs/security.md)."""

from __future__ import annotations

import logging
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


def load_trusted(table: BundleTable) -> Bundle:
    """Return the bundle that a device file names, if the device may run it.

    Raises:
        UntrustedError: no trusted key signed it, and the file asks for that.
        BundleError: it cannot be used.
        ConfigError: the trusted keys cannot be used.
    """
    if table.path == "default":  # a part of this package, and as trusted as the code that asks
        return load_bundle(table.path)
    bundle, _ = read_trusted(Path(table.path), table)
    by = f"signed by {', '.join(bundle.signed_by)}" if bundle.signed_by else "not signed, which the device file allows"
    _log.info("The bundle %s, release %d, is %s", bundle.manifest.name, bundle.manifest.release, by)
    return bundle


def read_trusted(path: Path, table: BundleTable) -> tuple[Bundle, bytes]:
    """Return another bundle under the same policy, and its file.

    Raises:
        UntrustedError, BundleError, ConfigError: as `load_trusted`.
    """
    keys = _trusted_keys(table)

    def vouched(signatures: Signatures | None, manifest: bytes) -> tuple[str, ...]:
        names = signers(signatures, manifest, keys)
        if not (names or table.allow_unsigned):
            raise _untrusted(path, signatures, keys)
        return names

    return read_bundle(path, vouched)


def _trusted_keys(table: BundleTable) -> AuthorisedKeys | None:
    if table.trusted_keys_file is None:
        return None
    from asd_edge.keys import read_authorised_keys

    return read_authorised_keys(table.trusted_keys_file)


def _untrusted(path: Path, signatures: Signatures | None, keys: AuthorisedKeys | None) -> UntrustedError:
    said = ", ".join(signatures.keys) if signatures is not None else ""
    return UntrustedError(
        f"The bundle {path} is not signed by a key that this device trusts",
        found=f"signatures of {said} alone" if said else "no signature",
        expected=f"one of {', '.join(keys.names)}" if keys else "one of a key in bundle.trusted_keys_file, not set yet",
        remedy="If it is your own and nobody else can write that file, add the line `allow_unsigned = true` under "
        "[bundle]. Else sign it (asd-export sign BUNDLE --key FILE) and name the file of public keys with "
        "trusted_keys_file; docs/security.md says how.",
    )
