"""`asd-edge demo`: put the plot on the stage, watch it over MQTT, draw it, count the messages."""

from __future__ import annotations

import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

from asd_edge.bundle.archive import load_bundle
from asd_edge.demo.broker import demo_broker
from asd_edge.demo.director import PLOT, DemoError, Director
from asd_edge.demo.stage import MACHINE, TOPICS, Stage
from asd_edge.demo.story import Story
from asd_edge.demo.view import View
from asd_edge.sinks.mqtt_listener import listening
from asd_edge.terminal import missing_extra

_LISTEN_S = 0.1  # how long to wait for a message before looking at the clock and the children again
_FAREWELL_S = 5.0
_USUAL_SPEED = 12.0  # the plot's times hold at this speed and above


def run_demo(out: Path, *, speed: float, port: int, bundle: str = "default") -> None:
    """Play the whole demo and write the picture `out`.

    Raises:
        DemoError: something it promises did not happen.
        AsdEdgeError: the bundle, the broker or the picture's folder cannot be used.
    """
    if find_spec("matplotlib") is None:
        missing_extra("asd-edge demo", "demo", "matplotlib")
    from asd_edge.demo.picture import draw

    _check_folder(out)
    front_end = load_bundle(bundle).manifest.front_end.spec()
    story = Story(front_end.sample_rate)
    with tempfile.TemporaryDirectory(prefix="asd-edge-demo-") as folder, demo_broker(port) as broker:
        stage = Stage(Path(folder), bundle, front_end.sample_rate, speed, broker.port)
        with View(story, PLOT, broker=f"{broker.name} on 127.0.0.1:{broker.port}", speed=speed) as view:
            published = Performance(stage, story, view).play()
        draw(story, stage.recording, front_end, out)
    print(f"{out}: the whole story in one picture")
    print(f"published {published}, received {story.received} scores, alarms and events")
    if published != story.received:
        raise DemoError(
            "Messages got lost on the way",
            found=f"{story.received} received",
            expected=f"{published} published",
            remedy="Run the demo again; if it stays so, please report it.",
        )


class Performance:
    """One showing of the plot: the director sees what comes over MQTT, the stage does what the director wants."""

    def __init__(self, stage: Stage, story: Story, view: View) -> None:
        self._stage = stage
        self._story = story
        self._view = view
        self._director = Director(PLOT, now=monotonic(), patience=max(1.0, _USUAL_SPEED / stage.speed))
        self._arrivals: SimpleQueue[tuple[str, dict[str, Any]]] = SimpleQueue()
        self._enrolling: subprocess.Popen[str] | None = None
        self._published: int | None = None

    def play(self) -> int:
        """Play; return how many messages the daemon says it has published.

        Raises:
            DemoError: a chapter did not happen, or a child process failed.
        """
        self._stage.prepare()
        self._begin_chapter()
        everything = f"{TOPICS.prefix}/{TOPICS.device}/#"
        with listening(self._stage.port, everything, lambda *seen: self._arrivals.put(seen)):
            try:
                self._follow()
            finally:
                self._end_enrolling()
            deadline = monotonic() + _FAREWELL_S
            while self._published is None and monotonic() < deadline:
                self._take_arrival()
        if self._published is None:
            raise _broken("The daemon left without a word", "no offline status", "its retained status")
        return self._published

    def _begin_chapter(self) -> None:
        chapter = self._director.chapter
        self._story.chapters.append((self._story.now_s, chapter.label))
        self._stage.tell(chapter.machine)
        if chapter.enroll:
            self._enrolling = self._stage.start_enrolling(chapter.machine)

    def _follow(self) -> None:
        with self._stage.daemon() as daemon:
            while not self._director.over:
                self._director.check(now=monotonic())
                self._look_after(daemon)
                self._take_arrival()
                self._view.show(self._director.number)

    def _end_enrolling(self) -> None:
        if self._enrolling is not None:
            self._enrolling.kill()
            self._enrolling.communicate()

    def _look_after(self, daemon: subprocess.Popen[bytes]) -> None:
        if daemon.poll() is not None:
            raise _broken("The daemon ended during the demo", self._stage.last_words(), "a daemon that runs on")
        if self._enrolling is not None and self._enrolling.poll() is not None:
            _, complaint = self._enrolling.communicate()
            if self._enrolling.returncode != 0:
                raise _broken("The condition could not be enrolled", complaint.strip(), "asd-edge enroll to succeed")
            self._story.enrolled_at_s = self._story.now_s
            self._enrolling = None

    def _take_arrival(self) -> None:
        try:
            topic, payload = self._arrivals.get(timeout=_LISTEN_S)
        except Empty:
            return
        if topic == TOPICS.of(MACHINE, "alarm"):
            self._story.take_alarm(payload)
        elif topic == TOPICS.of(MACHINE, "score"):
            point = self._story.take_score(payload)
            if self._enrolling is not None:  # nothing counts before it has succeeded
                return
            if self._director.watch(point, alarm=self._story.alarm, now=monotonic()) and not self._director.over:
                self._begin_chapter()
        elif topic == TOPICS.of(MACHINE, "event"):
            self._story.received += 1
        elif topic == TOPICS.status and payload["state"] == "offline" and "messages" in payload:
            self._published = payload["messages"]["published"]


def _broken(what: str, found: str, expected: str) -> DemoError:
    return DemoError(
        what, found=found, expected=expected, remedy="Run the demo again; if it stays so, please report it."
    )


def _check_folder(out: Path) -> None:
    if not out.absolute().parent.is_dir():
        raise DemoError(
            "The picture has no place to go",
            found=f"no folder {out.absolute().parent}",
            expected="a folder that exists",
            remedy="Make the folder, or give another --out.",
        )
