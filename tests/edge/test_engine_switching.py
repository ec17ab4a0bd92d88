"""A switch of engines, and an engine that dies, cost no window and change no score."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from asd_edge.bundle.archive import Bundle, load_bundle
from asd_edge.daemon.scorer import Line, Scorer
from asd_edge.detector import Detector, advance
from asd_edge.engines.switching import AnySwitching, switching
from asd_edge.events import Event, Judgement, WindowScore
from asd_edge.pipeline import SegmentStreams
from asd_edge.scoring.decision import DecisionSpec
from asd_edge.sources.block import Block
from tests.edge.failing_engine import Failing
from tests.edge.sound import RATE, noise
from tests.edge.tiny_bundle import STREAMED, make_tiny_bundle

MACHINES = 3
BLOCK = RATE // 4
SOUND = [noise(20.0, seed=machine) for machine in range(MACHINES)]
DIED = RuntimeError("CUDA error:\n an illegal memory access was encountered")
DIED_TEXT = "RuntimeError: CUDA error: an illegal memory access was encountered"


@pytest.fixture(params=["segment", "stream"], scope="module")
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    changes: dict[str, Any] = STREAMED if request.param == "stream" else {}
    return make_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny.asd", **changes)


class Device:
    """Detectors that share one switching embedder, as in a daemon."""

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self.given_up: list[str] = []
        plain = bundle.pipeline(threads)
        self.embedder: AnySwitching = switching(plain.embedder, self.given_up.append)
        self.streams = SegmentStreams(replace(plain, embedder=self.embedder))
        known = bundle.factory_conditions("fan", "00")
        self.detectors = [Detector(f"fan-{i}", self.streams, known, DecisionSpec()) for i in range(MACHINES)]

    def use(self, engine: Any) -> None:
        self.embedder.use(engine)

    def hear(self, sound: list[Any] = SOUND, *, switch_at: int = -1, to: Any = None) -> list[list[Judgement]]:
        """Let all detectors hear their sound; switch `to` an engine before block `switch_at`."""
        heard: list[list[Judgement]] = [[] for _ in self.detectors]
        for number, start in enumerate(range(0, len(sound[0]), BLOCK)):
            if number == switch_at:
                self.use(to)
            blocks = [Block(samples[start : start + BLOCK], start, 0.0, arrived=0.0) for samples in sound]
            for events, result in zip(heard, advance(self.detectors, blocks), strict=True):
                assert isinstance(result, list)
                events += result
        return heard


@pytest.fixture
def unswitched(bundle: Bundle) -> list[list[Judgement]]:
    heard = Device(bundle).hear()
    assert all(len(events) >= 10 for events in heard)
    return heard


@pytest.mark.parametrize("switch_at", [0, 1, 37, 70])
def test_a_switch_between_two_blocks_changes_no_score(
    bundle: Bundle, unswitched: list[list[Judgement]], switch_at: int
) -> None:
    faster = Failing(bundle.pipeline().embedder, None)
    device = Device(bundle)
    assert device.hear(switch_at=switch_at, to=faster) == unswitched
    assert faster.ran > 0
    assert device.given_up == []


@pytest.mark.parametrize("calls", [0, 1, 2, 13])
@pytest.mark.parametrize("failure", [DIED, None], ids=["raises", "is_no_number"])
def test_an_engine_that_dies_in_the_middle_costs_no_window(
    bundle: Bundle, unswitched: list[list[Judgement]], calls: int, failure: Exception | None
) -> None:
    faster = Failing(bundle.pipeline().embedder, calls, failure)
    device = Device(bundle)
    assert device.hear(switch_at=8, to=faster) == unswitched
    assert faster.ran == calls + 1  # it is not asked again
    expected = DIED_TEXT if failure else "it gave what is no number, where the other engine gives one"
    assert device.given_up == [expected]


def test_sound_that_is_no_number_is_not_the_engines_fault(bundle: Bundle) -> None:
    spoilt = [samples.copy() for samples in SOUND]
    spoilt[1][RATE : 2 * RATE] = np.nan
    device = Device(bundle)
    alone = Device(bundle).hear(spoilt)
    assert device.hear(spoilt, switch_at=0, to=bundle.pipeline().embedder) == alone
    assert device.given_up == []


def test_it_goes_back_when_told(bundle: Bundle, unswitched: list[list[Judgement]]) -> None:
    faster = Failing(bundle.pipeline().embedder, None)
    device = Device(bundle)
    device.use(faster)
    device.embedder.stop_using()
    assert device.hear() == unswitched
    assert faster.ran == 0


@pytest.fixture
def scorer() -> Iterator[Scorer]:
    made = Scorer()
    made.start()
    yield made
    made.stop(20.0)


def test_the_scorers_thread_switches_between_blocks_while_it_scores(scorer: Scorer) -> None:
    """The default network; two threads make the faster engine, and it dies later."""
    default = load_bundle("default")
    known = default.factory_conditions("fan", "00")
    given_up: list[str] = []
    plain = default.pipeline()
    embedder = switching(plain.embedder, given_up.append)
    streams = SegmentStreams(replace(plain, embedder=embedder))
    faster = Failing(default.pipeline(threads=2).embedder, 60, DIED)
    threads_of_switch: list[str] = []
    heard: list[list[Event]] = [[] for _ in range(MACHINES)]

    def switch() -> None:
        threads_of_switch.append(threading.current_thread().name)
        embedder.use(faster)  # type: ignore[arg-type]

    def play(line: Line, sound: Any) -> None:
        for number, start in enumerate(range(0, len(sound), BLOCK)):
            if number == 20 and line is lines[0]:
                scorer.between(switch)
            line.push(Block(sound[start : start + BLOCK], start, 0.0))
        line.finish()

    detectors = [Detector(f"fan-{i}", streams, known, DecisionSpec()) for i in range(MACHINES)]
    lines = [Line(scorer, mine, into.append) for mine, into in zip(detectors, heard, strict=True)]
    players = [threading.Thread(target=play, args=pair) for pair in zip(lines, SOUND, strict=True)]
    for player in players:
        player.start()
    for player in players:
        player.join(60.0)

    assert threads_of_switch == ["scorer"]
    assert faster.ran == 61
    assert given_up == [DIED_TEXT]
    expected = Device(default).hear()
    for events, alone in zip(heard, expected, strict=True):
        assert [_where(event) for event in events] == [_where(event) for event in alone]
        # Another thread count and another batch sum in another order.
        assert _scores(events) == pytest.approx(_scores(alone), abs=1e-5)


def _where(event: Event) -> Any:
    return (type(event), event.start, event.stop) if isinstance(event, WindowScore) else type(event)


def _scores(events: Any) -> list[float]:
    return [event.score for event in events if isinstance(event, WindowScore) and event.score is not None]
