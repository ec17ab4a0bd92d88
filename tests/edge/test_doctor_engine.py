"""What the doctor says of engine and precision: what is served, not what would be with another device file."""

from __future__ import annotations

from pathlib import Path

import pytest

from asd_edge.doctor.bundle import check_conditions, check_parity
from asd_edge.doctor.device import Device
from asd_edge.doctor.engine import check_engine
from asd_edge.doctor.finding import Level
from asd_edge.serving.choice import Choice, keep_choice, this_hardware
from asd_edge.serving.failures import FailureBook
from tests.edge.device import write_device
from tests.edge.precisions import enroll, make_bundle
from tests.edge.test_engine_choice import candidate


@pytest.fixture
def device(tmp_path: Path) -> Device:
    make_bundle(tmp_path / "three.asd")
    path = write_device(tmp_path, tmp_path / "three.asd", 1, {"id": "fan-7", "source": "sim:fan"})
    path.write_text(path.read_text().replace("[bundle]", '[bundle]\nprecision = "auto"'))
    return Device.of(path)


def test_before_anything_is_measured(device: Device) -> None:
    (found,) = check_engine(device)
    assert found.level == Level.OK
    assert found.found == "fp32; nothing was measured here yet (asd-edge engines choose)"
    assert list(check_engine(Device())) == []  # without a device file nothing is served


def test_the_choice_its_figures_and_what_could_not_be_built(device: Device, tmp_path: Path) -> None:
    choice = Choice(
        bundle_id=device.bundle.bundle_id,
        kind="stream",
        hardware=this_hardware(),
        measured_utc="2026-01-02T03:04:05Z",
        threads=1,
        channels=1,
        engine="onnxruntime",
        precision="fp32",
        precision_why="conditions were enrolled with it (fan-7)",
        engine_why="nothing else",
        instead="onnxruntime/int8 would be 2.0 times as fast",
        candidates=(candidate("onnxruntime/fp32", 10.0), candidate("tensorrt/fp32", None, "it fails parity")),
    )
    keep_choice(tmp_path / "state", choice)
    FailureBook(tmp_path / "state" / "engines").note("key", "tensorrt/int8", "no kernel")
    serves, first, second, failed = check_engine(device)
    said = "conditions were enrolled with it (fan-7), 2026-01-02T03:04:05Z; onnxruntime/int8 would be 2.0 times as fast"
    assert serves.found == f"onnxruntime/fp32: {said}"
    assert first.found == "onnxruntime/fp32 takes 10.00 ± 0.10 ms for a second of sound"
    assert second.found == "tensorrt/fp32 is out: it fails parity"
    assert (failed.level, failed.subject) == (Level.WARNING, "tensorrt/int8")
    assert failed.found.startswith("its build failed once, last 20")


def test_conditions_and_parity_are_those_of_the_precision_that_serves(device: Device, tmp_path: Path) -> None:
    enroll(tmp_path / "state", "fan-7", device.bundle.at("int8"))
    again = Device.of(device.config_file)
    (conditions,) = check_conditions(again)
    assert conditions.level == Level.WARNING  # nothing of its own yet, but not of another graph either
    serving = [found for found in check_parity(again) if "serves" in found.found]
    assert [found.subject for found in serving] == ["stream/int8"]
