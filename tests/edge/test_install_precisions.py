"""Every precision of a bundle is held to its golden segments before it is installed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asd_edge.bundle.archive import load_bundle
from asd_edge.bundle.variants import Precision
from asd_edge.errors import BundleError
from tests.edge.device import asd_edge
from tests.edge.installing import PLANT, Box
from tests.edge.precisions import enroll, make_bundle
from tests.edge.signer import sign


def box_of(folder: Path, precision: str) -> Box:
    box = Box(folder)
    box.device.write_text(box.device.read_text().replace("[bundle]", f'[bundle]\nprecision = "{precision}"'))
    return box


def deaf_in(box: Box, precision: Precision) -> Path:
    """A bundle one of whose precisions embeds something else than where it was exported."""
    path = box.folder / "c.asd"
    golden = make_bundle(path, release=8).golden
    turned = {("stream", precision): np.roll(golden.exported["stream", precision], 1, axis=1)}
    trained = {"stream": np.roll(golden.trained["stream"], 1, axis=1)} if precision == "fp32" else {}
    make_bundle(
        path,
        release=8,
        golden=replace(golden, exported=golden.exported | turned, trained=golden.trained | trained),
    )
    return sign(path, PLANT)


@pytest.mark.parametrize("served", ["auto", "fp32", "fp16"])
def test_a_precision_that_fails_and_does_not_serve_is_a_warning(tmp_path: Path, served: str) -> None:
    box = box_of(tmp_path, served)
    done = asd_edge("install", "--config", box.device, deaf_in(box, "int8"))
    assert done.returncode == 0, done.stderr
    assert "warning: not true on this device, and not to be served: stream/int8: FAILED" in done.stderr
    assert box.releases() == (8, 0)


@pytest.mark.parametrize("why", ["the device file", "what is enrolled"])
def test_one_that_serves_is_refused(tmp_path: Path, why: str) -> None:
    box = box_of(tmp_path, "int8" if why == "the device file" else "auto")
    candidate = deaf_in(box, "int8")
    if why == "what is enrolled":
        enroll(box.state, "fan-1", load_bundle(candidate).at("int8"))
    before = box.everything()
    with pytest.raises(BundleError, match="stream/int8: FAILED"):
        box.install(candidate)
    assert box.everything() == before


def test_fp32_has_to_be_true_whatever_serves(tmp_path: Path) -> None:
    box = box_of(tmp_path, "int8")
    with pytest.raises(BundleError, match="stream/fp32: FAILED"):
        box.install(deaf_in(box, "fp32"))


def test_all_that_are_true_are_told_of_nothing(tmp_path: Path) -> None:
    box = box_of(tmp_path, "auto")
    make_bundle(box.folder / "c.asd", release=8)
    assert box.install(sign(box.folder / "c.asd", PLANT)).untrue == ()
