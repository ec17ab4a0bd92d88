"""The control socket: its requests, and clients that mean no good."""

from __future__ import annotations

import json
import re
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest
from numpy.typing import NDArray

import asd_edge.daemon.control
from asd_edge.control import (
    LINE_LIMIT,
    REPLY_LIMIT,
    ControlReply,
    ControlRequest,
    NoDaemonError,
    flush_history,
    last_sound,
    ping,
    socket_address,
)
from asd_edge.daemon.control import ControlServer
from asd_edge.errors import AsdEdgeError, SourceError, StateError

SOUND = np.linspace(-1.0, 1.0, 3_000_000, dtype=np.float32)  # more than a socket holds by itself
DOCS = Path(__file__).resolve().parents[2] / "docs"
HEAD = '{"format": "asd-edge-control", "version": 1, '


def answer(request: ControlRequest) -> tuple[ControlReply, NDArray[np.float32]]:
    if request.request == "flush":
        raise SourceError("It cannot be", found="this", expected="that", remedy="Do so.")
    if request.request == "sound":
        assert request.seconds is not None
        sound = SOUND[: round(request.seconds * 16_000)]
        return ControlReply(rate=16_000, samples=len(sound)), sound
    return ControlReply(), SOUND[:0]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder with a server that has little patience."""
    monkeypatch.setattr(asd_edge.daemon.control, "_REQUEST_S", 0.3)
    monkeypatch.setattr(asd_edge.daemon.control, "_REPLY_S", 0.3)
    server = ControlServer(tmp_path / "state", answer)
    server.start()
    yield tmp_path / "state"
    server.stop()


def connected(state: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(10.0)
    with socket_address(state) as address:
        client.connect(address)
    return client


def raw(state: Path, request: bytes) -> bytes:
    """Send bytes; return all that comes back until the server closes."""
    with connected(state) as client, client.makefile("rb") as stream:
        client.sendall(request)
        return stream.read()


def test_samples_arrive_as_they_were(state: Path) -> None:
    ping(state)
    sound, rate = last_sound(state, "fan-1", 180.0)
    assert rate == 16_000
    np.testing.assert_array_equal(sound, SOUND[: 180 * 16_000])


def test_the_daemon_s_error_is_the_client_s(state: Path) -> None:
    with pytest.raises(StateError) as raised:
        flush_history(state)
    error = raised.value
    assert (error.what, error.found, error.expected, error.remedy) == ("It cannot be", "this", "that", "Do so.")


def test_only_its_user_and_root_may_open_it(state: Path) -> None:
    mode = (state / "control.sock").stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


@pytest.mark.parametrize(
    ("request_line", "found"),
    [
        (b"\n", "not valid JSON"),
        (b"GET / HTTP/1.1\n", "not valid JSON"),
        (b"\xff\xfe\x00\n", "not valid JSON"),
        (b'{"format": "other"}\n', "'other'"),
        (b'{"format": "asd-edge-control", "version": 2}\n', "newer asd-edge"),
        (HEAD.encode() + b'"request": "erase"}\n', "erase"),
        (HEAD.encode() + b'"request": "ping", "extra": 1}\n', "extra"),
        (HEAD.encode() + b'"request": "sound", "machine": "fan-1"}\n', "'sound'"),
        (HEAD.encode() + b'"request": "sound", "machine": "../x", "seconds": 1}\n', "machine"),
        (HEAD.encode() + b'"request": "sound", "machine": "x", "seconds": 601}\n', "seconds"),
        (HEAD.encode() + b'"request": "sound", "machine": "x", "seconds": NaN}\n', "NaN"),
        (b"[" * 15_000 + b"\n", "not valid JSON"),
        (b" " * (LINE_LIMIT + 1), "bytes"),
    ],
)
def test_what_is_no_request_is_refused(state: Path, request_line: bytes, found: str) -> None:
    reply = json.loads(raw(state, request_line))
    assert found in reply["error"]["found"]
    assert reply["error"]["remedy"]
    ping(state)


def test_a_request_may_come_in_pieces(state: Path) -> None:
    with connected(state) as client, client.makefile("rb") as stream:
        for byte in HEAD.encode() + b'"request": "ping"':
            client.sendall(bytes([byte]))
        client.sendall(b"}\nmore")  # at once: after the line's end the server answers and leaves
        assert json.loads(stream.readline())["error"] is None


def test_megabytes_hurt_nobody(state: Path) -> None:
    with connected(state) as client, pytest.raises((BrokenPipeError, ConnectionResetError)):
        client.sendall(b"x" * 10_000_000)
    ping(state)


def test_clients_that_hang_are_let_go(state: Path) -> None:
    """More of them than the server has hands: some say nothing, some half a line, some never take the reply."""
    asks = (HEAD + '"request": "sound", "machine": "x", "seconds": 180}\n').encode()
    hanging = [connected(state) for _ in range(12)]
    for number, client in enumerate(hanging):
        client.sendall([b"", b'{"format', asks][number % 3])
    ping(state)
    for client in hanging:
        client.close()


def test_clients_that_leave_are_no_news(state: Path) -> None:
    asks = (HEAD + '"request": "sound", "machine": "x", "seconds": 180}\n').encode()
    for said in (b"", b'{"for', asks) * 4:
        connected(state).sendall(said)  # and is closed by the garbage collector
    ping(state)


def test_two_daemons_of_one_folder_are_refused(state: Path) -> None:
    with pytest.raises(StateError, match=r"remedy: .*device\.state_dir"):
        ControlServer(state, answer).start()
    ping(state)


def test_a_socket_that_nobody_listens_to_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(tmp_path / "control.sock"))
    with pytest.raises(NoDaemonError):
        ping(tmp_path)
    server = ControlServer(tmp_path, answer)
    server.start()
    ping(tmp_path)
    server.stop()
    assert not (tmp_path / "control.sock").exists()
    again = ControlServer(tmp_path, answer)  # the lock is free again
    again.start()
    ping(tmp_path)
    again.stop()


def test_the_folder_s_path_may_be_longer_than_an_address(tmp_path: Path) -> None:
    state = tmp_path.joinpath(*["a-folder-with-quite-a-long-name"] * 6)
    server = ControlServer(state, answer)
    server.start()
    ping(state)
    server.stop()


def test_a_folder_that_cannot_be_used_is_used_by_one_when_it_can_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_edge.daemon.control._RETRY_S", 0.05)
    (tmp_path / "file").touch()
    state, mended = tmp_path / "file" / "state", SimpleQueue[StateError | None]()
    servers = [ControlServer(state, answer, mended=mended.put) for _ in range(2)]
    for server in servers:
        server.start()
        assert "Not a directory" in str(server.fault)
    (tmp_path / "file").unlink()
    outcomes = [mended.get(timeout=10.0) for _ in servers]
    ping(state)
    assert sorted(str(server.fault is None) for server in servers) == ["False", "True"]
    assert [error for error in outcomes if error is None] == [None]
    assert "Two daemons" in "".join(str(error) for error in outcomes)
    for server in servers:
        server.stop()
    assert caplog.text.count("No commands can be taken") == 2  # said once by each


def test_a_folder_on_a_disk_that_is_read_only_belongs_to_one_daemon_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_edge.daemon.control._RETRY_S", 0.05)
    mount = ["mount", "-t", "tmpfs", "-o"]
    if subprocess.run([*mount, "ro,size=1m", "none", tmp_path], capture_output=True).returncode != 0:
        pytest.skip("no right to mount a file system")
    mended = threading.Event()
    server = ControlServer(tmp_path, answer, mended=lambda _error: mended.set())
    try:
        server.start()
        assert "Read-only" in str(server.fault)
        with pytest.raises(StateError, match="Two daemons"):
            ControlServer(tmp_path, answer).start()
        subprocess.run([*mount, "remount,rw,size=1m", "none", tmp_path], check=True)
        assert mended.wait(10.0)
        ping(tmp_path)
    finally:
        server.stop()
        subprocess.run(["umount", "--lazy", tmp_path], check=True)


@pytest.mark.parametrize("place", [".", "absent", "file/below"])
def test_no_daemon_is_said_so(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NoDaemonError, match="Start asd-edge run"):
        last_sound(tmp_path / place, "fan-1", 30.0)


def test_the_document_shows_requests_and_replies_as_they_are() -> None:
    shown = re.findall(r"```json\n(.*?)```", (DOCS / "state.md").read_text(), re.S)
    requests, replies = (block.splitlines() for block in shown)
    asked = [ControlRequest.model_validate_json(line) for line in requests]
    assert {request.request for request in asked} == {"ping", "serving", "status", "reload", "flush", "sound"}
    for line in replies:
        assert json.loads(ControlReply.model_validate_json(line).model_dump_json()) == json.loads(line)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 601.0, float("nan")])
def test_a_length_that_no_daemon_keeps_is_refused_before_it_is_asked(tmp_path: Path, seconds: float) -> None:
    with pytest.raises(StateError, match="keep so much"):
        last_sound(tmp_path, "fan-1", seconds)


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        (b"", "ended before its line"),
        (b"nonsense\n", "not valid JSON"),
        (HEAD.encode() + b'"rate": 16000, "samples": 9}\n' + bytes(35), "8 of 9 samples"),
        (HEAD.encode() + b'"samples": 1}\n' + bytes(4), "without the rate"),
        (b"x" * (REPLY_LIMIT + 1), "bytes"),
    ],
)
def test_a_daemon_that_answers_nonsense_is_told(tmp_path: Path, reply: bytes, found: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / "control.sock"))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(REPLY_LIMIT)
                connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(AsdEdgeError, match=found):
            last_sound(tmp_path, "fan-1", 1.0)
        thread.join()


def test_its_threads_end_with_it(tmp_path: Path) -> None:
    before = threading.active_count()
    server = ControlServer(tmp_path, answer)
    server.start()
    assert threading.active_count() > before
    server.stop()
    deadline = time.monotonic() + 5.0
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before
