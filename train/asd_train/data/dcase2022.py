"""DCASE Task 2 of 2022 and later: `section_00_source_train_normal_0000_<attributes>.wav` in `train/` and `test/`.

What changed since: attributes may be hidden (`_noAttribute` from 2024 on, or an empty end: `_0000_.wav`), numbers may
start at 0001 (2024), `supplemental/` may hold clips of the machine or its surroundings alone (2025), and clips may have
two channels (2026). Test clips of an evaluation set are `section_03_0000.wav` or `section_03_test_0000.wav`.
"""

from __future__ import annotations

import re

from .layout import Layout, Named, anomalous_of, domain_of, split_of

_NAME = re.compile(
    r"section_(?P<section>\d\d)(?:_(?P<domain>source|target))?(?:_(?P<split>train|test))?"
    r"(?:_(?P<label>normal|anomaly))?_\d+(?:_(?P<attributes>.*?))?_?"
)
# Words about the supplemental clips come in several orders: section_00_machine_0001_, section_00_noise_0001_,
# section_00_source_supplemental_machine_0000_<attributes>. The first word that names a role counts.
_SUPPLEMENTAL = re.compile(
    r"section_(?P<section>\d\d)_(?:(?P<domain>source|target)_)?(?:[a-z]+_)*?(?P<role>machine|clean|noise)"
    r"(?:_[a-z]+)*_\d+(?:_(?P<attributes>.*?))?_?"
)
_HIDDEN = "noAttribute"


def parse_name(stem: str) -> Named | None:
    """Read a name of 2021 or later, wherever it lies."""
    match = _NAME.fullmatch(stem)
    if match is None:
        return None
    return Named(
        section=match["section"],
        split=split_of(match["split"]),
        domain=domain_of(match["domain"]),
        anomalous=anomalous_of(match["label"]),
        attributes=_shown(match["attributes"]),
    )


def parse(stem: str, folder: str) -> Named | None:
    """Read a name; in `supplemental/` it says whether the machine or its surroundings are heard alone."""
    if folder != "supplemental":
        return parse_name(stem)
    match = _SUPPLEMENTAL.fullmatch(stem)
    if match is None:
        return None
    noise = match["role"] == "noise"
    return Named(
        section=match["section"],
        split="supplemental",
        domain=domain_of(match["domain"]),
        anomalous=None if noise else False,
        attributes=_shown(match["attributes"]),
        role="noise" if noise else "clean",
    )


def _shown(attributes: str | None) -> str:
    return "" if attributes in (None, _HIDDEN) else str(attributes)


LAYOUT = Layout(
    title="DCASE Task 2 of 2022 and later",
    examples=(
        "fan/train/section_00_source_train_normal_0000_<attributes>.wav",
        "fan/test/section_00_target_test_anomaly_0000_<attributes>.wav",
        "fan/test/section_03_0000.wav",
        "fan/supplemental/section_00_noise_0000.wav",
    ),
    folders={"train": "train", "test": "test", "supplemental": "supplemental"},
    parse=parse,
)
