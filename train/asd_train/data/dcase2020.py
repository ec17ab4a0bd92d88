"""DCASE Task 2 of 2020: `train/normal_id_01_00000000.wav`. Ids are sections; there are no domains and attributes."""

from __future__ import annotations

import re

from .layout import Layout, Named, anomalous_of

_NAME = re.compile(r"(?:(?P<label>normal|anomaly)_)?id_(?P<section>\d\d)_\d+")


def parse(stem: str, folder: str) -> Named | None:
    """Read a name; without a label (`id_05_00000000`) it is of the evaluation set.

    All clips are of one domain, called source as the training domain is in later years.
    """
    match = _NAME.fullmatch(stem)
    if match is None:
        return None
    return Named(match["section"], None, "source", anomalous_of(match["label"]), attributes="")


LAYOUT = Layout(
    title="DCASE Task 2 of 2020",
    examples=(
        "fan/train/normal_id_00_00000000.wav",
        "fan/test/anomaly_id_00_00000000.wav",
        "fan/test/id_01_00000000.wav",
    ),
    folders={"train": "train", "test": "test"},
    parse=parse,
)
