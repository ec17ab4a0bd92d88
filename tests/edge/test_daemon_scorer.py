"""The scoring thread: everything that has arrived in one batch, one machine's trouble its own, no busy wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from time import monotonic, sleep, thread_time

import numpy as np
import pytest

from asd_edge.daemon.scorer import Line, Scorer
from asd_edge.detector import Detector
from asd_edge.errors import SourceError
from asd_edge.events import Event, WindowScore
from asd_edge.pipeline import SegmentStreams
from asd_edge.scoring.decision import DecisionSpec
from asd_edge.sources.block import Block
from tests.edge.sound import RATE, conditions_of, noise, pipeline

NORMAL = noise(6.0)
KNOWN = conditions_of(NORMAL, threshold=0.5)
PATIENCE_S = 20.0


@pytest.fixture
def scorer() -> Iterator[Scorer]:
    made = Scorer()
    made.start()
    yield made
    made.stop(PATIENCE_S)


@pytest.fixture
def streams() -> SegmentStreams:
    return SegmentStreams(pipeline())


def line(scorer: Scorer, streams: SegmentStreams, publish: Callable[[Event], None], name: str = "fan") -> Line:
    return Line(scorer, Detector(name, streams, KNOWN, DecisionSpec()), publish)


def blocks(size: int = 1600) -> Iterator[Block]:
    for start in range(0, len(NORMAL), size):
        yield Block(NORMAL[start : start + size], start, 0.0)


def scores(events: list[Event]) -> list[float | None]:
    return [event.score for event in events if isinstance(event, WindowScore)]


def expected(streams: SegmentStreams) -> list[float | None]:
    alone = Detector("fan", SegmentStreams(streams.pipeline), KNOWN, DecisionSpec())
    return scores([event for block in blocks() for event in alone.process(block)] + alone.flush())


def test_every_machine_gets_its_scores_in_order(scorer: Scorer, streams: SegmentStreams) -> None:
    heard: list[list[Event]] = [[] for _ in range(6)]

    def play(into: list[Event], size: int) -> None:
        mine = line(scorer, streams, into.append)
        for block in blocks(size):
            mine.push(block)
        mine.finish()

    threads = [threading.Thread(target=play, args=(into, 700 + 300 * i)) for i, into in enumerate(heard)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    for events in heard:
        assert len(events) > 5
        assert scores(events) == pytest.approx(expected(streams), abs=1e-5)


def test_a_score_says_how_late_it_is(scorer: Scorer, streams: SegmentStreams) -> None:
    events: list[Event] = []
    mine = line(scorer, streams, events.append)
    began = monotonic()
    for block in blocks():
        mine.push(Block(block.samples, block.start, 0.0, arrived=began - 1.0))
    mine.finish()
    for event in events:
        assert isinstance(event, WindowScore)
        assert event.delay_s is not None
        assert 1.0 <= event.delay_s <= monotonic() - began + 1.0 + 6.0


@pytest.mark.parametrize("trouble", ["samples", "publish"])
def test_one_machines_trouble_is_its_own(scorer: Scorer, streams: SegmentStreams, trouble: str) -> None:
    heard: list[Event] = []
    others = line(scorer, streams, heard.append, "other")

    def refuse(event: Event) -> None:
        raise SourceError("no", found="a", expected="b", remedy="c")

    ill = line(scorer, streams, refuse, "ill")
    raised: list[Exception] = []
    for block in blocks():
        others.push(block)
        if not raised:
            bad = block if trouble == "publish" else Block(np.zeros((10, 2), np.float32), block.start, 0.0)
            try:
                ill.push(bad)
                ill.finish()
            except Exception as error:
                raised.append(error)
    others.finish()
    assert [type(error) for error in raised] == [SourceError if trouble == "publish" else ValueError]
    assert scores(heard) == pytest.approx(expected(streams), abs=1e-5)
    with pytest.raises(type(raised[0])):  # the line is dead, its machine begins a new one
        ill.push(next(blocks()))


def test_a_source_faster_than_the_scorer_is_kept_waiting(streams: SegmentStreams) -> None:
    """Memory is bounded: without anybody scoring, two seconds of sound are taken and no more."""
    mine = line(Scorer(), streams, print)  # a scorer that never starts
    pushed: list[int] = []

    def play() -> None:
        for block in blocks():
            mine.push(block)
            pushed.append(len(block.samples))

    threading.Thread(target=play, daemon=True).start()
    deadline = monotonic() + PATIENCE_S
    while sum(pushed) < 2 * RATE and monotonic() < deadline:
        sleep(0.01)
    sleep(0.3)
    assert 2 * RATE <= sum(pushed) <= 2 * RATE + 1600


def test_an_idle_scorer_takes_no_time(scorer: Scorer, streams: SegmentStreams) -> None:
    used: list[float] = []
    mine = line(scorer, streams, lambda event: used.append(thread_time()))
    for block in blocks():
        mine.push(block)
    mine.finish()
    sleep(1.0)
    count = len(used)
    for block in blocks():  # a gap: a new stream, whose first events tell the time again
        mine.push(Block(block.samples, 10 * RATE + block.start, 0.0))
        if len(used) > count:
            break
    # Between the two the thread did the work of a few blocks and slept for a second.
    assert used[count] - used[count - 1] < 0.5
