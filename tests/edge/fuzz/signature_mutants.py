"""Signatures that were genuine until something in them changed, and signatures of strangers."""

from __future__ import annotations

import hashlib
import json
from random import Random
from typing import Any

from tests.edge.remote_operator import Operator
from tests.edge.signer import DOMAIN, signature_of


def known(name: str) -> Operator:
    """Somebody whose key is always the same, so that a mutant is made from its number alone."""
    return Operator(name, seed=hashlib.sha256(name.encode()).digest())


PLANT, MALLORY = known("plant"), known("mallory")
"""Whom the device trusts, and a stranger."""


def signed(manifest: bytes, *signers: Operator) -> bytes:
    """The member signature.json with genuine signatures of a manifest."""
    return member([signature_of(signer, DOMAIN + manifest) for signer in signers])


def member(signatures: list[dict[str, Any]], changes: dict[str, Any] | None = None) -> bytes:
    content = {"format": "asd-edge-bundle-signature", "version": 1, "signatures": signatures}
    return json.dumps(content | (changes or {})).encode()


def mutated_signature(random: Random, manifest: bytes) -> bytes | None:
    """The member in the bundle of this manifest, wrong in one way; None for none at all."""
    genuine, stranger = (signature_of(signer, DOMAIN + manifest) for signer in (PLANT, MALLORY))
    match random.randrange(10):
        case 0:
            return None
        case 1:  # bits of the member, whatever they are of
            data = bytearray(member([genuine]))
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
            return bytes(data)
        case 2:  # bits of the signature alone
            text = list(genuine["signature"])
            text[random.randrange(len(text) - 2)] = random.choice("ABCDwxyz0189+/")
            return member([genuine | {"signature": "".join(text)}])
        case 3:
            return signed(manifest, MALLORY)
        case 4:  # that says it is of a trusted key
            return member([stranger | {"key": PLANT.fingerprint}])
        case 5:  # genuine, of something else
            wrong = random.choice([DOMAIN + manifest[:-1], DOMAIN + manifest + b"\n", manifest, b"another manifest"])
            return member([signature_of(PLANT, wrong)])
        case 6:  # beside those of strangers, which count as none
            others = [signature_of(known(f"{i}"), DOMAIN + manifest) for i in range(random.choice([1, 15, 16, 40]))]
            at = random.randrange(len(others) + 1)
            return member([*others[:at], genuine, *others[at:]])
        case 7:  # huge
            return member([genuine | {"signature": "A" * random.choice([86, 88, 1 << 16, (1 << 20) - 200, 2 << 20])}])
        case 8:  # deep
            depth = random.choice([100, 5_000, 200_000])
            return random.choice([b"[" * depth, b'{"signatures":' * depth, b"[" * depth + b"]" * depth])
        case _:
            changes = [
                {"version": 2},
                {"format": "x"},
                {"signatures": None},
                {"more": 1},
                {"signatures": [genuine] * 2},
            ]
            return member([genuine], random.choice(changes))
