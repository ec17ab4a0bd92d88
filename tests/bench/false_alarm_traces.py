"""Hours of scores of simulated machines that run normally, through the real detector: what false_alarms.py counts in.

    python -m tests.bench.false_alarm_traces [FOLDER]

Each hour is a file of its own; a run that was cut off goes on with the next hour (the detectors then begin anew, as
after a gap). Thresholds play no part: a score does not depend on them, so alarms are counted afterwards.
"""

from __future__ import annotations

import argparse
import pickle
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asd_edge.atomic import atomic_write
from asd_edge.bundle.archive import load_bundle
from asd_edge.detector import Detector, advance
from asd_edge.events import AlarmChange, Event, WindowScore
from asd_edge.imprint import heard_clips
from asd_edge.offline import embed_clip, idle_floor_of
from asd_edge.pipeline import ChannelState, Pipeline, Samples, SegmentStreams
from asd_edge.scoring.aggregation import EmbeddedSegments
from asd_edge.scoring.backends.nearest_centre import NearestCentre
from asd_edge.scoring.calibration import Trace, alarms_at
from asd_edge.scoring.conditions import Condition, ConditionSet
from asd_edge.scoring.decision import DecisionSpec
from asd_edge.simulator import OperatingState, SimulatedMachine
from asd_edge.sources.block import Block

FOLDER = Path(tempfile.gettempdir()) / "asd-edge-false-alarms"
CALIBRATION_H, TEST_H = 6, 20
CLIPS, CLIP_S, BETWEEN_CLIPS_S = 3, 10, 120
UNIT = 3
"""A copy of each machine that the default bundle was not trained on."""
_SEED = 2026


@dataclass(frozen=True, slots=True)
class Simulated:
    """One simulated machine in one operating condition."""

    kind: str
    state: OperatingState

    @property
    def name(self) -> str:
        """What tables call it."""
        return f"{self.kind}, speed {self.state.speed:g}, load {self.state.load:g}, mounting {self.state.mounting}"


MACHINES = (
    Simulated("fan", OperatingState(speed=1.0, load=0.5, mounting="A")),
    Simulated("pump", OperatingState(speed=0.8, load=0.8, mounting="B")),
    Simulated("gearbox", OperatingState(speed=1.4, load=0.9, mounting="A")),
    Simulated("bearing", OperatingState(speed=1.2, load=0.2, mounting="C")),
    Simulated("slider", OperatingState(speed=0.9, load=0.6, mounting="A")),
)


class KeepingStreams(SegmentStreams):
    """Streams that keep what they embedded last, so that other enrollments can be tried on the same sound."""

    latest: list[EmbeddedSegments]

    def advance(self, states: Sequence[ChannelState], blocks: Sequence[Samples]) -> list[EmbeddedSegments]:
        """Take the next samples of some channels; return the segments they complete."""
        self.latest = super().advance(states, blocks)
        return self.latest


def main() -> None:
    """Simulate what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    pipeline = load_bundle("default").pipeline()
    machines, enrolled = _begin(folder, pipeline)
    streams = KeepingStreams(pipeline)
    detectors = [Detector(m.kind, streams, known, DecisionSpec()) for m, known in zip(MACHINES, enrolled, strict=True)]
    for hour in range(CALIBRATION_H + TEST_H):
        if hour_file(folder, hour).exists():
            continue
        began = time.process_time()
        found = _hour(hour, machines, detectors, streams)
        with atomic_write(folder / "machines.pickle") as stream:  # scratch of this benchmark alone
            pickle.dump(machines, stream)
        with atomic_write(hour_file(folder, hour)) as stream:
            np.savez(stream, **found)  # type: ignore[arg-type]  # NumPy's stub takes the names for allow_pickle
        print(f"hour {hour}: {time.process_time() - began:.0f} s of CPU", flush=True)


def raised_and_counted(folder: Path, thresholds: Sequence[float], minutes: int) -> list[tuple[int, int]]:
    """Let real detectors with these thresholds hear some more minutes; return what they raised and what we count."""
    pipeline = load_bundle("default").pipeline()
    machines, enrolled = _begin(folder, pipeline)
    streams, decision = SegmentStreams(pipeline), DecisionSpec()
    known = [
        replace(conditions, conditions=(replace(conditions.conditions[0], threshold=threshold),))
        for conditions, threshold in zip(enrolled, thresholds, strict=True)
    ]
    detectors = [Detector(m.kind, streams, one, decision) for m, one in zip(MACHINES, known, strict=True)]
    events: list[list[Event]] = [[] for _ in machines]
    for minute in range(minutes):
        for heard, new in zip(events, advance(detectors, _minute(machines, minute)), strict=True):
            if isinstance(new, Exception):
                raise new
            heard += new
    found = []
    for heard, threshold in zip(events, thresholds, strict=True):
        raised = sum(isinstance(event, AlarmChange) and event.begins for event in heard)
        times, scores = _scores(heard, pipeline.front_end.sample_rate)
        trace = Trace(np.array(times), np.array(scores), pipeline.score_every_s)
        found.append((raised, len(alarms_at(trace, threshold, decision))))
    return found


def hour_file(folder: Path, hour: int) -> Path:
    """Return where an hour of all machines is kept."""
    return folder / f"hour-{hour:02d}.npz"


def _begin(folder: Path, pipeline: Pipeline) -> tuple[list[SimulatedMachine], list[ConditionSet]]:
    rate = pipeline.front_end.sample_rate
    clips_file, machines_file = folder / "clips.npz", folder / "machines.pickle"
    if machines_file.exists():
        machines = pickle.loads(machines_file.read_bytes())
    else:
        machines = [
            SimulatedMachine(m.kind, seed=[_SEED, i], state=m.state, sample_rate=rate, unit=UNIT)
            for i, m in enumerate(MACHINES)
        ]
        clips = {f"{m.kind}-{i}": clip for m, s in zip(MACHINES, machines, strict=True) for i, clip in _clips(s)}
        with atomic_write(clips_file) as stream:
            np.savez(stream, **clips)  # type: ignore[arg-type]
        with atomic_write(machines_file) as stream:
            pickle.dump(machines, stream)
    with np.load(clips_file) as kept:
        return machines, [_enrolled(pipeline, [kept[f"{m.kind}-{i}"] for i in range(CLIPS)]) for m in MACHINES]


def _clips(machine: SimulatedMachine) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Cut clips, minutes apart, from the same endless recording that the hours then go on with."""
    for number in range(CLIPS):
        yield number, machine.render(CLIP_S * machine.sample_rate)
        machine.render(BETWEEN_CLIPS_S * machine.sample_rate)


def _enrolled(pipeline: Pipeline, clips: list[NDArray[np.float32]]) -> ConditionSet:
    embedded = [embed_clip(pipeline, clip, name=f"{i}") for i, clip in enumerate(clips)]
    floor = idle_floor_of(embedded)
    centre = NearestCentre().fit(heard_clips({"": embedded}, floor))
    return ConditionSet(NearestCentre(), (Condition("enrolled", centre, 2.0),), floor)


def _hour(
    hour: int, machines: list[SimulatedMachine], detectors: list[Detector], streams: KeepingStreams
) -> dict[str, NDArray[np.generic]]:
    rate = detectors[0].rate
    times: list[list[float]] = [[] for _ in machines]
    scores: list[list[float]] = [[] for _ in machines]
    segments: list[list[EmbeddedSegments]] = [[] for _ in machines]
    for minute in range(60):
        for i, events in enumerate(advance(detectors, _minute(machines, 60 * hour + minute))):
            if isinstance(events, Exception):
                raise events
            new_times, new_scores = _scores(events, rate)
            times[i] += new_times
            scores[i] += new_scores
            segments[i].append(streams.latest[i].copied())
    found: dict[str, NDArray[np.generic]] = {}
    for i, machine in enumerate(MACHINES):
        found[f"{machine.kind}-times"] = np.array(times[i])
        found[f"{machine.kind}-scores"] = np.array(scores[i])
        found[f"{machine.kind}-embeddings"] = np.concatenate([part.embeddings for part in segments[i]])
        found[f"{machine.kind}-first_frame"] = np.concatenate([part.first_frame for part in segments[i]])
        found[f"{machine.kind}-power"] = np.concatenate([part.power for part in segments[i]])
        found[f"{machine.kind}-high_power"] = np.concatenate([part.high_power for part in segments[i]])
    return found


def _minute(machines: Sequence[SimulatedMachine], minute: int) -> list[Block]:
    rate = machines[0].sample_rate
    return [Block(machine.render(60 * rate), 60 * minute * rate, 60.0 * minute) for machine in machines]


def _scores(events: Sequence[Event], rate: int) -> tuple[list[float], list[float]]:
    windows = [event for event in events if isinstance(event, WindowScore)]
    scores = [np.nan if window.score is None else window.score for window in windows]
    return [window.stop / rate for window in windows], scores


if __name__ == "__main__":
    main()
