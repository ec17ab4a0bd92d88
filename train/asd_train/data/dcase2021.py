"""DCASE Task 2 of 2021: test clips in a folder for each domain, without attributes in their names."""

from __future__ import annotations

from .dcase2022 import parse_name
from .layout import Layout, Named


def parse(stem: str, folder: str) -> Named | None:
    """Read a name; one in the folder of the other domain is refused."""
    named = parse_name(stem)
    in_its_folder = named is not None and folder in ("train", f"{named.domain}_test")
    return named if in_its_folder else None


LAYOUT = Layout(
    title="DCASE Task 2 of 2021",
    examples=(
        "fan/source_test/section_00_source_test_normal_0000.wav",
        "fan/target_test/section_03_target_test_0000.wav",
        "fan/train/section_00_source_train_normal_0000_<attributes>.wav",
    ),
    folders={"train": "train", "source_test": "test", "target_test": "test"},
    parse=parse,
)
