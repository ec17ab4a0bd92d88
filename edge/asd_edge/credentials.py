"""Files that systemd hands to the service with LoadCredential= (systemd.exec(5))."""

from __future__ import annotations

import os
from pathlib import Path


def credential(path: Path) -> Path:
    """Return the service's own copy of a file, found by its name; `path` itself where there is none."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return path
    given = Path(folder, path.name)
    return given if os.path.exists(given) else path  # Path.exists raises where it may not look
