"""The simulated machine as a source, with and without a director."""

from __future__ import annotations

import json
import os
import re
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from asd_edge.errors import SourceError
from asd_edge.simulator import FAULTS, OperatingState, SimulatedMachine
from asd_edge.sources.block import Block
from asd_edge.sources.file import read_clip
from asd_edge.sources.open import open_source
from asd_edge.sources.simulated import OPTIONS

RATE = 16_000


def joined(blocks: list[Block]) -> NDArray[np.float32]:
    return np.concatenate([block.samples for block in blocks])


def heard(uri: str, blocks: int = 8) -> NDArray[np.float32]:
    return joined(list(islice(open_source(uri, rate=RATE, speed=0.0).blocks(), blocks)))


def direct(path: Path, **order: Any) -> None:
    """Replace the control file as a whole."""
    other = path.with_suffix(".new")
    other.write_text(json.dumps(order))
    os.replace(other, path)


def test_it_is_the_simulators_machine_with_these_options() -> None:
    state = OperatingState(speed=1.2, load=0.8, mounting="B", fault="imbalance", severity=0.5)
    machine = SimulatedMachine("fan", seed=3, unit=2, snr_db=6.0, state=state)
    found = heard("sim:fan?speed=1.2&load=0.8&mounting=B&fault=imbalance&severity=0.5&seed=3&unit=2&snr_db=6")
    np.testing.assert_array_equal(found, machine.render(len(found)))


def test_the_same_without_options_is_the_simulators_default() -> None:
    found = heard("sim:pump")
    np.testing.assert_array_equal(found, SimulatedMachine("pump", seed=0).render(len(found)))


def test_a_director_changes_the_machine_while_it_runs(tmp_path: Path) -> None:
    control = tmp_path / "state.json"
    direct(control, load=0.2)
    source = open_source(f"sim:fan?seed=1&control={control}", rate=RATE, speed=0.0)
    blocks = source.blocks()
    before = list(islice(blocks, 4))
    direct(control, load=0.2, fault="imbalance", severity=1.0)
    after = list(islice(blocks, 4))
    source.close()

    machine = SimulatedMachine("fan", seed=1, state=OperatingState(load=0.2))
    np.testing.assert_array_equal(joined(before), machine.render(len(joined(before))))
    machine.state = OperatingState(load=0.2, fault="imbalance", severity=1.0)
    np.testing.assert_array_equal(joined(after), machine.render(len(joined(after))))


def test_what_the_director_leaves_out_is_as_the_source_says(tmp_path: Path) -> None:
    control = tmp_path / "state.json"
    direct(control, load=0.9)
    machine = SimulatedMachine("fan", seed=0, state=OperatingState(speed=1.3, load=0.9))
    found = heard(f"sim:fan?speed=1.3&control={control}")
    np.testing.assert_array_equal(found, machine.render(len(found)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Expecting"),
        ("[]", "not an object"),
        ('{"lod": 1}', "'load' (the nearest known one)"),
        ('{"load": "high"}', 'load = "high"'),
        ('{"load": true}', "load = true"),
        ('{"load": 2.0}', "cannot have this load"),
        ('{"fault": "hiccups"}', "cannot have this fault"),
    ],
)
def test_a_control_file_that_cannot_be_followed_is_an_error(tmp_path: Path, text: str, said: str) -> None:
    control = tmp_path / "state.json"
    control.write_text(text)
    with pytest.raises(SourceError) as error:
        open_source(f"sim:fan?control={control}", rate=RATE)
    assert said in str(error.value)


def test_a_control_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        open_source(f"sim:fan?control={tmp_path / 'none.json'}", rate=RATE)


@pytest.mark.parametrize(
    ("uri", "settings", "said"),
    [
        ("sim:fun", {}, "fan, pump"),
        ("sim:", {}, "no such source"),
        ("sim:fan?sped=2", {}, "'speed' (the nearest known one)"),
        ("sim:fan?load=0.5&load=0.6", {}, "'load' twice"),
        ("sim:fan?load=high", {}, "load=high"),
        ("sim:fan?load=nan", {}, "load=nan"),
        ("sim:fan?seed=1.5", {}, "a whole number"),
        ("sim:fan?seed=-1", {}, "a whole number"),
        ("sim:fan?seed", {}, "name=value"),
        ("sim:fan?load=1.5", {}, "between 0 and 1"),
        ("sim:fan", {"channel": 1}, "has no channel to choose"),
        ("sim:fan", {"source_rate": 48_000}, "has no source_rate to choose"),
    ],
)
def test_options_that_cannot_be_followed_are_refused(uri: str, settings: dict[str, int], said: str) -> None:
    with pytest.raises(SourceError) as error:
        open_source(uri, rate=RATE, **settings)  # type: ignore[arg-type]
    assert said in str(error.value)


@pytest.mark.parametrize("uri", ["", "sound.wav", "http://x/y", "file:", "raw:", "alsa:", "FILE:x"])
def test_a_source_of_no_known_kind_is_refused(uri: str) -> None:
    with pytest.raises(SourceError, match="There is no such source"):
        open_source(uri, rate=RATE)


@pytest.mark.parametrize(
    "settings",
    [
        {"rate": 0},
        {"source_rate": 0},
        {"speed": -1.0},
        {"speed": float("inf")},
        {"speed": float("nan")},
        {"block_s": 0.0},
        {"block_s": 61.0},
    ],
)
def test_numbers_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(SourceError, match=next(iter(settings))):
        open_source("sim:fan", **({"rate": RATE} | settings))


def test_a_record_holds_what_was_heard(tmp_path: Path) -> None:
    source = open_source(f"sim:fan?record={tmp_path / 'heard.wav'}", rate=RATE, speed=0.0)
    blocks = source.blocks()
    found = joined(list(islice(blocks, 4)))
    source.close()
    assert list(blocks) == []
    # 16 bits: half a step of rounding.
    np.testing.assert_allclose(read_clip(tmp_path / "heard.wav", rate=RATE), found, atol=2**-15)


def test_the_document_lists_every_kind_fault_and_option() -> None:
    document = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()
    kinds, options = document.partition("## As a source")[2].partition("## What it leaves out")[0].split("| option |")
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", kinds, re.MULTILINE)
    assert {kind: tuple(re.findall(r"`(\w+)`", faults)) for kind, faults in rows} == FAULTS
    assert tuple(re.findall(r"^\| `(\w+)` \|", options, re.MULTILINE)) == OPTIONS
