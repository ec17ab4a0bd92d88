"""Ed25519 keys (RFC 8032) in OpenSSH's formats: whom this device trusts, and a person's own.

Whose commands it takes and whose bundles it runs are two files of public keys, both read here. Importing this loads
`cryptography`, so a daemon that verifies nothing does not import it.
"""

from __future__ import annotations

import base64
import hashlib
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
    load_ssh_public_key,
)

from asd_edge.atomic import atomic_write
from asd_edge.errors import ConfigError
from asd_edge.strict import NAME_PATTERN

KEYS_LIMIT = 64 << 10  # bytes of a keys file
_LINE = "`ssh-ed25519 AAAA… NAME`, NAME being 1 to 64 of A–Z a–z 0–9 _ -"


@dataclass(frozen=True, slots=True)
class Signer:
    """Who a signature is said to be of (None: nobody we know), and whether it is."""

    name: str | None
    genuine: bool


class AuthorisedKeys:
    """The public keys that signatures are accepted from, with the names that reports and the audit file call them."""

    def __init__(self, keys: dict[str, Ed25519PublicKey]) -> None:
        self._keys = {fingerprint(key): (name, key) for name, key in keys.items()}
        self._nobody = Ed25519PrivateKey.generate().public_key()

    @property
    def names(self) -> list[str]:
        """Who is trusted."""
        return [name for name, _ in self._keys.values()]

    def check(self, key: str, message: bytes, signature: bytes) -> Signer:
        """Verify a signature that is said to be of the key with this fingerprint.

        A key that is not known takes the same steps as one that is.
        """
        name, public = self._keys.get(key, (None, self._nobody))
        try:
            public.verify(signature, message)
        except InvalidSignature:
            return Signer(name, genuine=False)
        return Signer(name, genuine=name is not None)


def fingerprint(key: Ed25519PublicKey) -> str:
    """Return what `ssh-keygen -l` shows: SHA-256 of the key's wire form (RFC 4253, 6.6), in Base64 without padding."""
    wire = base64.b64decode(_public_text(key).split()[1])
    return "SHA256:" + base64.b64encode(hashlib.sha256(wire).digest()).decode().rstrip("=")


def read_authorised_keys(path: Path) -> AuthorisedKeys:
    """Read public keys, one a line as in OpenSSH's authorized_keys: `ssh-ed25519 AAAA… NAME`; `#` begins a comment.

    Raises:
        ConfigError: the file cannot be read, others may write it, or a line is not such a key.
    """
    try:
        if path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise _unusable(path, "a file that others than its owner may write", f"Run `chmod go-w {path}`.")
        with path.open("rb") as stream:
            data = stream.read(KEYS_LIMIT + 1)
    except OSError as error:
        raise _unusable(path, error.strerror or str(error), "Correct its name in the device file.") from error
    if len(data) > KEYS_LIMIT:
        raise _unusable(path, f"more than {KEYS_LIMIT} bytes", "Name the file of public keys.")
    keys: dict[str, Ed25519PublicKey] = {}
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            name, key = _public_key(path, number, line.split())
            if name in keys or key in keys.values():
                raise _unusable(path, f"line {number}: a name or a key that is there already", "Remove one of the two.")
            keys[name] = key
    if not keys:
        raise _unusable(path, "no key", "Add the line that `asd-edge keygen` printed.")
    return AuthorisedKeys(keys)


def write_private_key(path: Path, name: str) -> str:
    """Make a key, write it to a new file for its owner alone, and return the line for a device's file of public keys.

    The line is also written to `public_file(path)`. OpenSSH has room for a name in the private key too, which
    `cryptography` leaves empty.

    Raises:
        ConfigError: the name is none, one of the files is there already, or cannot be written.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise ConfigError("The key needs a name", found=repr(name), expected=_LINE, remedy="Give it with --name.")
    public = public_file(path)
    if there := [str(file) for file in (path, public) if file.exists()]:
        raise ConfigError(
            f"The key file {path} is not written",
            found=f"{' and '.join(there)} already",
            expected="none, because a lost key cannot be had back",
            remedy="Choose another name, or remove the file.",
        )
    key = Ed25519PrivateKey.generate()
    line = f"{_public_text(key.public_key())} {name}"
    try:
        with atomic_write(path, mode=0o600) as stream:
            stream.write(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
            with atomic_write(public) as public_stream:
                public_stream.write(f"{line}\n".encode())
    except OSError as error:
        raise ConfigError(
            f"The key file {path} is not written",
            found=error.strerror or str(error),
            expected="a folder that can be written to",
            remedy="Choose another folder.",
        ) from error
    return line


def public_file(path: Path) -> Path:
    """Return the file beside a private key that its public key is written to, as ssh-keygen names it."""
    return path.with_name(f"{path.name}.pub")


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Read a person's own key: OpenSSH's format, Ed25519, without a passphrase.

    Raises:
        ConfigError: it cannot be read, others may read it, or it is another kind of key.
    """
    remedy = "Make one with `asd-edge keygen FILE`; keys with a passphrase cannot be used here."
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise _unusable(path, "a private key that others than its owner may use", f"Run `chmod 600 {path}`.")
        key = load_ssh_private_key(path.read_bytes(), None)
    except OSError as error:
        raise _unusable(path, error.strerror or str(error), remedy) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: it has a passphrase
        raise _unusable(path, str(error), remedy) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _unusable(path, "another kind of key than Ed25519", remedy)
    return key


def _public_key(path: Path, number: int, parts: list[str]) -> tuple[str, Ed25519PublicKey]:
    if len(parts) == 2 and parts[0] == "ssh-ed25519":
        raise _unusable(path, f"line {number}: a key without a name", f"Append a name to the line: {_LINE}.")
    if len(parts) != 3 or not re.fullmatch(NAME_PATTERN, parts[2]):
        raise _unusable(path, f"line {number}: not {_LINE}", "`ssh-keygen -t ed25519 -C NAME` makes such keys too.")
    try:
        key = load_ssh_public_key(" ".join(parts[:2]).encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _unusable(path, f"line {number}: {error}", "Copy the whole line again.") from None
    if not isinstance(key, Ed25519PublicKey):
        raise _unusable(path, f"line {number}: a key of the kind {parts[0]}", "Use an Ed25519 key.")
    return parts[2], key


def _public_text(key: Ed25519PublicKey) -> str:
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def _unusable(path: Path, found: str, remedy: str) -> ConfigError:
    return ConfigError(f"The keys in {path} cannot be used", found=found, expected="Ed25519 keys", remedy=remedy)
