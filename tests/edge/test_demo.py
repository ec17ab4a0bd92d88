"""The demo: its plot without a machine, and the whole of it with one."""

from __future__ import annotations

import io
import os
import socket
import struct
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from asd_edge.config import load_config
from asd_edge.demo import broker as demo_broker_module
from asd_edge.demo import stage as stage_module
from asd_edge.demo.director import CONDITION, PLOT, QUIET_SCORES, Chapter, DemoError, Director
from asd_edge.demo.show import run_demo
from asd_edge.demo.stage import KIND, Stage
from asd_edge.demo.story import Point, Story
from asd_edge.demo.view import View
from asd_edge.errors import SinkError
from asd_edge.simulator import OperatingState
from asd_edge.sources.open import open_source
from tests.edge.device import ASD_EDGE, asd_edge
from tests.edge.required import required_module
from tests.edge.tiny_bundle import make_tiny_bundle, tiny_description

QUIET = Point(1.0, 0.1, 0.2, "source")
LOUD = Point(1.0, 0.3, 0.2, "source")
IDLE = Point(1.0, None, None, None)
STATE = OperatingState()


def chapters(*wanted: str, linger: int = 0) -> tuple[Chapter, ...]:
    return tuple(
        Chapter(f"{i}", f"chapter {i}", STATE, until=until, linger=linger)  # type: ignore[arg-type]
        for i, until in enumerate(wanted)
    )


def test_quiet_needs_scores_in_a_row_and_no_alarm() -> None:
    director = Director(chapters("quiet"), now=0.0)
    seen = [(QUIET, False)] * (QUIET_SCORES - 1) + [(LOUD, False)]
    seen += [(QUIET, True)] * QUIET_SCORES + [(IDLE, False)]
    seen += [(QUIET, False)] * (QUIET_SCORES - 1)
    assert not any(director.watch(point, alarm=alarm, now=0.0) for point, alarm in seen)
    assert director.watch(QUIET, alarm=False, now=0.0)
    assert director.over


def test_after_an_enrollment_only_scores_of_the_enrolled_condition_are_quiet() -> None:
    chapter = Chapter("0", "chapter 0", STATE, until="quiet", enroll=True, linger=0)
    director = Director((chapter,), now=0.0)
    assert not any(director.watch(QUIET, alarm=False, now=0.0) for _ in range(50))
    enrolled = replace(QUIET, condition=CONDITION)
    assert [director.watch(enrolled, alarm=False, now=0.0) for _ in range(QUIET_SCORES)][-1]


def test_scores_over_the_threshold_are_no_alarm_yet() -> None:
    director = Director(chapters("alarm"), now=0.0)
    assert not any(director.watch(LOUD, alarm=False, now=0.0) for _ in range(50))
    assert director.watch(LOUD, alarm=True, now=0.0)


def test_a_chapter_lingers_after_its_end_was_seen() -> None:
    director = Director(chapters("alarm", "alarm", linger=2), now=0.0)
    assert [director.watch(LOUD, alarm=True, now=0.0) for _ in range(3)] == [False, False, True]
    assert director.number == 1
    assert not director.over


@pytest.mark.parametrize("number", range(len(PLOT)))
def test_a_chapter_that_does_not_happen_in_time_is_named(number: int) -> None:
    director = Director(PLOT, now=0.0)
    now = 0.0
    while director.number < number:
        alarm = director.chapter.until == "alarm"
        now += 0.1
        director.watch(LOUD if alarm else replace(QUIET, condition=CONDITION), alarm=alarm, now=now)
    director.check(now=now + PLOT[number].within_s - 0.1)
    with pytest.raises(DemoError, match=PLOT[number].title):
        director.check(now=now + PLOT[number].within_s + 0.1)


def test_quiet_that_does_not_last_is_no_quiet() -> None:
    director = Director(chapters("quiet", "alarm", linger=3), now=0.0)
    for _ in range(5):
        assert not any(director.watch(QUIET, alarm=False, now=0.0) for _ in range(QUIET_SCORES + 2))
        assert not director.watch(LOUD, alarm=False, now=0.0)
    assert [director.watch(QUIET, alarm=False, now=0.0) for _ in range(QUIET_SCORES + 3)].index(True) == 10


def test_patience_stretches_the_time() -> None:
    director = Director(chapters("alarm"), now=0.0, patience=3.0)
    director.check(now=59.0)
    with pytest.raises(DemoError):
        director.check(now=61.0)


def test_the_plot_tells_everything_that_the_demo_promises() -> None:
    assert [chapter.until for chapter in PLOT] == ["quiet", "alarm", "quiet", "alarm", "quiet"]
    assert [chapter.enroll for chapter in PLOT] == [False, False, True, False, False]
    assert [chapter.machine.fault is not None for chapter in PLOT] == [False, False, False, True, False]
    assert PLOT[1].machine == PLOT[2].machine == PLOT[4].machine != PLOT[0].machine


def story() -> Story:
    told = Story(rate=16_000)
    told.take_alarm({"active": False})  # the daemon has just started
    for second in range(1, 31):
        loud = 10 <= second < 20
        told.take_score(
            {
                "stop": second * 16_000,
                "score": 0.3 if loud else 0.1,
                "threshold": 0.2,
                "condition": "source",
            }
        )
        if second in (14, 24):
            told.take_alarm({"active": second == 14})
    return told


def test_a_story_keeps_alarm_spans_and_counts_every_message() -> None:
    told = story()
    assert told.alarms == [(14.0, 24.0)]
    assert not told.alarm
    assert told.received == 33
    assert told.now_s == 30.0


@pytest.mark.parametrize("terminal", [False, True])
def test_the_view_shows_chapters_score_and_counts(terminal: bool) -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=terminal, width=100)
    with View(story(), PLOT, broker="mosquitto", speed=12.0, console=console) as view:
        for number in range(len(PLOT) + 1):
            view.show(number)
    text = shown.getvalue()
    for chapter in PLOT:
        assert chapter.title in text
    assert "12× real time" in text
    assert ("33 messages received" in text) == terminal


def png_size(path: Path) -> tuple[int, int]:
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    return width, height


@pytest.fixture
def needs_matplotlib() -> None:
    required_module("matplotlib", "demo")


@pytest.mark.slow
@pytest.mark.usefixtures("needs_matplotlib")
def test_the_whole_demo_happens_in_less_than_a_minute(tmp_path: Path) -> None:
    began = time.monotonic()
    told = asd_edge("demo", "--out", tmp_path / "demo.png", timeout_s=90)
    assert told.returncode == 0, told.stderr
    assert time.monotonic() - began < 60.0
    published, received = (int(word.strip(",")) for word in told.stdout.split()[-8:] if word.strip(",").isdigit())
    assert published == received > 60
    width, height = png_size(tmp_path / "demo.png")
    assert width > 1000
    assert height > 500


@pytest.mark.slow
@pytest.mark.usefixtures("needs_matplotlib")
def test_the_demo_does_without_mosquitto(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    required_module("amqtt", "demo")
    monkeypatch.setattr(demo_broker_module, "find_mosquitto", lambda: "")
    run_demo(tmp_path / "demo.png", speed=16.0, port=0)
    shown = capsys.readouterr().out
    assert "amqtt on 127.0.0.1" in shown
    assert "published" in shown
    png_size(tmp_path / "demo.png")


@pytest.mark.slow
@pytest.mark.usefixtures("needs_matplotlib")
def test_a_bundle_that_hears_nothing_fails_the_demo(tmp_path: Path) -> None:
    known = [m.model_copy(update={"machine": KIND}) for m in tiny_description().variants[0].machines]
    make_tiny_bundle(tmp_path / "deaf.asd", machines=tuple(known))  # its centres are noise: nothing sounds normal
    told = asd_edge(
        "demo", "--bundle", tmp_path / "deaf.asd", "--out", tmp_path / "demo.png", "--speed", "40", timeout_s=90
    )
    assert told.returncode == 1
    assert PLOT[0].title in told.stderr
    assert not (tmp_path / "demo.png").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("needs_matplotlib")
def test_an_enrollment_that_fails_fails_the_demo_with_its_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_module, "_CLIP_S", 0.5)  # clips too short to enroll
    with pytest.raises(DemoError, match="could not be enrolled") as caught:
        run_demo(tmp_path / "demo.png", speed=20.0, port=0)
    assert "remedy:" in caught.value.found  # what the command said


def test_a_port_where_somebody_listens_is_refused() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as foreign,
        pytest.raises(SinkError, match="cannot have this port"),
        demo_broker_module.demo_broker(foreign.getsockname()[1]),
    ):
        pass


def test_a_folder_of_any_name_can_be_the_stage(tmp_path: Path) -> None:
    folder = tmp_path / "a&b c+d%41#"
    folder.mkdir()
    stage = Stage(folder, "default", 16_000, 0.0, 1883)
    stage.prepare()
    stage.tell(STATE)
    source = open_source(load_config(folder / "device.toml").machines[0].source, rate=16_000, speed=0.0)
    next(source.blocks())
    source.close()
    assert stage.recording.exists()


@pytest.mark.usefixtures("needs_matplotlib")
def test_a_picture_without_a_place_is_refused_at_once(tmp_path: Path) -> None:
    told = asd_edge("demo", "--out", tmp_path / "absent" / "demo.png", timeout_s=20)
    assert told.returncode == 1
    assert "--out" in told.stderr


def test_without_its_extra_the_demo_says_what_to_install(tmp_path: Path) -> None:
    hidden = tmp_path / "sitecustomize.py"  # as if the base distribution alone were installed
    hidden.write_text(
        "import importlib.util as u\n"
        "found = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'matplotlib' else found(name, *rest)\n"
    )
    told = subprocess.run(
        [*ASD_EDGE, "demo"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert told.returncode == 1
    assert "asd-edge[demo]" in told.stderr
