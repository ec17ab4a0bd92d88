"""`asd-edge bench`: every figure is there and means what it says."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asd_edge.benchmark.throughput import Cost, state_bytes
from asd_edge.timing import in_turns
from tests.edge.device import asd_edge
from tests.edge.tiny_bundle import STREAMED, make_tiny_bundle
from tests.golden.tiny_stream import BANDS, CHANNELS, DEPTH, FIRST_PAST, HEADS, SECOND_PAST

pytestmark = pytest.mark.once

FIGURES = {
    *(
        "bundle",
        "variant",
        "machine",
        "ratios",
        "costs",
        "channels",
        "front_end",
        "state_bytes",
        "latency",
        "resident_bytes",
    ),
}
MEASURE = ("--channels", "2", "--seconds", "1")


def bench(folder: Path, *options: str, **changes: Any) -> str:
    make_tiny_bundle(folder / "tiny.asd", **changes)
    ended = asd_edge("bench", "--bundle", folder / "tiny.asd", *MEASURE, *options)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def numbers(value: object) -> Iterator[tuple[str, float]]:
    """Yield every number with the name it stands under."""
    pairs = value.items() if isinstance(value, dict) else ()
    for name, entry in pairs:
        if isinstance(entry, (int, float)):
            yield name, entry
        else:
            yield from numbers(entry)


@pytest.mark.parametrize(
    ("changes", "variant", "every", "context"),
    [
        (STREAMED, "stream/fp32", {"1 s", "0.2 s"}, 3 * 0.032),
        ({"precisions": ("fp32", "int8")}, "segment/int8", {"1.0 s"}, 0.0),
    ],
    ids=["stream", "segment"],
)
def test_every_figure_is_there(
    tmp_path: Path, changes: dict[str, Any], variant: str, every: set[str], context: float
) -> None:
    told = json.loads(bench(tmp_path, "--json", "--precision", variant.split("/")[1], **changes))
    assert set(told) == FIGURES
    assert (told["bundle"], told["variant"]) == ("tiny", variant)
    assert all(told["machine"].values())
    assert set(told["ratios"]) == set(told["costs"]) == every
    assert set(told["channels"]) == {"1", "2"}
    for name, number in numbers(told):
        assert math.isfinite(number), name
        # A spread may be nothing, and so is the context of a network that hears segments on their own.
        assert number > 0 or (number == 0 and name in ("deviation", "context")), name
    for name, ratio in told["ratios"].items():
        cost = told["costs"][name]
        assert ratio == pytest.approx(cost["recomputing"]["seconds"] / cost["streaming"]["seconds"])
    late = told["latency"]
    assert late["context"] == pytest.approx(context)
    assert late["context"] <= late["p50"] <= late["p99"]


def test_the_text_begins_with_the_ratios_and_names_the_machine(tmp_path: Path) -> None:
    lines = bench(tmp_path, **STREAMED).splitlines()
    assert lines[0].startswith("bundle tiny, stream/fp32, on ")
    assert "onnxruntime " in lines[0]
    assert [line.split("times cheaper")[0].split()[:5] for line in lines if "times cheaper" in line] == [
        ["a", "score", "every", "1", "s"],
        ["a", "score", "every", "0.2", "s"],
    ]
    assert lines[2].startswith("a score every")
    assert sum(" ± " in line for line in lines) >= 5


def test_a_precision_that_the_bundle_lacks_is_told(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path / "tiny.asd", precisions=("fp32", "int8"))
    ended = asd_edge("bench", "--bundle", tmp_path / "tiny.asd", "--precision", "fp8")
    assert (ended.returncode, "one of segment/fp32, segment/int8" in ended.stderr) == (1, True)


def test_a_file_that_is_no_bundle_is_an_error_that_helps(tmp_path: Path) -> None:
    bad = tmp_path / "bad.asd"
    bad.write_bytes(b"no bundle at all")
    ended = asd_edge("bench", "--bundle", bad, *MEASURE)
    assert ended.returncode == 1
    assert ended.stdout == ""
    for word in ("Cannot use the bundle", "found", "expected"):
        assert word in ended.stderr
    assert "Copy the bundle again" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_state_of_a_channel_is_counted_whole_and_once(tmp_path: Path) -> None:
    counted = state_bytes(make_tiny_bundle(tmp_path / "tiny.asd", **STREAMED).pipeline())
    pasts = 4 * CHANNELS * (FIRST_PAST + SECOND_PAST)
    stride = 4 * 32 * (BANDS * (DEPTH + HEADS) + 2)  # features, logits, powers
    sums = 4 * BANDS * HEADS * (2 * DEPTH + 2)  # mean, spread, weight, peak
    sound = 4 * 1024 + 4 * 128 * 5  # at most: the samples before a frame, frames that wait
    objects = 2048
    least = pasts + stride + sums
    assert least <= counted <= least + 2 * sums + sound + objects


def test_turns_measure_cpu_time_and_every_thing_has_them() -> None:
    small, large = np.ones((64, 64), np.float32), np.ones((512, 512), np.float32)
    runs = {"small": 0, "large": 0}

    def run(name: str, matrix: np.ndarray[Any, Any]) -> None:
        runs[name] += 1
        matrix @ matrix

    times = in_turns({"small": lambda: run("small", small), "large": lambda: run("large", large)}, seconds=0.0, least=3)
    assert 0.0 < 4.0 * times["small"].median < times["large"].median  # 512 times the arithmetic
    assert runs["small"] > runs["large"] >= 3  # short things run again within a turn
    assert Cost(times["large"].median, 0.0).channels == pytest.approx(1.0 / times["large"].median)
