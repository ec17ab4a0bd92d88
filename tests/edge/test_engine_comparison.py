"""What is measured again, and by whom: engines of the precision that is served, and one process at a time."""

from __future__ import annotations

import logging
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.variants import Precision
from asd_edge.serving.choice import Choice, keep_choice, kept_choice, this_hardware
from asd_edge.serving.choose import choose, compare_engines
from asd_edge.serving.decide import Enrolled
from asd_edge.serving.measuring import measuring
from asd_edge.serving.served import served_bundle
from tests.edge.precisions import make_bundle
from tests.edge.test_engine_choice import CPU, QUICK_S, device


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "three.asd")


def kept_before(bundle: Bundle) -> Choice:
    return Choice(
        bundle_id=bundle.bundle_id,
        kind="stream",
        hardware=this_hardware(),
        measured_utc="2026-01-02T03:04:05Z",
        threads=1,
        channels=2,
        engine="onnxruntime",
        precision="int8",
        precision_why="the fastest that passes parity",
        engine_why="it was measured faster",
        candidates=tuple(CPU),
    )


@pytest.mark.parametrize(
    ("served", "enrolled", "forced", "why"),
    [
        ("int8", {"fp32": ["fan-7"]}, True, "the fastest that passes parity"),
        ("int8", {"fp32": ["a", "b"], "int8": ["c"]}, False, "the fastest that passes parity"),
        ("int8", {"int8": ["c"]}, None, "conditions were enrolled with it (c)"),
        ("fp16", {"fp32": ["a"]}, None, "it serves since the daemon was started"),
    ],
)
def test_a_comparison_of_engines_does_not_decide_the_precision_again(
    bundle: Bundle, tmp_path: Path, served: Precision, enrolled: Enrolled, forced: bool | None, why: str
) -> None:
    """`forced`: of the choice that is kept before; None where none is."""
    config, view = device(tmp_path), bundle.at(served)
    if forced is not None:
        told = {"precision": served, "forced": forced, "precision_why": "the fastest that passes parity"}
        keep_choice(config.device.state_dir, kept_before(bundle).model_copy(update=told))
    pipelines: Any = {"onnxruntime": view.pipeline(), "tensorrt": view.pipeline()}
    choice = compare_engines(config, view, pipelines, enrolled=enrolled, engine_key="k", seconds=QUICK_S)
    assert (choice.precision, choice.precision_why, choice.forced) == (served, why, bool(forced))
    assert choice == kept_choice(config.device.state_dir, view)


def test_two_that_start_at_once_measure_once(
    bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_edge.serving.served.choose", partial(choose, seconds=QUICK_S))
    caplog.set_level(logging.INFO)
    config = device(tmp_path)
    served: list[str] = []
    threads = [threading.Thread(target=lambda: served.append(served_bundle(config).precision)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
    assert caplog.text.count("this is done once") == 1
    kept = kept_choice(config.device.state_dir, bundle)
    assert kept is not None
    assert served == [kept.precision] * 3


def test_nobody_waits_for_ever_and_a_folder_that_cannot_be_written_holds_nobody_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with measuring(tmp_path), measuring(tmp_path, patience_s=0.1):
        assert "Another process is still measuring this device" in caplog.text
    with measuring(tmp_path, patience_s=0.1):  # the first has let go
        assert caplog.text.count("Another process") == 1
    (tmp_path / "file").touch()
    with measuring(tmp_path / "file", patience_s=0.0):
        assert caplog.text.count("Another process") == 1
