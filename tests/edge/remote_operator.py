"""Somebody who commands a device: an independent writer of what goes over the wire, from docs/mqtt.md alone."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

COMMAND: dict[str, Any] = {"machine": "fan-1", "action": "propose", "condition": "rpm1200", "last_s": 30}


class Operator:
    """Holds a key and signs with it: a new one, or that of 32 bytes."""

    def __init__(self, name: str = "anna", seed: bytes | None = None) -> None:
        self.name = name
        self.key = Ed25519PrivateKey.generate() if seed is None else Ed25519PrivateKey.from_private_bytes(seed)
        raw = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        wire = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + raw  # RFC 8709, 4
        self.line = f"ssh-ed25519 {base64.b64encode(wire).decode()} {name}"
        self.fingerprint = "SHA256:" + base64.b64encode(hashlib.sha256(wire).digest()).decode().rstrip("=")

    def authorise(self, path: Path) -> Path:
        """Write a device's keys file that has this key alone."""
        path.write_text(f"# who may enroll\n\n{self.line}\n")
        path.chmod(0o644)
        return path

    def request(self, nonce: str, **fields: Any) -> bytes:
        """The payload of a signed command to the device `box`, COMMAND but for `fields`; None leaves a key out."""
        command = {"format": "asd-edge-remote-command", "version": 1, "device": "box", "nonce": nonce} | COMMAND
        command = {key: value for key, value in (command | fields).items() if value is not None}
        return self.sign(json.dumps(command, sort_keys=True, separators=(",", ":")).encode())

    def sign(self, command: bytes, domain: bytes = b"asd-edge remote command v1\0") -> bytes:
        """The payload of these bytes, signed."""
        signature = base64.b64encode(self.key.sign(domain + command)).decode()
        parts = {"command": base64.b64encode(command).decode(), "key": self.fingerprint, "signature": signature}
        return json.dumps(parts, separators=(",", ":")).encode()
