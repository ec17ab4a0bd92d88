"""docs/security.md names tests that there are, and items in the form of the standards."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text("utf-8")
LINKS = re.findall(r"\]\(([^)#]+)(?:#([^)]*))?\)", TEXT)
TABLES = "\n".join(line for line in TEXT.splitlines() if re.search(r"\| .*\b(CR|EDR|[56](\.\d+)?-\d)", line))
THREATS = [line.split(" | ") for line in TEXT.split("## Threats")[1].split("\n## ")[0].splitlines() if " | " in line][
    1:
]

# The last of the requirements of IEC 62443-4-2:2019 in each of its seven groups (CR, and EDR of embedded devices)
IEC_LAST = {1: 14, 2: 13, 3: 14, 4: 3, 5: 4, 6: 2, 7: 8}
# The last of the provisions of ETSI EN 303 645 V2.1.1 in each section
ETSI_LAST = {"5.1": 5, "5.2": 3, "5.3": 16, "5.4": 4, "5.5": 8, "5.6": 9, "5.7": 2, "5.8": 3, "5.9": 3}
ETSI_LAST |= {"5.10": 1, "5.11": 4, "5.12": 3, "5.13": 1, "6": 5}


@pytest.mark.parametrize("name", sorted({name for name, _ in LINKS if name}))
def test_every_file_that_it_names_exists(name: str) -> None:
    assert (ROOT / "docs" / name).exists()


def test_every_section_that_it_points_to_exists() -> None:
    headings = {
        re.sub(r"[^\w -]", "", line[3:].lower()).replace(" ", "-") for line in TEXT.splitlines() if "## " in line
    }
    assert {anchor for name, anchor in LINKS if not name} <= headings


def test_every_threat_is_stopped_by_something_that_a_test_proves() -> None:
    assert len(THREATS) >= 12
    for row in THREATS:
        assert re.search(r"tests/\w+/\w+\.py", row[-1]), row[0]


def test_items_are_those_of_the_standards() -> None:
    iec = [(int(group), int(item)) for group, item in re.findall(r"(?<![\d.])(\d)\.(\d{1,2})(?![\d.-])", TABLES)]
    etsi = re.findall(r"(?<![\d.])(5\.\d{1,2}|6)-(\d{1,2})", TABLES)
    assert len(iec) > 50
    assert len(etsi) > 40
    assert all(1 <= item <= IEC_LAST[group] for group, item in iec)
    assert all(1 <= int(item) <= ETSI_LAST[section] for section, item in etsi)
