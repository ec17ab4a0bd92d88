"""`record=` keeps exactly what the detector was given."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_edge.errors import SourceError
from asd_edge.sources.open import open_source


def test_a_recording_holds_every_block(tmp_path: Path) -> None:
    path = tmp_path / "heard.wav"
    source = open_source(f"sim:fan?seed=1&record={path}", rate=16_000, speed=0.0)
    blocks = source.blocks()
    heard = np.concatenate([block.samples for block in islice(blocks, 5)])
    source.close()
    assert next(blocks, None) is None
    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == 16_000
    np.testing.assert_allclose(samples, heard, atol=1.0 / 32_768)  # 16 bit


def test_a_recording_without_a_place_is_a_clear_error(tmp_path: Path) -> None:
    source = open_source(f"sim:fan?record={tmp_path}/absent/heard.wav", rate=16_000, speed=0.0)
    with pytest.raises(SourceError, match="cannot be written"):
        next(iter(source.blocks()))
