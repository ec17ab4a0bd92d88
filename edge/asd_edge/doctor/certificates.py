"""When certificates end: the broker's, and those of the files that the device file names."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from time import time
from typing import Any

from asd_edge.doctor.device import Device
from asd_edge.doctor.finding import Finding, fault, ok, warning

SOON_D = 30.0
_DAY_S = 86_400.0


def check_certificates(device: Device) -> Iterator[Finding]:
    """Yield when the certificates end that the tables of the destinations name."""
    for table in () if device.config is None else device.config.destinations:
        if table.tls is not None:
            for key, path in (("ca_file", table.tls.ca_file), ("cert_file", table.tls.cert_file)):
                if path is not None:
                    yield _file(f"{table.name}.tls.{key}", path)


def _file(name: str, path: Path) -> Finding:
    try:
        from cryptography import x509
    except ImportError:
        return ok(f"{path}", subject=name, unseen="when it ends (needs the package cryptography)")
    try:
        certificates = x509.load_pem_x509_certificates(path.read_bytes())
    except PermissionError:
        return ok(f"{path}", subject=name, unseen="when it ends (it is another user's; use sudo)")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        return fault(f"{path}: {reason}", f"Correct {name}.", subject=name)
    # A file of CAs may keep one that has ended beside its successor: the last to end counts, of a chain the first.
    # .timestamp() of not_valid_after is naive before cryptography 42, whose `_utc` form this is.
    ends = [certificate.not_valid_after_utc.timestamp() for certificate in certificates]
    return judge_end(f"{path}", max(ends) if name.endswith("ca_file") else min(ends), time(), subject=name)


def expiry_of_peer(peer: Mapping[str, Any], spoken: str) -> Finding:
    """Say how long a certificate lasts that was just accepted, given as `SSLSocket.getpeercert()` does."""
    names = [value for _, value in peer.get("subjectAltName", ())]
    found = f"{spoken}, certificate of {', '.join(names[:3]) or 'no name'}"
    return judge_end(found, ssl.cert_time_to_seconds(str(peer["notAfter"])), time(), subject="tls")


def judge_end(what: str, end: float, now: float, *, subject: str) -> Finding:
    """Say whether a certificate lasts.

    Args:
        what: the certificate.
        end: UTC seconds of its end.
        now: UTC seconds.
        subject: whose it is.
    """
    days = (end - now) / _DAY_S
    date = datetime.fromtimestamp(end, timezone.utc).strftime("%Y-%m-%d")
    if days < 0.0:
        return fault(f"{what}: it ended on {date}", "Renew it; look at this device's clock, too.", subject=subject)
    if days < SOON_D:
        return warning(f"{what}: it ends on {date}, in {days:.0f} days", "Renew it before.", subject=subject)
    return ok(f"{what}, until {date}", subject=subject)
