"""docs/data.md shows the error as it is, and names that are read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from asd_edge.errors import DataError
from asd_train.data.dcase import read_dataset
from asd_train.data.machine import LAYOUTS
from tests.conftest import REPOSITORY
from tests.train.trees import touch

PAGE = (REPOSITORY / "docs" / "data.md").read_text("utf-8")


def test_the_error_of_a_wrong_layout_is_the_one_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(touch(tmp_path, "data/fan/normal/00000000.wav", "data/pump/normal/00000000.wav"))
    with pytest.raises(DataError) as error:
        read_dataset(Path("data"))
    assert f"```\n{error.value}\n```" in PAGE


def test_every_name_in_the_table_of_years_is_read() -> None:
    rows = re.findall(r"^\| (20\d\d)\S*(?: on)? \| (.*?) \| (.*) \|$", PAGE, re.MULTILINE)
    names = [
        (folders, name.removesuffix(".wav")) for _, folders, cell in rows for name in re.findall(r"`(.*?\.wav)`", cell)
    ]
    assert len(names) == 12
    for folders, name in names:
        assert any(layout.parse(name, folder.strip("`/")) for layout in LAYOUTS for folder in folders.split()), name
