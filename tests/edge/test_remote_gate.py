"""What is let through: exactly one command for each challenge, unchanged, in time, from a known key."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asd_edge.errors import StateError
from asd_edge.keys import read_authorised_keys
from asd_edge.remote.challenges import CAPACITY, ChallengeBook
from asd_edge.remote.gate import REQUESTS_PER_MINUTE, Accepted, Gate, Issued, Refused
from asd_edge.remote.rate_limit import RateLimit
from asd_edge.remote.requests import SIZE_LIMIT, challenge_request
from asd_edge.remote.used_nonces import UsedNonces
from tests.edge.remote_operator import COMMAND, Operator

ANNA, MALLORY = Operator("anna"), Operator("mallory")
LIFE_S = 120.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Device:
    """A gate with a clock that is set by hand."""

    def __init__(self, folder: Path, commands_per_hour: int = 12) -> None:
        self.clock = Clock()
        self.challenges = ChallengeBook(LIFE_S, self.clock, Numbers())
        self.gate = Gate(
            "box",
            read_authorised_keys(ANNA.authorise(folder / "keys")),
            self.challenges,
            UsedNonces(folder / "used.json"),
            commands_per_hour=commands_per_hour,
            clock=self.clock,
        )

    def challenge(self) -> str:
        issued = self.judge(challenge_request("one"))
        assert isinstance(issued, Issued)
        return issued.nonce

    def judge(self, payload: bytes, *, retained: bool = False, busy: bool = False) -> Any:
        return self.gate.judge(payload, retained=retained, busy=busy)


class Numbers:
    """Predictable chance: 1, 2, 3 …"""

    def __init__(self) -> None:
        self.last = 0

    def __call__(self, count: int) -> bytes:
        self.last += 1
        return self.last.to_bytes(count, "big")


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


def reason(decision: Any) -> str:
    assert isinstance(decision, Refused), decision
    return decision.reason


def test_an_answered_challenge_lets_a_command_through_once(device: Device) -> None:
    nonce = device.challenge()
    request = ANNA.request(nonce)
    accepted = device.judge(request)
    assert isinstance(accepted, Accepted)
    assert accepted.key == "anna"
    assert accepted.command.model_dump() == COMMAND | {
        "format": "asd-edge-remote-command",
        "version": 1,
        "device": "box",
        "nonce": nonce,
    }
    assert reason(device.judge(request)) == "replayed"
    assert device.challenges.state(nonce) == "unknown"


def test_a_replay_is_refused_after_a_restart_even_if_the_challenge_came_again(tmp_path: Path) -> None:
    before = Device(tmp_path)
    request = ANNA.request(before.challenge())
    assert isinstance(before.judge(request), Accepted)
    restarted = Device(tmp_path)
    assert reason(restarted.judge(request)) == "replayed"
    assert restarted.challenge() == "1".zfill(64)  # chance repeats itself here, and the disk remembers all the same
    assert reason(restarted.judge(request)) == "replayed"


REFUSALS: dict[str, Callable[[str], bytes]] = {
    "unknown_nonce": lambda _: ANNA.request("ab" * 32),
    "unknown_key": MALLORY.request,
    "foreign_device": lambda nonce: ANNA.request(nonce, device="other-box"),
    "unsigned": lambda nonce: without_signature(ANNA.request(nonce)),
    "altered": lambda nonce: signed_for(ANNA.request(nonce), MALLORY.request(nonce)),
    "oversized": lambda nonce: ANNA.request(nonce) + b" " * SIZE_LIMIT,
}
MALFORMED: dict[str, Callable[[str], bytes]] = {
    "nothing": lambda _: b"",
    "no JSON": lambda _: b"\xff{",
    "deep JSON": lambda _: b"[" * 8000,
    "no object": lambda _: b"[1]",
    "an unknown key": lambda nonce: ANNA.request(nonce)[:-1] + b',"more":1}',
    "a number for text": lambda _: b'{"ask":"challenge","request_id":7}',
    "a name with a slash": lambda _: b'{"ask":"challenge","request_id":"a/b"}',
    "another base64": lambda nonce: ANNA.request(nonce).replace(b'=="', b'"'),
    "no command": lambda _: ANNA.sign(b"hello"),
    "another version": lambda nonce: ANNA.request(nonce, version=2),
    "another format": lambda nonce: ANNA.request(nonce, format="asd-edge-site"),
    "no machine": lambda nonce: ANNA.request(nonce, machine=None),
    "an unknown action": lambda nonce: ANNA.request(nonce, action="reboot"),
    "another action's field": lambda nonce: ANNA.request(nonce, action="rollback"),
    "a path for a name": lambda nonce: ANNA.request(nonce, condition="../../etc"),
    "a name and a line end": lambda nonce: ANNA.request(nonce, condition="rpm1200\n"),
    "a fraction": lambda nonce: ANNA.request(nonce, last_s=30.5),
    "spaces": lambda nonce: ANNA.sign(base64.b64decode(json.loads(ANNA.request(nonce))["command"]) + b" "),
}


def without_signature(request: bytes) -> bytes:
    parts = json.loads(request)
    del parts["signature"]
    return json.dumps(parts).encode()


def signed_for(request: bytes, other: bytes) -> bytes:
    return json.dumps(json.loads(request) | {"signature": json.loads(other)["signature"]}).encode()


@pytest.mark.parametrize("wanted", REFUSALS)
def test_each_fault_has_its_reason_and_does_not_spend_the_challenge(device: Device, wanted: str) -> None:
    nonce = device.challenge()
    assert reason(device.judge(REFUSALS[wanted](nonce))) == wanted
    assert isinstance(device.judge(ANNA.request(nonce)), Accepted)


@pytest.mark.parametrize("what", MALFORMED)
def test_what_is_not_a_request_is_malformed(device: Device, what: str) -> None:
    nonce = device.challenge()
    assert reason(device.judge(MALFORMED[what](nonce))) == "malformed"
    assert isinstance(device.judge(ANNA.request(nonce)), Accepted)


def test_a_signature_made_for_another_purpose_is_none_of_a_command(device: Device) -> None:
    command = base64.b64decode(json.loads(ANNA.request(device.challenge()))["command"])
    for domain in (b"", b"asd-edge remote command v2\0"):
        assert reason(device.judge(ANNA.sign(command, domain))) == "altered"


def test_a_genuine_command_is_spent_whatever_is_said_of_it(tmp_path: Path) -> None:
    """An operator who was told no can rely on it: nobody else can send the command again, nor after a restart."""
    device = Device(tmp_path, commands_per_hour=1)
    retained, busy, first, limited = (ANNA.request(device.challenge()) for _ in range(4))
    assert reason(device.judge(retained, retained=True)) == "retained"
    assert reason(device.judge(busy, busy=True)) == "busy"
    assert isinstance(device.judge(first), Accepted)  # neither of those was one of the hour's
    assert reason(device.judge(limited)) == "rate_limited"
    device.clock.now += 61.0
    for again in (device, Device(tmp_path)):
        for request in (retained, busy, first, limited):
            assert reason(again.judge(request)) == "replayed"


def test_a_retained_message_is_refused_whatever_it_is(device: Device) -> None:
    nonce = device.challenge()
    for payload in (challenge_request("two"), b"hello", b" " * 9000, MALLORY.request(nonce)):
        assert reason(device.judge(payload, retained=True)) == "retained"
    genuine = device.judge(ANNA.request(nonce), retained=True)
    assert (reason(genuine), genuine.key, genuine.command.nonce) == ("retained", "anna", nonce)


def test_a_challenge_expires_by_the_device_s_own_clock(device: Device) -> None:
    in_time, late = ANNA.request(device.challenge()), ANNA.request(device.challenge())
    device.clock.now += LIFE_S
    assert isinstance(device.judge(in_time), Accepted)
    device.clock.now += 0.01
    assert reason(device.judge(late)) == "expired"


def test_commands_are_limited_by_the_hour_and_strangers_do_not_use_the_hour_up(tmp_path: Path) -> None:
    device = Device(tmp_path, commands_per_hour=2)
    for _ in range(3):
        assert reason(device.judge(MALLORY.request(device.challenge()))) == "unknown_key"
    for _ in range(2):
        assert isinstance(device.judge(ANNA.request(device.challenge())), Accepted)
    assert reason(device.judge(ANNA.request(device.challenge()))) == "rate_limited"
    device.clock.now += 3600.0
    assert isinstance(device.judge(ANNA.request(device.challenge())), Accepted)


def test_a_flood_is_refused_once_and_then_not_answered(device: Device) -> None:
    decisions = [device.judge(b"x") for _ in range(REQUESTS_PER_MINUTE + 50)]
    assert [reason(decision) for decision in decisions[:REQUESTS_PER_MINUTE]] == ["malformed"] * REQUESTS_PER_MINUTE
    assert reason(decisions[REQUESTS_PER_MINUTE]) == "rate_limited"
    assert decisions[REQUESTS_PER_MINUTE + 1 :] == [None] * 49
    device.clock.now += 60.0
    assert device.challenge()


def test_without_a_disk_to_remember_on_nothing_is_let_through(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    device = Device(folder)
    nonce = device.challenge()
    (folder / "keys").unlink()
    folder.rmdir()
    assert reason(device.judge(ANNA.request(nonce))) == "unavailable"
    folder.mkdir()
    assert reason(device.judge(ANNA.request(nonce))) == "replayed"  # though it could not be written down
    assert isinstance(device.judge(ANNA.request(device.challenge())), Accepted)
    assert nonce in UsedNonces(folder / "used.json")  # by now it is


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Device:
    """A device that never tires of requests; each is at its own minute, and the challenge does not grow old."""
    device = Device(tmp_path_factory.mktemp("device"))
    device.gate._requests = RateLimit(1_000_000, 1.0, device.clock)
    return device


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_any_changed_byte_is_refused(patient: Device, data: st.DataObject) -> None:
    request = ANNA.request(patient.challenge())
    place = data.draw(st.integers(0, len(request) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != request[place]))
    changed = request[:place] + bytes([byte]) + request[place + 1 :]
    assert isinstance(patient.judge(changed), Refused)


def test_any_changed_case_or_lowest_bit_is_refused(patient: Device) -> None:
    request = ANNA.request(patient.challenge())
    for place in range(len(request)):
        for flip in (0x01, 0x20):
            changed = bytearray(request)
            changed[place] ^= flip
            assert isinstance(patient.judge(bytes(changed)), Refused)
    assert isinstance(patient.judge(request), Accepted)  # it was the change that was refused


@given(
    count=st.integers(1, 5),
    steps=st.lists(st.floats(0.0, 20.0), max_size=40),
)
def test_no_period_ever_holds_more_than_the_limit(count: int, steps: list[float]) -> None:
    clock = Clock()
    limit, allowed = RateLimit(count, 10.0, clock), []
    for step in steps:
        clock.now += step
        recent = [time for time in allowed if clock.now - time < 10.0]
        assert limit.allow() == (len(recent) < count)
        if len(recent) < count:
            allowed.append(clock.now)


def test_the_book_forgets_the_oldest_challenge_beyond_its_capacity() -> None:
    book = ChallengeBook(LIFE_S, Clock(), Numbers())
    nonces = [book.issue() for _ in range(CAPACITY + 1)]
    assert [book.state(nonce) for nonce in nonces[:2]] == ["unknown", "open"]
    assert len({len(nonce) for nonce in nonces}) == 1


def test_used_nonces_survive_and_stay_bounded(tmp_path: Path) -> None:
    path = tmp_path / "used.json"
    nonces = [number.to_bytes(32, "big").hex() for number in range(1030)]
    path.write_text(json.dumps({"format": "asd-edge-used-nonces", "version": 1, "used": nonces[:1024]}))
    used = UsedNonces(path)
    for nonce in nonces[1024:]:
        used.add(nonce)
    again = UsedNonces(path)
    assert [nonce in again for nonce in nonces] == [False] * 6 + [True] * 1024
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"{}", b'{"format":"asd-edge-used-nonces","version":1,"used":["x"]}'])
def test_damaged_used_nonces_are_a_fault_and_stay_as_they_are(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "used.json"
    path.write_bytes(content)
    used = UsedNonces(path)
    assert "used.json" in str(used.fault)
    with pytest.raises(StateError, match=r"used\.json"):
        used.add("0" * 64)
    device = Device(tmp_path)
    assert reason(device.judge(challenge_request("one"))) == "unavailable"
    assert path.read_bytes() == content
