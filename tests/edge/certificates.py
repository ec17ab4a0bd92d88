"""Certificates that openssl makes: an authority of the plant's own, and what it signs, with any dates."""

from __future__ import annotations

import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

from tests.edge.required import required_tool

_SETTINGS = """[ca]
default_ca = plant
[plant]
new_certs_dir = .
database = index
serial = serial
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
"""


class Authority:
    """A certificate authority in a folder; `ca_file` is what its clients trust."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        (folder / "index").touch()
        (folder / "serial").write_text("01\n")
        (folder / "settings").write_text(_SETTINGS)
        self.ca_file = folder / "ca.pem"
        self._openssl(
            "req", "-x509", *_NEW_KEY, "-days", "3650", "-subj", "/CN=plant", "-keyout", "ca.key", "-out", "ca.pem"
        )

    def sign(
        self, name: str, *, host: str = "IP:127.0.0.1", begins_d: float = -400.0, ends_d: float
    ) -> tuple[Path, Path]:
        """Return files of a certificate and its key, valid between these days from now, for a subjectAltName."""
        (self._folder / f"{name}.ext").write_text(f"subjectAltName = {host}\n")
        self._openssl("req", *_NEW_KEY, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        dates = ("-startdate", _date(begins_d), "-enddate", _date(ends_d))
        files = (
            "-cert",
            "ca.pem",
            "-keyfile",
            "ca.key",
            "-extfile",
            f"{name}.ext",
            "-in",
            f"{name}.csr",
            "-out",
            f"{name}.pem",
        )
        self._openssl("ca", "-batch", "-notext", "-config", "settings", *dates, *files)
        return self._folder / f"{name}.pem", self._folder / f"{name}.key"

    def _openssl(self, *arguments: str) -> None:
        openssl = required_tool("openssl", "openssl")
        subprocess.run([openssl, *arguments], cwd=self._folder, check=True, capture_output=True)


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _date(days: float) -> str:
    return (datetime.now(timezone.utc) + timedelta(days=days)).strftime("%Y%m%d%H%M%SZ")
