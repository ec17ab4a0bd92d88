"""Figures for Prometheus: read by its own parser, and served to nobody who should not have them."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from asd_edge.config import DeviceConfig, DeviceTable, MachineTable, PrometheusTable
from asd_edge.daemon import prometheus
from asd_edge.daemon.exposition import exposition
from asd_edge.daemon.prometheus import Prometheus
from asd_edge.errors import SinkError
from asd_edge.status import Status
from tests.edge.a_status import a_status
from tests.edge.required import required_module

PROMETHEUS_HOST = "Host: 127.0.0.1:9464\r\n"


def figures(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    required_module("prometheus_client", "test")
    from prometheus_client.parser import text_string_to_metric_families

    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        assert family.type in ("gauge", "counter")
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def test_every_figure_is_what_the_status_says() -> None:
    status = a_status()
    found = figures(exposition(status))
    assert found["asd_edge_health"] == {(): 4.0}
    assert found["asd_edge_score"] == {("fan-1",): 0.31}  # the other machine has none yet
    assert found["asd_edge_threshold"] == {("fan-1",): 0.25}
    assert found["asd_edge_alarm"] == {("fan-1",): 1.0, ("pump-2",): 0.0}
    assert found["asd_edge_machine_health"] == {("fan-1",): 0.0, ("pump-2",): 1.0}
    assert found["asd_edge_overruns_total"] == {("pump-2",): 3.0}
    assert found["asd_edge_link_up"] == {("mqtt",): 0.0}
    assert found["asd_edge_outbox_waiting"] == {("mqtt",): 1234.0}
    assert found["asd_edge_outbox_oldest_seconds"] == {("mqtt",): 86.5}
    assert found["asd_edge_memory_bytes"] == {(): 150.5 * 2**20}
    assert list(found["asd_edge_info"]) == [("box", "1.0", 'a "fan"\\pump\nbundle', "onnxruntime/int8")]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a server that has little patience."""
    monkeypatch.setattr(prometheus, "_PATIENCE_S", 0.3)
    server = Prometheus(config(free_port()), a_status)
    server.start()
    assert server.fault is None
    yield server._config.prometheus.port
    server.stop()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def config(port: int, *, enabled: bool = True) -> DeviceConfig:
    return DeviceConfig(
        device=DeviceTable(id="box"),
        prometheus=PrometheusTable(enabled=enabled, port=port),
        machines=(MachineTable(id="fan-1", source="sim:fan"),),
    )


def ask(port: int, request: str) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(request.encode())
        answer = b""
        while piece := client.recv(65_536):
            answer += piece
        return answer.decode()


def test_a_scraper_is_served(served: int) -> None:
    for host in ("127.0.0.1", "localhost"):
        connection = http.client.HTTPConnection(host, served, timeout=10)
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.getheader("Content-Type", "").startswith("text/plain; version=0.0.4")
        assert answer.read().decode() == exposition(a_status())
        connection.close()


@pytest.mark.parametrize(
    ("request_text", "code"),
    [
        (f"GET / HTTP/1.1\r\n{PROMETHEUS_HOST}\r\n", 404),
        (f"POST /metrics HTTP/1.1\r\n{PROMETHEUS_HOST}\r\n", 405),
        ("GET /metrics HTTP/1.1\r\n\r\n", 421),
        ("GET /metrics HTTP/1.1\r\nHost: evil.example:9464\r\n\r\n", 421),
        ("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n\r\n", 421),
        ("GET /metrics HTTP/1.1\r\nX-Host: 127.0.0.1\r\nHost: evil.example\r\n\r\n", 421),
        ("\r\n\r\n", 400),
        ("x" * 8_192, 400),
    ],
)
def test_who_asks_wrongly_is_told_nothing(served: int, request_text: str, code: int) -> None:
    answer = ask(served, request_text)
    assert answer.startswith(f"HTTP/1.1 {code} ")
    assert "asd_edge" not in answer


def test_who_is_slow_holds_nobody_up(served: int) -> None:
    """More of them than there are threads: some say nothing, some a byte at a time."""
    slow = [socket.create_connection(("127.0.0.1", served)) for _ in range(6)]
    going = threading.Event()

    def drip() -> None:
        while not going.wait(0.05):
            for client in slow[::2]:
                try:
                    client.send(b"G")
                except OSError:
                    return

    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        assert ask(served, f"GET /metrics HTTP/1.1\r\n{PROMETHEUS_HOST}\r\n").startswith("HTTP/1.1 200 ")
    finally:
        going.set()
        dripping.join()
        for client in slow:
            client.close()


def test_it_listens_on_loopback_alone(served: int) -> None:
    import psutil

    listening = {c.laddr for c in psutil.Process().net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    assert [place.ip for place in listening if place.port == served] == ["127.0.0.1"]


def test_a_port_that_is_taken_is_a_trouble_at_the_start_and_refuses_a_reload() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
        server = Prometheus(config(port), a_status)
        server.start()
        assert server.fault is not None
        assert "in use" in server.fault
        other = Prometheus(config(free_port(), enabled=False), a_status)
        with pytest.raises(SinkError, match="in use"):
            other.plan(config(port))


def test_it_follows_the_device_file_and_ends(tmp_path: Path) -> None:
    before = threading.active_count()
    first, second = free_port(), free_port()
    server = Prometheus(config(first), a_status)
    server.start()
    server.plan(config(first))()  # the same: nothing happens
    server.plan(config(second))()
    assert ask(second, f"GET /metrics HTTP/1.1\r\n{PROMETHEUS_HOST}\r\n").startswith("HTTP/1.1 200 ")
    with pytest.raises(ConnectionRefusedError):
        ask(first, "")
    server.plan(config(second, enabled=False))()
    with pytest.raises(ConnectionRefusedError):
        ask(second, "")
    deadline = time.monotonic() + 5.0
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before  # one of another test may have ended meanwhile


def test_the_status_is_a_document_that_reads_itself() -> None:
    assert Status.model_validate_json(a_status().model_dump_json()) == a_status()
