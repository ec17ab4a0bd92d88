"""The member signature.json: who vouches for a bundle (docs/bundle.md, docs/security.md).

A signature (Ed25519, RFC 8032) is over DOMAIN and the bytes of manifest.json. The manifest holds the SHA-256 of every
other member and the container has one form for one content, so one signature covers the whole file. DOMAIN keeps a
signature that was made for another purpose from passing for one of a bundle.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field, model_validator

from asd_edge.strict import RefusalError, Strict, parse_versioned

if TYPE_CHECKING:  # it loads cryptography, which a daemon without signatures to verify does not need
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from asd_edge.keys import AuthorisedKeys

MEMBER: Final = "signature.json"
FORMAT: Final = "asd-edge-bundle-signature"
VERSION: Final = 1
DOMAIN: Final = b"asd-edge bundle v1\0"
MOST: Final = 16
"""Signatures of one bundle: the factory, the plant, and either's next key while keys are changed."""

# Base64 of 32 and of 64 bytes: the last character stands for the rest of the bits, so one value has one form.
Fingerprint = Annotated[str, Field(pattern=r"^SHA256:[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]$")]
_Signature = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{85}[AQgw]==$")]


class Signature(Strict):
    """`key`: the signer's fingerprint as `ssh-keygen -l` shows it. `signature`: 64 bytes in Base64."""

    key: Fingerprint
    signature: _Signature


class Signatures(Strict):
    """Everybody's signature under one manifest."""

    format: Literal["asd-edge-bundle-signature"] = FORMAT
    version: Literal[1] = VERSION
    signatures: Annotated[tuple[Signature, ...], Field(strict=False, min_length=1, max_length=MOST)]

    @model_validator(mode="after")
    def _one_each(self) -> Signatures:
        if len(set(self.keys)) < len(self.keys):
            raise ValueError("two signatures of one key")
        return self

    @property
    def keys(self) -> tuple[str, ...]:
        """Fingerprints of the keys that are said to have signed."""
        return tuple(signature.key for signature in self.signatures)

    @classmethod
    def from_json(cls, data: bytes) -> Signatures:
        """Read the member.

        Raises:
            RefusalError: it is not one of this version.
        """
        return parse_versioned(data, cls, format=FORMAT, version=VERSION)

    def to_json(self) -> bytes:
        """Return the member."""
        return self.model_dump_json(indent=1).encode() + b"\n"


def signers(signatures: Signatures | None, manifest: bytes, trusted: AuthorisedKeys | None) -> tuple[str, ...]:
    """Return the names of the trusted keys that signed a manifest; a signature of another key counts as none.

    Raises:
        RefusalError: a signature is said to be of a trusted key, and is not genuine.
    """
    names: list[str] = []
    if signatures is not None and trusted is not None:
        for one in signatures.signatures:
            signer = trusted.check(one.key, DOMAIN + manifest, base64.b64decode(one.signature))
            if signer.genuine and signer.name is not None:
                names.append(signer.name)
            elif signer.name is not None:
                raise RefusalError(f"a signature of {signer.name} that does not fit", "the manifest that was signed")
    return tuple(names)


def signed(manifest: bytes, key: Ed25519PrivateKey, beside: Signatures | None = None) -> Signatures:
    """Return `beside`, the signatures that are there already, with that of `key` added or made anew.

    Raises:
        RefusalError: there is no room for another signature.
    """
    from asd_edge.keys import fingerprint

    own = Signature(key=fingerprint(key.public_key()), signature=base64.b64encode(key.sign(DOMAIN + manifest)).decode())
    others = [one for one in (beside.signatures if beside else ()) if one.key != own.key]
    if len(others) == MOST:
        raise RefusalError(f"{MOST} signatures of other keys", f"fewer than {MOST}", "Sign the bundle as exported.")
    return Signatures(signatures=(*others, own))
