"""A few clips of everything, for a first try."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .clip import Clip


def limited(clips: Sequence[Clip], most: int) -> list[Clip]:
    """Return at most `most` clips of each machine, section, split, domain and label, spread over its attributes."""
    groups: dict[tuple[str, str, str, bool | None], list[Clip]] = {}
    for clip in clips:
        groups.setdefault((clip.unit, clip.split, clip.domain, clip.anomalous), []).append(clip)
    kept = []
    for members in groups.values():
        count = min(most, len(members))
        kept += [members[i] for i in np.linspace(0, len(members) - 1, count).round().astype(int)]
    return kept
