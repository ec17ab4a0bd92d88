"""What a real `asd-edge run` keeps of what it hears, and hands out."""

from __future__ import annotations

import signal
import socket
import stat
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from asd_edge.bundle.archive import load_bundle
from asd_edge.bundle.site import SiteState, condition_set
from asd_edge.cli.recording import last_clips
from asd_edge.config import load_config
from asd_edge.control import ControlRequest, ServedMachine, flush_history, ping, serving, socket_address
from asd_edge.daemon.keeping import Keeping
from asd_edge.errors import StateError
from asd_edge.history.format import Stretch, history_path
from asd_edge.history.reader import read_history
from asd_edge.history.writer import HistoryWriter
from asd_edge.scoring.aggregation import EmbeddedSegments, Windows, score_window
from asd_edge.sources.block import Block
from tests.edge.device import FAN_SOURCE, asd_edge, write_device

RATE = 16_000
SIMULATED = {"id": "fan-1", "source": FAN_SOURCE, "speed": 20.0, "factory": "fan/00"}


def place_in(recording: NDArray[np.float32], part: NDArray[np.float32]) -> int:
    """Return the sample at which a part begins in a recording."""
    beginnings = np.lib.stride_tricks.sliding_window_view(recording, 64)
    return int(np.argmin(np.abs(beginnings - part[:64]).max(axis=1)))


def test_the_last_seconds_are_what_the_machine_was_heard_to_do(
    broker: Any, listen: Any, bundle: Path, tmp_path: Path, start: Any
) -> None:
    recording = tmp_path / "heard.wav"
    machine = SIMULATED | {"source": f"{FAN_SOURCE}&record={recording}"}
    state = tmp_path / "state"
    listener = listen(broker.port)
    daemon = start(write_device(tmp_path, bundle, broker.port, machine))
    listener.wait("/fan-1/score", lambda score: score["stop"] > 35 * RATE)
    clips = last_clips(state, "fan-1", seconds=30.0, rate=RATE)
    running, known = serving(state), load_bundle(bundle)
    assert (running.bundle_id, running.embedding_id) == (known.bundle_id, known.embedding_id)
    assert running.machines == (ServedMachine(machine="fan-1", health="normal", error=None),)
    with pytest.raises(StateError, match=r"expected: 61\.0 s"):
        last_clips(state, "fan-1", seconds=61.0, rate=RATE)
    with pytest.raises(StateError, match="one of fan-1"):
        last_clips(state, "fan-2", seconds=30.0, rate=RATE)
    with pytest.raises(StateError, match="48000 samples a second"):
        last_clips(state, "fan-1", seconds=30.0, rate=48_000)
    assert stat.S_IMODE((state / "control.sock").stat().st_mode) == 0o600
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(15) == 0
    assert not (state / "control.sock").exists()
    with pytest.raises(StateError, match="or give clips, or --record"):
        last_clips(state, "fan-1", seconds=30.0, rate=RATE)

    assert [len(clip.samples) for clip in clips] == [10 * RATE] * 3
    assert len({clip.name for clip in clips}) == 3
    heard = np.concatenate([clip.samples for clip in clips])
    recorded, _ = soundfile.read(recording, dtype="float32")
    at = place_in(recorded, heard)
    assert at >= 5 * RATE  # the newest of more than 35 s
    # Two steps: the file's own rounding, and its full scale of 32767.
    np.testing.assert_allclose(heard, recorded[at : at + len(heard)], rtol=0, atol=2.0 / 32_768)


def scores_of(stretches: list[Stretch], path: Path) -> dict[int, tuple[float, float]]:
    """Return (end, score) of each window by its first sample, by the conditions of the factory."""
    bundle = load_bundle(path)
    known, spec = condition_set(bundle, ("fan", "00"), SiteState()), bundle.pipeline().window
    assert known is not None
    scores = {}
    for stretch in stretches:
        for window in Windows(spec).push(stretch.segments):
            scored = score_window(window, known, bundle.manifest.aggregation)
            (at,) = np.flatnonzero(stretch.segments.first_frame == window.first_frame[0])
            assert scored is not None
            scores[int(stretch.first_sample[at])] = float(stretch.times[at + spec.segments - 1]), scored.score
    return scores


def test_the_history_scores_as_the_daemon_did_whatever_clients_do(
    broker: Any, listen: Any, bundle: Path, tmp_path: Path, start: Any
) -> None:
    state, kind = tmp_path / "state", load_bundle(str(bundle)).embedding_id
    path = history_path(state, "fan-1")
    listener = listen(broker.port)
    device = write_device(tmp_path, bundle, broker.port, SIMULATED)
    daemon = start(device)
    seen = listener.wait("/fan-1/score", lambda score: score["state"] == "scored")
    hanging = []
    with socket_address(state) as address:
        for _ in range(5):
            client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            client.connect(address)
            hanging.append(client)
    listener.wait("/fan-1/score", lambda score: score["start"] > seen["start"] + 20 * RATE)
    flush_history(state)  # waits for its turn
    stretches = read_history(path, kind)
    for client in hanging:
        client.close()
    assert len(stretches) == 1
    again = scores_of(stretches, bundle)
    published = [score for score in listener.of("/fan-1/score") if score["start"] in again]
    assert len(published) > 20
    for score in published:
        # 11 bits of float16 in the history; four digits in the message.
        assert again[score["start"]][1] == pytest.approx(score["score"], abs=2.0**-11 + 1e-4)

    second = asd_edge("run", "--config", device)
    assert second.returncode == 1
    assert "one asd-edge run for each device.state_dir" in second.stderr
    assert "Traceback" not in second.stderr
    ping(state)

    daemon.kill()
    daemon.wait(15)
    assert (state / "control.sock").exists()
    later = listen(broker.port)
    daemon = start(device)
    later.wait("/fan-1/score", lambda score: score["state"] == "scored")
    flush_history(state)  # at the socket that took the dead one's place
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(15) == 0
    first, second_run = read_history(path, kind)
    assert len(first.segments) >= len(stretches[0].segments)
    assert second_run.first_sample[0] == 0  # a new numbering, and no window over both
    assert second_run.times[0] > first.times[0]


def test_a_state_folder_that_cannot_be_written_stops_no_machine(
    broker: Any, listen: Any, bundle: Path, tmp_path: Path, start: Any
) -> None:
    device = write_device(tmp_path, bundle, broker.port, SIMULATED)
    device.write_text(device.read_text().replace(str(tmp_path / "state"), "/proc/nobody-can-write-here"))
    listener = listen(broker.port)
    daemon = start(device)
    listener.wait("/fan-1/score", lambda score: score["state"] == "scored")
    daemon.send_signal(signal.SIGTERM)
    _, log = daemon.communicate(timeout=15)
    assert daemon.returncode == 0
    assert "No commands can be taken from /proc/nobody" in log
    assert log.count("its history is not kept") == 1
    assert "Traceback" not in log


def test_a_disk_that_has_room_again_is_written_to(
    broker: Any, listen: Any, bundle: Path, tmp_path: Path, start: Any
) -> None:
    state, kind = tmp_path / "state", load_bundle(str(bundle)).embedding_id
    state.mkdir()
    (state / "history").touch()  # a file where the folder should be
    listener = listen(broker.port)
    daemon = start(write_device(tmp_path, bundle, broker.port, SIMULATED))
    listener.wait("/fan-1/score", lambda score: score["state"] == "scored")
    with pytest.raises(StateError, match=r"Cannot write the history .*\n +found: +File exists"):
        flush_history(state)
    (state / "history").unlink()
    listener.wait("/fan-1/score", lambda score: score["stop"] > 20 * RATE)
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(15) == 0
    (stretch,) = read_history(history_path(state, "fan-1"), kind)
    assert stretch.first_sample[0] == 0  # nothing was lost meanwhile
    assert stretch.first_sample[-1] > 15 * RATE


def test_nothing_is_kept_when_nothing_shall_be(
    broker: Any, listen: Any, bundle: Path, tmp_path: Path, start: Any
) -> None:
    device = write_device(tmp_path, bundle, broker.port, SIMULATED)
    device.write_text(device.read_text().replace("[device]\n", "[device]\nhistory_h = 0\nring_s = 0\n"))
    daemon = start(device)
    listen(broker.port).wait("/fan-1/score", lambda score: score["state"] == "scored")
    with pytest.raises(StateError, match=r"device\.ring_s = 0"):
        last_clips(tmp_path / "state", "fan-1", seconds=30.0, rate=RATE)
    flush_history(tmp_path / "state")
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(15) == 0
    assert not (tmp_path / "state" / "history").exists()


def test_a_history_that_is_cut_by_its_size_says_so(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = load_config(write_device(tmp_path, bundle, 1883, SIMULATED))
    loaded = load_bundle(bundle)
    Keeping(config, loaded, loaded.pipeline())
    assert caplog.messages == []
    monkeypatch.setattr("asd_edge.history.format.MOST_BYTES", 300_000)
    Keeping(config, loaded, loaded.pipeline())
    (told,) = caplog.messages
    assert told.startswith("The history of a machine keeps the last 1.0 h, not 24.0: 16 numbers a segment")


def test_keeping_follows_the_device_file_and_those_that_stay_lose_nothing(bundle: Path, tmp_path: Path) -> None:
    loaded = load_bundle(bundle)
    here, gone, come = SIMULATED, SIMULATED | {"id": "gone"}, SIMULATED | {"id": "come"}
    keeping = Keeping(load_config(write_device(tmp_path, bundle, 1883, here, gone)), loaded, loaded.pipeline())
    ring = keeping.ring("fan-1")
    assert ring is not None
    ring.push(Block(np.ones(RATE, np.float32), 0, 0.0))
    device = write_device(tmp_path, bundle, 1883, here, come)
    keeping.follow(load_config(device))
    assert keeping.ring("fan-1") is ring
    assert keeping.ring("gone") is None
    assert keeping.heard("gone") is None
    assert keeping.ring("come") is not None
    assert keeping.heard("come") is not None
    device.write_text(device.read_text() + "[evidence]\nenabled = true\npre_s = 200.0\n")
    keeping.follow(load_config(device))
    for number in range(1, 211):
        ring.push(Block(np.ones(RATE, np.float32), number * RATE, 0.0))
    assert len(ring.last(210.0)) == 210 * RATE


def test_a_card_that_stalls_keeps_neither_a_reload_nor_a_command_waiting(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_edge.daemon.keeping._FLUSH_S", 0.2)
    card, users, flush = threading.Event(), set[str](), HistoryWriter.flush

    def slow_flush(writer: HistoryWriter) -> None:
        users.add(threading.current_thread().name)
        card.wait(20.0)
        flush(writer)

    monkeypatch.setattr(HistoryWriter, "flush", slow_flush)
    loaded, gone = load_bundle(bundle), SIMULATED | {"id": "gone"}
    keeping = Keeping(load_config(write_device(tmp_path, bundle, 1883, SIMULATED, gone)), loaded, loaded.pipeline())
    keep = keeping.heard("gone")
    assert keep is not None
    zeros = np.zeros(3, np.float32)
    keep(0, 1_000.0, EmbeddedSegments(np.arange(3), np.zeros((3, loaded.manifest.dims), np.float32), zeros, zeros))
    keeping.start()
    keeping.follow(load_config(write_device(tmp_path, bundle, 1883, SIMULATED)))
    request = ControlRequest(request="flush")
    with pytest.raises(StateError, match="a disk that takes more than"):
        keeping.answer(request)
    card.set()
    monkeypatch.setattr("asd_edge.daemon.keeping._FLUSH_S", 20.0)
    keeping.answer(request)
    keeping.stop(5.0)
    assert users == {"history"}
    assert history_path(tmp_path / "state", "gone").exists()
