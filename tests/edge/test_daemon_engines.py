"""The daemon's engines: onnxruntime at once, another one when it is built, true and faster, and back when it dies."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from asd_edge.bundle.bundle import Bundle
from asd_edge.config import DeviceConfig
from asd_edge.daemon.engines import Engines, Find
from asd_edge.daemon.scorer import Line, Scorer
from asd_edge.detector import Detector
from asd_edge.errors import EngineError
from asd_edge.events import Event, WindowScore
from asd_edge.pipeline import SegmentStreams
from asd_edge.scoring.decision import DecisionSpec
from asd_edge.serving.accelerator import Accelerator
from asd_edge.serving.choice import Choice, keep_choice, kept_choice, this_hardware
from asd_edge.serving.choose import compare_engines
from asd_edge.sinks.payloads import EngineReport
from asd_edge.sources.block import Block
from tests.edge.accelerators import BUILDS, FailingStream, SecondEngine, Wrong
from tests.edge.sound import RATE, noise
from tests.edge.test_engine_choice import QUICK_S, Slow, candidate
from tests.edge.tiny_bundle import STREAMED, make_tiny_bundle

PATIENCE_S = 30.0
DIED = RuntimeError("the GPU has fallen off the bus")


class Box:
    """What a daemon makes of a device file, with another accelerator."""

    def __init__(self, folder: Path, bundle: Bundle) -> None:
        self.folder, self.bundle, self.scorer = folder, bundle, Scorer()
        self.scorer.start()
        self.reports: list[EngineReport] = []
        self.config = DeviceConfig.model_validate(
            {
                "device": {"id": "box", "state_dir": str(folder / "state")},
                "bundle": {"path": str(folder / "tiny.asd")},
                "engine": {"build_timeout_s": 10},
                "machines": [{"id": "fan-7", "source": "sim:fan"}],
            }
        )

    def engines(self, find: Find | None) -> Engines:
        return Engines(self.config, self.bundle, self.scorer, self.reports.append, find)

    def settle(self, accelerator: Accelerator) -> EngineReport:
        """Start with an accelerator and return what serves when its thread is done."""
        engines = self.engines(lambda folder: accelerator)
        engines.start()
        engines._thread.join(PATIENCE_S)
        assert not engines._thread.is_alive()
        return self.served(engines)

    def served(self, engines: Engines) -> EngineReport:
        """Return the report after whatever waits for the scorer."""
        done: list[bool] = []
        self.scorer.between(lambda: done.append(True))
        wait_until(lambda: bool(done))
        return engines.report

    def keep(self, accelerator: SecondEngine, serves: str = "tensorrt") -> None:
        """Let the choice of an earlier start say that the accelerator is the faster one."""
        other = candidate("tensorrt/fp32", 1.0).model_copy(update={"engine_key": accelerator.key(self.bundle)})
        choice = Choice(
            bundle_id=self.bundle.bundle_id,
            kind="stream",
            hardware=this_hardware(),
            measured_utc="2026-01-02T03:04:05Z",
            threads=1,
            channels=1,
            engine=serves,  # type: ignore[arg-type]
            precision="fp32",
            precision_why="the device file names it",
            engine_why="it was measured faster",
            candidates=(candidate("onnxruntime/fp32", 5.0), other),
        )
        keep_choice(self.config.device.state_dir, choice)


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    monkeypatch.setattr("asd_edge.daemon.engines.compare_engines", partial(compare_engines, seconds=QUICK_S))
    made = Box(tmp_path, make_tiny_bundle(tmp_path / "tiny.asd", **STREAMED))
    yield made
    made.scorer.stop(PATIENCE_S)


def wait_until(true: Callable[[], bool]) -> None:
    deadline = monotonic() + PATIENCE_S
    while not true():
        assert monotonic() < deadline
        sleep(0.005)


def test_it_is_built_in_the_background_judged_and_the_choice_is_kept(box: Box) -> None:
    accelerator = SecondEngine(box.folder / "cache", engine=lambda plain: Slow(plain, print))
    report = box.settle(accelerator)
    assert accelerator.builds.read_text() == f"{box.folder / 'tiny.asd'} fp32\n"
    assert [r.reason for r in box.reports[:1]] == ["tensorrt is being built"]
    choice = kept_choice(box.config.device.state_dir, box.bundle)
    assert choice is not None
    assert choice.engine == "onnxruntime"
    assert report == EngineReport("onnxruntime", "fp32", f"tensorrt was judged: {choice.engine_why}")
    assert choice.precision_why == "the device file names it"
    assert {c.name for c in choice.candidates} == {"onnxruntime/fp32", "tensorrt/fp32"}

    accelerator._engine = lambda plain: pytest.fail("it was loaded")
    again = box.settle(accelerator)  # nothing is built, loaded or measured again
    assert again == report
    assert len(accelerator.builds.read_text().splitlines()) == 1
    assert kept_choice(box.config.device.state_dir, box.bundle) == choice


def test_one_that_is_faster_serves(box: Box, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    accelerator = SecondEngine(box.folder / "cache")
    box.keep(accelerator)
    assert box.settle(accelerator) == EngineReport("tensorrt", "fp32")
    assert "tensorrt serves from the next block on: it was measured faster" in caplog.messages


def test_another_build_of_it_is_measured_again(box: Box) -> None:
    box.keep(SecondEngine(box.folder / "cache", key="old"))
    slow = SecondEngine(box.folder / "cache", engine=lambda plain: Slow(plain, print), key="new")
    assert box.settle(slow).name == "onnxruntime"


@pytest.mark.parametrize("kept", [True, False])
def test_one_that_is_not_true_does_not_serve(box: Box, kept: bool) -> None:
    accelerator = SecondEngine(box.folder / "cache", engine=Wrong)
    if kept:
        box.keep(accelerator)
    report = box.settle(accelerator)
    assert report.name == "onnxruntime"
    assert report.reason is not None
    assert "fails parity: stream/fp32 on tensorrt: FAILED, deviation" in report.reason
    accelerator._engine = lambda plain: pytest.fail("it was loaded again at the next start")
    assert str(box.settle(accelerator).reason).startswith(f"tensorrt/fp32 failed: {report.reason}; it is tried again")


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        ("import sys; sys.exit('no kernel for Slice_3')", "the build ended with 1: no kernel for Slice_3"),
        (
            "import json; print(json.dumps({'error': 'The graph cannot be built: Slice_3'}))",
            "The graph cannot be built",
        ),
        ("print('{}')", "what was built is not in the cache"),
    ],
)
def test_a_build_that_fails_has_a_reason_and_is_not_begun_anew_at_every_start(
    box: Box, build: str, reason: str
) -> None:
    accelerator = SecondEngine(box.folder / "cache", build)
    first = box.settle(accelerator)
    assert first.name == "onnxruntime"
    assert str(first.reason).startswith(f"the build of tensorrt failed: {reason}")
    second = box.settle(accelerator)
    assert str(second.reason).startswith(f"tensorrt/fp32 failed: {reason}")
    assert "it is tried again at a start after 20" in str(second.reason)
    assert len(accelerator.builds.read_text().splitlines()) == 1
    # Another TensorRT, GPU or graph has another key.
    assert box.settle(SecondEngine(box.folder / "cache", build, key="another")).reason == first.reason


def broken(plain: Any) -> Any:
    raise EngineError("The engine cannot be loaded", found="version 10.2", expected="10.3", remedy="Build it again.")


@pytest.mark.parametrize(("engine", "reason"), [(broken, "The engine cannot be loaded: version 10.2"), (None, "TypeE")])
def test_one_that_cannot_be_loaded_does_not_serve(box: Box, engine: Any, reason: str) -> None:
    second = SecondEngine(box.folder / "cache", engine=engine)
    report = box.settle(second)
    assert report.name == "onnxruntime"
    assert str(report.reason).startswith(reason)
    second._engine = lambda plain: pytest.fail("it was loaded again at the next start")
    assert str(box.settle(second).reason).startswith(f"tensorrt/fp32 failed: {reason}")


def test_a_device_without_one_says_so(box: Box) -> None:
    def find(folder: Path) -> Accelerator:
        assert folder == box.folder / "state" / "engines"
        raise EngineError("There is no TensorRT", found="not installed", expected="a module", remedy="Install it.")

    engines = box.engines(find)
    assert engines.report == EngineReport("onnxruntime", "fp32", "TensorRT is looked for")
    engines.start()
    engines._thread.join(PATIENCE_S)
    assert engines.report == EngineReport("onnxruntime", "fp32", "There is no TensorRT: not installed")


def test_a_device_where_none_is_installed_starts_no_thread(box: Box) -> None:
    engines = box.engines(None)
    engines.start()
    engines.stop(PATIENCE_S)
    assert engines.report == EngineReport("onnxruntime", "fp32", "TensorRT is not installed")
    assert box.reports == []


def test_a_device_that_wants_none_looks_for_none(box: Box) -> None:
    off = box.config.engine.model_copy(update={"tensorrt": "off"})
    box.config = box.config.model_copy(update={"engine": off})
    engines = box.engines(lambda folder: pytest.fail("looked for"))
    engines.start()
    engines.stop(PATIENCE_S)
    assert engines.report == EngineReport("onnxruntime", "fp32", "engine.tensorrt is off")


def test_the_end_of_the_daemon_ends_the_build_and_is_no_failure(box: Box) -> None:
    accelerator = SecondEngine(box.folder / "cache", "import time; time.sleep(100)")
    engines = box.engines(lambda folder: accelerator)
    engines.start()
    wait_until(accelerator.builds.exists)
    began = monotonic()
    engines.stop(PATIENCE_S)
    assert monotonic() - began < PATIENCE_S
    assert not engines._thread.is_alive()
    assert not (box.config.engine_cache / "failures.json").exists()
    assert engines.report.reason == "tensorrt is being built"


def test_scores_go_on_from_the_start_through_the_switch_and_through_its_death(box: Box) -> None:
    """As the daemon runs: sound from the first moment, an engine that comes later and dies after a while."""
    accelerator = SecondEngine(box.folder / "cache", BUILDS, engine=lambda plain: FailingStream(plain, 60, DIED))
    box.keep(accelerator)
    engines = box.engines(lambda folder: accelerator)
    sound = noise(60.0)
    known = box.bundle.factory_conditions("fan", "00")
    heard: list[Event] = []
    serving: list[str] = []

    def publish(event: Event) -> None:
        heard.append(event)
        serving.append(engines.report.name)

    line = Line(box.scorer, Detector("fan-7", SegmentStreams(engines.pipeline), known, DecisionSpec()), publish)
    for number, start in enumerate(range(0, len(sound), RATE // 8)):
        if number == 100:
            assert serving.count("onnxruntime") == len(serving) > 0  # it scores before anything is looked for
            engines.start()
            wait_until(lambda: engines.report.name == "tensorrt")
        line.push(Block(sound[start : start + RATE // 8], start, 0.0))
    line.finish()

    alone = Detector("fan-7", SegmentStreams(box.bundle.pipeline()), known, DecisionSpec())
    expected: list[Event] = [
        event
        for start in range(0, len(sound), RATE // 8)
        for event in alone.process(Block(sound[start : start + RATE // 8], start, 0.0))
    ]
    assert scores(heard) == scores(expected)
    assert serving.count("tensorrt") > 0
    assert serving[-1] == "onnxruntime"
    assert engines.report == EngineReport("onnxruntime", "fp32", f"tensorrt failed: RuntimeError: {DIED}")
    assert [report.name for report in box.reports] == ["onnxruntime", "tensorrt", "onnxruntime"]


def scores(events: list[Event]) -> list[Any]:
    return [(event.start, event.stop, event.score) for event in events if isinstance(event, WindowScore)]


def test_the_kept_choice_is_plain_json(box: Box) -> None:
    box.keep(SecondEngine(box.folder / "cache"))
    content = json.loads((box.config.device.state_dir / "engine-choice.json").read_text())
    assert (content["format"], content["version"], content["engine"]) == ("asd-edge-choice", 1, "tensorrt")
