"""Log-mel files in the place of sound: what is taken and what is refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from asd_edge.errors import DataError
from asd_train.data.features_file import is_features, load_features

GOOD = np.random.default_rng(0).normal(size=(7, 16)).astype(np.float32)


def test_features_come_back_as_they_were_stored(tmp_path: Path) -> None:
    for number, stored in enumerate((GOOD, np.asfortranarray(GOOD))):
        path = tmp_path / f"{number}.npy"
        np.save(path, stored)
        loaded = load_features(path, bands=16)
        np.testing.assert_array_equal(loaded, GOOD)
        assert type(loaded) is np.ndarray
        assert loaded.flags.c_contiguous
        assert loaded.flags.writeable


def test_the_suffix_tells_features_from_sound() -> None:
    assert [is_features(Path(name)) for name in ("a.npy", "a.NPY", "a.wav", "a.npy.flac")] == [True, True, False, False]


@pytest.mark.parametrize(
    ("stored", "found"),
    [
        (GOOD.astype(np.float64), r"float64 \[7, 16\]"),
        (GOOD.T, r"float32 \[16, 7\]"),
        (GOOD[0], r"float32 \[16\]"),
        (GOOD[:0], r"\[0, 16\]|[Ee]mpty"),
        (np.where(GOOD > 0, GOOD, np.nan).astype(np.float32), "not finite"),
        (np.array([{"a": 1}], dtype=object), "objects"),  # a pickle: never loaded
    ],
)
def test_other_arrays_are_refused(stored: NDArray[np.generic], found: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", stored, allow_pickle=True)
    with pytest.raises(DataError, match=rf"(?s)a\.npy cannot be used.*{found}.*\[frames, 16\]"):
        load_features(tmp_path / "a.npy", bands=16)


def saved() -> bytes:
    file = io.BytesIO()
    np.save(file, GOOD)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"RIFF....WAVE",
        saved()[:40],  # in the header
        saved()[:-4],  # cut short
        saved().replace(b"(7, 16)", b"(9000000000000000, 16)").replace(b" " * 15 + b"\n", b"\n"),
    ],
)
def test_damaged_files_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npy cannot be used"):
        load_features(tmp_path / "a.npy", bands=16)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        load_features(tmp_path / "a.npy", bands=16)
