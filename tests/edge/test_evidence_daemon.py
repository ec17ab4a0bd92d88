"""Evidence of a real `asd-edge run`, and the commands that look at it; its failures, by the thread alone."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from asd_edge.cli.clips import app
from asd_edge.config import DeviceConfig, load_config
from asd_edge.daemon.evidence import Evidence, ring_seconds
from asd_edge.daemon.ring import SoundRing
from asd_edge.errors import ConfigError, StateError
from asd_edge.events import AlarmChange, WindowScore, WindowState
from asd_edge.evidence.store import ClipStore
from asd_edge.simulator import OperatingState
from asd_edge.sources.block import Block
from tests.edge.device import asd_edge, fan, write_clip, write_device
from tests.edge.fan_bundle import NORMAL, make_fan_bundle
from tests.edge.sound import RATE, noise, pipeline

FAULTY = OperatingState(speed=1.0, load=0.5, fault="imbalance", severity=1.0)
EVIDENCE = "[evidence]\nenabled = true\npre_s = 6.0\npost_s = 4.0\n"
ON_DELAY_S = 3.0
DECISION = f"[machines.decision]\non_delay_s = {ON_DELAY_S}\n"


def with_evidence(device: Path, text: str = EVIDENCE) -> Path:
    device.write_text(device.read_text() + text)
    return device


def test_the_sound_around_an_alarm_is_kept_listed_labelled_exported_and_deleted(
    broker: Any, listen: Any, tmp_path: Path, start: Any
) -> None:
    bundle = tmp_path / "fan.asd"
    make_fan_bundle(bundle)
    heard = np.concatenate([fan(NORMAL, seed=70, seconds=25), fan(FAULTY, seed=75, seconds=75)])
    recording = write_clip(tmp_path / "heard.wav", heard)
    machine = {"id": "fan-1", "source": f"file:{recording}", "speed": 15.0, "factory": "fan/00"}
    device = with_evidence(
        write_device(tmp_path, bundle, broker.port, machine, home_assistant="homeassistant"), DECISION + EVIDENCE
    )
    listener = listen(broker.port)
    daemon = start(device)
    entity = listener.wait("homeassistant/binary_sensor/asd-edge-box/fan-1-alarm/config", lambda _: True)
    assert entity["state_topic"] == "asd-edge/box/fan-1/alarm"
    alarm = listener.wait("/fan-1/alarm", lambda change: change["active"] and change["cause"] == "sound")
    began = listener.wait("/fan-1/score", lambda score: score["time"] == alarm["time"])["stop"]
    store, deadline = ClipStore(tmp_path / "state"), time.monotonic() + 20.0
    while not store.clips() and time.monotonic() < deadline:
        time.sleep(0.05)
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(15) == 0

    (clip,) = store.clips()
    manifest = clip.manifest
    assert manifest is not None
    assert (manifest.device, manifest.machine, manifest.rate) == ("box", "fan-1", RATE)
    assert (manifest.score, manifest.threshold) == (alarm["score"], alarm["threshold"])
    assert (manifest.condition, manifest.severity) == (alarm["condition"], alarm["severity"])
    assert (manifest.since_utc, manifest.alarm_utc) == (alarm["since"], alarm["time"])
    samples, _ = soundfile.read(io.BytesIO(clip.read("sound.flac")), dtype="int16")
    first = began - manifest.alarm_sample
    wanted, _ = soundfile.read(recording, dtype="int16", start=first, stop=first + len(samples))
    np.testing.assert_array_equal(samples, wanted)
    on_delay = manifest.alarm_sample - manifest.since_sample
    assert on_delay == pytest.approx(ON_DELAY_S * RATE, abs=1.1 * RATE)  # a score a second
    assert manifest.since_sample == 6 * RATE
    assert len(samples) == manifest.samples == 6 * RATE + on_delay + 4 * RATE
    published = {score["time"]: score["score"] for score in listener.of("/fan-1/score")}
    rows = list(csv.DictReader(io.StringIO(clip.read("scores.csv").decode())))
    assert len(rows) >= 12  # seconds
    assert all(float(row["score"]) == published[row["time"]] for row in rows)

    (row,) = json.loads(clips("list", device, "--json"))
    assert (row["id"], row["path"], row["fault"], row["label"]) == (clip.id, str(clip.path), None, None)
    with pytest.raises(StateError, match=r"1 clip \(no label\)"):
        clips("export", device, "--out", tmp_path / "data")
    clips("label", device, clip.id, "--as", "anomalous", "--note", "imbalance", "--author", "alice")
    assert "anomalous (alice): imbalance" in clips("list", device, "--machine", "fan-1")
    clips("export", device, "--out", tmp_path / "data")
    (file,) = (tmp_path / "data" / "fan-1" / "test").iterdir()
    assert file.name == "section_00_source_test_anomaly_0000_condition_factory-source.flac"
    part, _ = soundfile.read(file, dtype="int16")
    assert len(part) == 10 * RATE  # of a shorter anomaly the last ten seconds
    np.testing.assert_array_equal(part, samples[-len(part) :])
    for nonsense in (("remove",), ("remove", clip.id, "--all"), ("label", clip.id, "--as", "normal", "--note", "\n")):
        with pytest.raises(StateError):
            clips(nonsense[0], device, *nonsense[1:])
    with pytest.raises(ConfigError, match="no such machine"):
        clips("list", device, "--machine", "fan-2")
    assert len(store.clips()) == 1
    told = asd_edge("clips", "remove", "--config", device, "--all")
    assert (told.returncode, told.stderr) == (0, "1 clip deleted\n")
    assert store.clips() == []


def clips(command: str, device: Path, *words: str | Path) -> str:
    """Run a command of `asd-edge clips` in this process; return what it printed."""
    done = CliRunner().invoke(app, [command, "--config", str(device), *map(str, words)])
    if done.exception is not None:
        raise done.exception
    return done.stdout


class Machine:
    """A machine whose alarms are made by hand; the ring, the thread and the disk are the product's."""

    def __init__(self, folder: Path, *, evidence: str = EVIDENCE) -> None:
        machine = {"id": "fan-1", "source": "sim:fan"}
        device = with_evidence(write_device(folder, folder / "no.asd", 1883, machine), evidence)
        self.config: DeviceConfig = load_config(device)
        self.config.device.state_dir.mkdir(exist_ok=True)
        self.ring = SoundRing(RATE, ring_seconds(self.config, "fan-1"))
        self.evidence = Evidence(self.config, "b" * 64, pipeline(), lambda _: self.ring)
        self.store = ClipStore(self.config.device.state_dir)
        self._second = 0
        self._noise = noise(1.0)

    def hear(self, seconds: int) -> None:
        for _ in range(seconds):
            at = self._second * RATE
            self.ring.push(Block(self._noise, at, 1_000.0 + self._second))
            self._second += 1
            self.evidence.heard(self.window())

    def window(self) -> WindowScore:
        stop = self._second * RATE
        return WindowScore("fan-1", stop - RATE, stop, 1_000.0 + self._second, WindowState.SCORED, -30.0, 0.9, 0.5, "a")

    def alarm(self, *, active: bool = True) -> AlarmChange:
        now = 1_000.0 + self._second
        change = AlarmChange("fan-1", now, active, now - 2.0, 0.9, 0.5, "a", 600)
        self.evidence.heard(change)
        return change

    def wait(self, what: Any) -> None:
        deadline = time.monotonic() + 10.0
        while not what():
            assert time.monotonic() < deadline, self.evidence.report
            time.sleep(0.01)

    def alarm_and_sound(self) -> None:
        """An alarm, and enough sound after it for its clip."""
        self.alarm()
        self.hear(5)
        self.alarm(active=False)


@pytest.fixture
def made(tmp_path: Path) -> Any:
    machines = []

    def make(**fields: Any) -> Machine:
        machines.append(Machine(tmp_path, **fields))
        return machines[-1]

    yield make
    for machine in machines:
        machine.evidence.stop(5.0)


def test_one_clip_is_kept_of_one_alarm_and_not_more_than_a_dozen_an_hour(made: Any, caplog: Any) -> None:
    machine = made()
    machine.evidence.start()
    machine.hear(10)
    begun = machine.alarm()
    machine.evidence.heard(replace(begun, time=begun.time + 1.0, score=1.2, severity=700, cause="severity"))
    machine.hear(5)
    machine.wait(lambda: machine.evidence.report.clips == 1)
    machine.alarm(active=False)
    for number in range(2, 16):
        machine.hear(3)
        machine.alarm_and_sound()
        machine.wait(lambda seen=number: machine.evidence.report.clips + machine.evidence.report.missed == seen)
    assert machine.evidence.report.missed == 3
    assert len(machine.store.clips()) == 12
    assert machine.evidence.report.size == sum(clip.size for clip in machine.store.clips())
    assert sum("more than 12 alarms an hour" in message for message in caplog.messages) == 1


def test_an_alarm_that_stood_before_the_start_has_no_clip(made: Any) -> None:
    machine = made()
    machine.evidence.start()
    machine.hear(10)
    machine.evidence.heard(AlarmChange("fan-1", 1_010.0, True, 900.0, 0.9, 0.5, "a", 600, cause="start"))
    machine.hear(5)
    machine.evidence.stop(5.0)
    assert machine.store.clips() == []
    assert machine.evidence.report.missed == 0


def test_an_alarm_that_is_told_late_is_where_it_was(made: Any) -> None:
    machine = made()
    machine.evidence.start()
    machine.hear(10)
    now = machine.window().time
    machine.hear(3)  # a disk that stalled: alarms are written down before they are told
    machine.evidence.heard(AlarmChange("fan-1", now, True, now - 2.0, 0.9, 0.5, "a", 600))
    machine.hear(3)
    machine.wait(lambda: machine.evidence.report.clips == 1)
    (clip,) = machine.store.clips()
    assert clip.manifest is not None
    assert (clip.manifest.since_sample, clip.manifest.alarm_sample) == (6 * RATE, 8 * RATE)
    assert clip.manifest.samples == (6 + 2 + 4) * RATE
    assert clip.manifest.first_utc == "1970-01-01T00:16:42.000Z"  # 1010 − 8 s


def test_what_is_being_recorded_at_the_end_is_kept_as_it_is(made: Any) -> None:
    machine = made()
    machine.evidence.start()
    machine.hear(10)
    machine.alarm()
    machine.hear(1)
    machine.evidence.stop(5.0)
    (clip,) = machine.store.clips()
    assert clip.manifest is not None
    assert clip.manifest.samples == (6 + 2 + 1) * RATE


def test_another_device_file_cuts_no_clip_and_loses_no_alarm(made: Any) -> None:
    machine = made()
    threads = threading.active_count()
    machine.evidence.start()
    machine.hear(10)
    machine.alarm()
    machine.wait(lambda: not machine.evidence._inbox)
    changed = made(evidence=EVIDENCE.replace("4.0", "2.0")).config
    machine.evidence.plan(changed)()
    machine.hear(5)
    machine.wait(lambda: machine.evidence.report.clips == 1)
    machine.alarm(active=False)
    machine.hear(7)
    machine.alarm()  # with the score that came before the change, and the file of after
    machine.hear(3)
    machine.wait(lambda: machine.evidence.report.clips == 2)
    assert [clip.manifest.seconds for clip in machine.store.clips()] == [6 + 2 + 4, 6 + 2 + 2]
    assert threading.active_count() == threads + 1


def test_switched_off_it_keeps_what_it_has_recorded_and_no_more_and_switched_on_it_begins(made: Any) -> None:
    machine = made(evidence="")
    off = machine.config
    machine.evidence.start()
    machine.evidence.plan(made().config)()
    machine.hear(10)
    machine.alarm()
    machine.hear(1)
    machine.evidence.plan(off)()
    machine.wait(lambda: machine.evidence.report.clips == 1)
    machine.hear(9)
    machine.alarm_and_sound()
    machine.evidence.stop(5.0)
    (clip,) = machine.store.clips()
    assert clip.manifest is not None
    assert clip.manifest.samples == (6 + 2 + 1) * RATE


def test_no_alarm_falls_out_of_what_waits_for_a_slow_disk(made: Any) -> None:
    machine = made()
    machine.hear(10)
    machine.alarm()
    machine.hear(5)
    window = machine.window()
    for _ in range(66_000):
        machine.evidence.heard(window)
    machine.hear(1)
    machine.alarm(active=False)
    machine.alarm()  # its score was given up
    machine.evidence.start()
    machine.wait(lambda: machine.evidence.report.clips + machine.evidence.report.missed == 2)
    (clip,) = machine.store.clips()
    assert clip.manifest is not None
    assert clip.manifest.samples == (6 + 2 + 4) * RATE
    assert machine.evidence.report.missed == 1


def test_a_disk_that_takes_nothing_is_said_once_and_stops_nothing(made: Any, caplog: Any) -> None:
    machine = made()
    blocked = machine.store.folder
    blocked.touch()  # a file where the folder should be, which stops root too
    machine.evidence.start()
    machine.hear(10)
    machine.alarm_and_sound()
    machine.wait(lambda: machine.evidence.report.missed == 1)
    assert "Not a directory" in machine.evidence.report.fault
    machine.hear(3)
    machine.alarm_and_sound()
    machine.wait(lambda: machine.evidence.report.missed == 2)
    assert sum("evidence is not kept as it should be" in message for message in caplog.messages) == 1
    blocked.unlink()
    machine.hear(3)
    machine.alarm_and_sound()
    machine.wait(lambda: machine.evidence.report.clips == 1)
    assert machine.evidence.report.fault is None


def test_old_clips_go_at_a_start_even_where_no_new_ones_are_kept(made: Any) -> None:
    machine = made()
    machine.evidence.start()
    machine.hear(10)
    machine.alarm_and_sound()
    machine.wait(lambda: machine.evidence.report.clips == 1)
    machine.evidence.stop(5.0)
    running = machine.store.folder / "running.json"
    running.write_text(json.dumps({"format": "asd-edge-running", "version": 1, "running_s": 29 * 86_400.0}))
    switched_off = EVIDENCE.replace("true", "false")
    again = made(evidence=switched_off)
    again.evidence.start()
    again.evidence.stop(5.0)
    assert len(again.store.clips()) == 1
    running.write_text(json.dumps({"format": "asd-edge-running", "version": 1, "running_s": 31 * 86_400.0}))
    later = made(evidence=switched_off)
    later.evidence.start()
    later.hear(10)
    later.alarm_and_sound()
    later.evidence.stop(5.0)
    assert later.store.clips() == []


def test_a_device_without_evidence_keeps_no_thread_and_makes_no_folder(made: Any) -> None:
    machine = made(evidence="")
    machine.evidence.start()
    machine.hear(10)
    machine.alarm_and_sound()
    machine.evidence.stop(5.0)
    assert os.listdir(machine.config.device.state_dir) == []


def test_the_ring_holds_what_a_clip_begins_with(made: Any) -> None:
    assert ring_seconds(made(evidence="").config, "fan-1") == 60.0
    assert ring_seconds(made().config, "fan-1") == 60.0
    longer = made(evidence=EVIDENCE.replace("6.0", "120.0")).config
    assert ring_seconds(longer, "fan-1") == 120.0 + 12.0 + 5.0
