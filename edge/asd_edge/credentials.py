"""Files that systemd hands to the service with LoadCredential= (systemd.exec(5))."""

from __future__ import annotations

import os
from pathlib import Path


def credential(path: Path) -> Path:
    """Return the service's own copy of a file, found by its name; `path` itself where there is none."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    given = Path(folder, path.name) if folder else path
    return given if given.exists() else path
