"""Log-mel features in the place of sound: one `.npy` file a clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asd_edge.errors import DataError

SUFFIX = ".npy"


def is_features(path: Path) -> bool:
    """Return whether a clip's file holds features; otherwise it holds sound."""
    return path.suffix.lower() == SUFFIX


def load_features(path: Path, *, bands: int) -> NDArray[np.float32]:
    """Return the log-mel of a clip, float32 [frames, bands], in dB as the device's front end computes it.

    Args:
        path: of a `.npy` file. Pickled objects are never loaded.
        bands: what the recipe's front end has.

    Raises:
        DataError: no such file, another format, type or shape, no frame, or values that are not finite.
    """
    try:
        # Memory-mapped, so that a damaged header that promises terabytes is noticed before anything is allocated.
        stored = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise _wrong(path, str(error) or type(error).__name__, bands) from error
    if stored.dtype != np.float32 or stored.ndim != 2 or stored.shape[1] != bands or stored.shape[0] == 0:
        raise _wrong(path, f"{stored.dtype} {list(stored.shape)}", bands)
    features = np.array(stored, np.float32, order="C")
    if not np.isfinite(features).all():
        raise _wrong(path, "values that are not finite", bands)
    return features


def _wrong(path: Path, found: str, bands: int) -> DataError:
    return DataError(
        f"The features in {path} cannot be used",
        found=found,
        expected=f"a .npy file of finite float32 values [frames, {bands}]: the log-mel in dB of the recipe's front end",
        remedy="Compute them with the recipe's front end, or give the WAV or FLAC file instead.",
    )
