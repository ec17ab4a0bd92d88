"""The rules that bind an edge node's sessions: Will and bdSeq, births and deaths, commands, primary host, servers."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from tests.edge.sparkplug_recordings import Event, connections, recording
from tests.edge.sparkplug_rules import BIRTH_KINDS, DATA_KINDS, published, rule, sessions, wills

_BIRTH = "message-flow-edge-node-birth-publish"


def number(event: Event) -> int:
    """The bdSeq in a message."""
    return int(event.metric("bdSeq").long_value)


# --- the Will ---


@rule(f"{_BIRTH}-will-message", "payloads-ndeath-will-message")
def _every_connect_has_a_will() -> None:
    assert all(event.kind == "NDEATH" for event in wills())


@rule(f"{_BIRTH}-will-message-topic", "topics-ndeath-topic")
def _death_topic() -> None:
    assert {event.topic for event in [*wills(), *published("NDEATH")]} == {"spBv1.0/plant/NDEATH/box"}


@rule(f"{_BIRTH}-will-message-qos", "payloads-ndeath-will-message-qos")
def _death_qos() -> None:
    assert {event.qos for event in [*wills(), *published("NDEATH")]} == {1}


@rule(f"{_BIRTH}-will-message-will-retained", "payloads-ndeath-will-message-retain")
def _death_retain() -> None:
    """A Publication cannot be retained; test_sparkplug_node.py sees the flag in the broker's log."""
    assert not any(hasattr(event, "retain") for event in wills())


@rule("topics-ndeath-payload", "topics-ndeath-seq", "payloads-ndeath-seq", f"{_BIRTH}-will-message-payload")
def _death_payload() -> None:
    for event in [*wills(), *published("NDEATH")]:
        assert [metric.name for metric in event.payload.metrics] == ["bdSeq"]
        assert not event.payload.HasField("seq")


@rule(f"{_BIRTH}-will-message-payload-bdSeq", "topics-nbirth-bdseq-increment")
def _bd_seq_counts() -> None:
    for scenario in ("bd_seq_wraps", "unclean", "orderly_stop", "host_away"):
        found = [event for event in recording(scenario) if event.what == "connect"]
        first = 250 if scenario == "bd_seq_wraps" else 0
        assert [number(event) for event in found] == [(first + step) % 256 for step in range(len(found))]
        assert len(found) > 1
        assert {event.metric("bdSeq").datatype for event in found} == {4}


@rule(
    "topics-nbirth-bdseq-included",
    "topics-nbirth-bdseq-matching",
    "payloads-nbirth-bdseq",
    "payloads-nbirth-bdseq-repeat",
    "payloads-ndeath-bdseq",
    "operational-behavior-data-commands-rebirth-action-3",
    f"{_BIRTH}-nbirth-payload-bdSeq",
)
def _bd_seq_matches() -> None:
    births = 0
    for will, *events in sessions():
        for event in events:
            if event.what == "publish" and event.kind in ("NBIRTH", "NDEATH"):
                assert number(event) == number(will)
                births += event.kind == "NBIRTH"
            if event.kind == "NBIRTH":
                assert event.metric("bdSeq").datatype == 4
    assert births > len([s for s in sessions() if any(e.kind == "NBIRTH" for e in s)])  # rebirths, too


# --- order ---


@rule("principles-birth-certificates-order", f"{_BIRTH}-connect", "message-flow-device-birth-publish-nbirth-wait")
def _births_come_first() -> None:
    for session in sessions():
        kinds = [event.kind for event in session if event.what == "publish" and event.kind != "NDEATH"]
        assert kinds[:1] in ([], ["NBIRTH"])


@rule("message-flow-edge-node-ncmd-subscribe")
def _ncmd_is_subscribed_before_the_birth() -> None:
    for session in sessions():
        whats = [(event.what, event.topic, event.qos) for event in session]
        at = whats.index(("subscribe", "spBv1.0/plant/NCMD/box", 1))
        assert all(event.kind != "NBIRTH" for event in session[:at])


@rule("payloads-dbirth-order", "payloads-ndata-order", "payloads-ddata-order")
def _births_before_data() -> None:
    """Every device that lives at an NBIRTH is born right after it; a device that comes later, before its data."""
    for session in sessions():
        told = [event for event in session if event.what == "publish"]
        for at, event in enumerate(told):
            if event.kind == "NBIRTH":
                born: list[str | None] = []
                for follower in told[at + 1 :]:
                    if follower.kind != "DBIRTH":
                        break
                    born.append(follower.device)
                assert born == ["fan-7", "pump-2"]
        alive: set[str | None] = set()
        for event in told:
            if event.kind == "NBIRTH":
                alive = {None}
            elif event.kind == "DBIRTH":
                alive.add(event.device)
            elif event.kind == "DDEATH":
                alive.remove(event.device)
            elif event.kind in DATA_KINDS:
                assert event.device in alive


@rule("operational-behavior-device-ddeath")
def _a_lost_device_dies() -> None:
    events = [e for e in recording("machine_dies") if e.device == "pump-2"]
    assert [event.kind for event in events] == ["DBIRTH", "DDATA", "DDATA", "DDEATH", "DBIRTH", "DDATA"]
    for event in (events[2], events[4]):  # nothing is heard any more; a score that came late is no present value
        assert event.metric("Score").is_null
    assert events[5].metric("Score").double_value == 0.12


@rule(f"{_BIRTH}-nbirth-payload", "message-flow-device-birth-publish-dbirth-payload")
def _births_are_protobuf() -> None:
    assert all(event.payload.metrics for event in published(*BIRTH_KINDS))  # `payload` reads the published schema


# --- leaving ---


@rule(
    "operational-behavior-edge-node-intentional-disconnect-ndeath",
    "operational-behavior-edge-node-intentional-disconnect-packet",
    "payloads-ndeath-will-message-publisher",
)
def _death_before_disconnect() -> None:
    found = 0
    for session in sessions():
        for before, event in pairwise(session):
            if event.what == "disconnect":
                found += 1
                assert (before.what, before.kind) == ("publish", "NDEATH")
    assert found > 4


# --- rebirth ---


@rule(
    "topics-nbirth-rebirth-metric",
    "payloads-nbirth-rebirth-req",
    "operational-behavior-data-commands-rebirth-name",
    "operational-behavior-data-commands-rebirth-datatype",
    "operational-behavior-data-commands-rebirth-value",
)
def _rebirth_metric() -> None:
    for event in published("NBIRTH"):
        metric = event.metric("Node Control/Rebirth")
        assert metric.datatype == 11
        assert metric.HasField("boolean_value")
        assert metric.boolean_value is False


@rule("operational-behavior-data-commands-rebirth-action-1", "operational-behavior-data-commands-rebirth-action-2")
def _rebirth() -> None:
    events = recording("rebirth")
    requests = [at for at, event in enumerate(events) if event.kind == "NCMD" and event.what == "received"]
    for at in requests:
        after = [event.kind for event in events[at + 1 :] if event.what == "publish"]
        assert after[:3] == ["NBIRTH", "DBIRTH", "DBIRTH"]  # no data between
    births = [event.time for event in events if event.kind == "NBIRTH"]
    assert len(requests) == 51
    assert all(later - earlier >= 5_000 for earlier, later in pairwise(births))
    assert len(births) == 8


# --- the primary host, and several servers ---


def _host_sessions() -> list[tuple[Event, ...]]:
    return connections(recording("host_away"))


def _states(session: tuple[Event, ...]) -> list[Event]:
    return [event for event in session if event.what == "received" and event.topic == "spBv1.0/STATE/scada"]


def _kinds(session: tuple[Event, ...]) -> list[str]:
    return [event.kind for event in session if event.what == "publish"]


@rule(
    f"{_BIRTH}-phid-wait",
    f"{_BIRTH}-phid-wait-id",
    f"{_BIRTH}-phid-wait-online",
    "operational-behavior-edge-node-birth-sequence-wait",
)
def _waits_for_the_host() -> None:
    first, second, *_ = _host_sessions()
    assert _kinds(first) == ["NDEATH"]  # another host was online, and this one said that it is not
    at = second.index(_states(second)[0])
    assert not _kinds(second[:at])
    assert _kinds(second)[:3] == ["NBIRTH", "DBIRTH", "DBIRTH"]


@rule(f"{_BIRTH}-phid-wait-timestamp")
def _an_old_online_does_not_count() -> None:
    *_, stale, _, last = _host_sessions()
    assert stale[0].server == last[0].server == "b:1883"
    assert len(_states(stale)) == 1
    assert _kinds(stale) == ["NDEATH"]  # online at 999 after offline at 1000
    assert _kinds(last)[0] == "NBIRTH"


@rule(
    f"{_BIRTH}-phid-offline",
    "operational-behavior-edge-node-termination-host-offline",
    "operational-behavior-edge-node-termination-host-offline-timestamp",
)
def _leaves_an_offline_host() -> None:
    _, second, *_ = _host_sessions()
    _, old, offline = _states(second)
    assert _kinds(second[second.index(old) : second.index(offline)]) == ["DDATA"]  # it goes on
    rest = second[second.index(offline) + 1 :]
    assert [(event.what, event.kind) for event in rest] == [("publish", "NDEATH"), ("disconnect", "")]
    assert rest[0].time == offline.time


@rule(
    "operational-behavior-edge-node-termination-host-offline-reconnect",
    "operational-behavior-primary-application-state-with-multiple-servers-walk",
)
def _walks_on() -> None:
    assert [session[0].server for session in _host_sessions()] == ["a:1883", "b:1883"] * 3


@rule("operational-behavior-primary-application-state-with-multiple-servers-single-server")
def _one_server_at_a_time() -> None:
    for session in _host_sessions():
        assert {event.server for event in session} == {session[0].server}
    for before, _ in pairwise(_host_sessions()):
        assert before[-1].what == "disconnect"


@rule("operational-behavior-primary-application-state-with-multiple-servers-state-subs")
def _state_is_subscribed() -> None:
    for session in _host_sessions():
        assert ("subscribe", "spBv1.0/STATE/scada", 1) in {(event.what, event.topic, event.qos) for event in session}


def historical(event: Event) -> list[Any]:
    return [metric for metric in event.payload.metrics if metric.is_historical]
