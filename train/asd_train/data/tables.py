"""The small CSV files that come with the DCASE data sets."""

from __future__ import annotations

import csv
from pathlib import Path

from asd_edge.errors import DataError


def read_rows(path: Path) -> list[tuple[str, ...]]:
    """Return the rows that are not empty, without spaces around fields.

    Raises:
        DataError: the file cannot be read as text.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # the organisers' files come with and without a mark
            rows = [tuple(field.strip() for field in row) for row in csv.reader(file)]
    except (OSError, ValueError, csv.Error) as error:  # a UnicodeDecodeError is a ValueError
        raise DataError(
            f"The table {path} cannot be read",
            found=str(error),
            expected="comma-separated text",
            remedy="Download it again, or move it out of the data set.",
        ) from error
    return [row for row in rows if any(row)]


def stem_of(name: str) -> str:
    """Return what tables and folders agree on in a clip's name: no folder, no suffix, no `_test`.

    `fan/test/section_03_test_0000.wav` and `section_03_0000` are the same clip. A name in a table may lack its suffix,
    and an attribute may hold a dot (`ac_0.11`), so only a suffix of letters is taken off.
    """
    last = name.replace("\\", "/").rpartition("/")[2]
    head, dot, suffix = last.rpartition(".")
    return (head if dot and suffix.isalpha() else last).replace("_test_", "_", 1)
