"""Engines that take the process with them, and those that hang: the next start serves on the CPU, and says why."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asd_edge.daemon import probation
from asd_edge.daemon.probation import Probation
from asd_edge.daemon.stall import Stall
from asd_edge.serving.failures import FailureBook
from asd_edge.serving.trial import OnTrial, Trial
from asd_edge.sinks.payloads import EngineReport
from tests.edge.accelerators import SecondEngine
from tests.edge.device import write_device
from tests.edge.test_daemon_engines import PATIENCE_S, Box
from tests.edge.tiny_bundle import STREAMED, make_tiny_bundle


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box(tmp_path, make_tiny_bundle(tmp_path / "tiny.asd", **STREAMED))
    yield made
    made.scorer.stop(PATIENCE_S)


def mark(box: Box) -> Path:
    return box.config.device.state_dir / "engine-on-trial.json"


def daemon(box: Box, how: str) -> subprocess.CompletedProcess[str]:
    """Let a daemon begin whose faster engine, which is built and was measured, is its end."""
    accelerator = SecondEngine(box.folder / "cache")
    accelerator.built.touch()
    box.keep(accelerator)
    machine = {"id": "fan-7", "source": "sim:fan", "speed": 20.0, "factory": "fan/00"}
    device = write_device(box.folder, box.folder / "tiny.asd", 1, machine)
    command = [sys.executable, "-m", "tests.edge.dying_daemon", device, box.folder / "cache", how]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


@pytest.mark.parametrize(("how", "what"), [("serve", "tensorrt/fp32"), ("search", "tensorrt")])
def test_an_engine_that_ends_the_process_is_not_tried_at_the_next_start(box: Box, how: str, what: str) -> None:
    died = daemon(box, how)
    assert died.returncode == -signal.SIGSEGV, died.stderr
    assert ("tensorrt serves from the next block on" in died.stderr) == (how == "serve")
    assert json.loads(mark(box).read_text())["what"] == what

    untouched = SecondEngine(box.folder / "cache", engine=lambda plain: pytest.fail("it was loaded"))
    report = box.settle(untouched)
    assert report.name == "onnxruntime"
    assert str(report.reason).startswith(f"{what} failed: the process died while it served; it is tried again at")
    assert not mark(box).exists()
    assert box.settle(untouched) == report

    FailureBook(box.config.engine_cache).clear()  # as asd-edge engines clean does
    assert box.settle(SecondEngine(box.folder / "cache")) == EngineReport("tensorrt", "fp32")


def test_an_engine_that_hangs_ends_the_daemon_and_is_not_tried_at_the_next_start(box: Box) -> None:
    ended = daemon(box, "hang")  # however long what is left of the engine would take to go
    assert ended.returncode == 1, ended.stderr
    assert "CRITICAL:asd_edge.daemon.probation:The engine hangs: it did not return within 0.5 s" in ended.stderr
    assert not mark(box).exists()
    report = box.settle(SecondEngine(box.folder / "cache", engine=lambda plain: pytest.fail("it was loaded")))
    assert report.name == "onnxruntime"
    assert str(report.reason).startswith("tensorrt/fp32 failed: it did not return within 0.5 s; it is tried again at")


def test_an_end_as_it_should_be_leaves_no_mark_and_forgets_earlier_failures(box: Box) -> None:
    accelerator = SecondEngine(box.folder / "cache")
    box.keep(accelerator)
    key = accelerator.key(box.bundle)
    long_ago = FailureBook(box.config.engine_cache, lambda: 1_000_000_000.0)
    long_ago.note(key, "tensorrt/fp32", "the process died while it served")
    engines = box.engines(lambda folder: accelerator)
    engines.start()
    engines._thread.join(PATIENCE_S)
    assert box.served(engines).name == "tensorrt"
    assert json.loads(mark(box).read_text())["key"] == key
    assert long_ago.failure(key) is not None  # it may die yet, and then waits for longer than the first time
    engines.stop(PATIENCE_S)
    assert not mark(box).exists()
    assert long_ago.failure(key) is None


def test_a_mark_of_before_a_power_cut_says_nothing(box: Box) -> None:
    accelerator = SecondEngine(box.folder / "cache")
    box.keep(accelerator)
    left = OnTrial(key=accelerator.key(box.bundle), what="tensorrt/fp32", boot_id="another")
    mark(box).write_text(left.model_dump_json())
    assert box.settle(accelerator) == EngineReport("tensorrt", "fp32")


def test_without_a_mark_nothing_is_tried(box: Box) -> None:
    accelerator = SecondEngine(box.folder / "cache", engine=lambda plain: pytest.fail("it was loaded"))
    box.keep(accelerator)
    mark(box).mkdir()
    report = box.settle(accelerator)
    assert str(report.reason).startswith("An engine that may end the process is not tried: ")
    assert FailureBook(box.config.engine_cache).failures() == {}


@pytest.mark.parametrize("damage", [b"", b"{", b'{"format": "asd-edge-engine-on-trial", "version": 2}'])
def test_a_damaged_mark_is_none(tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "engine-on-trial.json").write_bytes(damage)
    assert Trial(tmp_path).left() is None
    assert "Whether an engine ended the process is not known" in caplog.text


def test_what_serves_for_long_has_its_failures_forgotten(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = Probation(box.config)
    tried.failures.note("k", "tensorrt/fp32", "no room")
    tried.begin("k", "tensorrt/fp32")
    tried.serves()
    assert not tried.hangs(None)
    assert tried.failures.failure("k") is not None
    monkeypatch.setattr(probation, "_PROVEN_AFTER_S", 0.0)
    assert not tried.hangs(None)
    assert tried.failures.failure("k") is None
    tried.failures.note("k", "tensorrt/fp32", "another process")
    assert not tried.hangs(None)
    assert tried.failures.failure("k") is not None  # forgotten once, not at every look
    tried.close()
    assert not tried.begin("k", "tensorrt/fp32")  # a thread that is late
    assert not mark(box).exists()


class TestStall:
    def looks(self, *seen: tuple[float, int | None]) -> list[bool]:
        now = [0.0]
        stall = Stall(3.0, lambda: now[0])
        answers = []
        for now[0], run in seen:
            answers.append(stall.look(run))
        return answers

    def test_one_run_that_lasts_is_one(self) -> None:
        assert self.looks((1, 7), (2, 7), (3, 7), (4, 7), (4.5, 7)) == [False] * 4 + [True]

    def test_runs_that_follow_each_other_are_none(self) -> None:
        assert not any(self.looks(*((0.9 * number, number) for number in range(1, 20))))
        assert not any(self.looks((1, 7), (3, 7), (4, None), (6, 7), (8, 7)))

    def test_a_process_that_was_stopped_has_not_stood_still(self) -> None:
        assert not any(self.looks((1, 7), (100, 7), (101, 8), (200, 8)))
