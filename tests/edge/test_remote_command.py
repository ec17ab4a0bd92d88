"""The signed command: one form on the wire, one command line on the device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asd_edge.remote.arguments import arguments
from asd_edge.remote.command import command_of, decode, encode
from asd_edge.remote.requests import from_base64, to_base64
from asd_edge.strict import RefusalError

NAMES = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
FIELDS = {
    "propose": {"condition": NAMES, "last_s": st.integers(10, 600)},
    "commit": {"proposal": NAMES},
    "discard": {"proposal": NAMES},
    "remove": {"condition": NAMES},
    "rollback": {},
    "conditions": {},
}
COMMANDS = st.one_of(
    st.fixed_dictionaries(
        {"action": st.just(action), "device": NAMES, "machine": NAMES, "nonce": st.just("ab" * 32)} | fields
    )
    for action, fields in FIELDS.items()
)


@given(fields=COMMANDS)
def test_a_command_is_read_as_it_was_written_and_in_no_other_form(fields: dict[str, Any]) -> None:
    command = command_of(**fields)
    data = encode(command)
    document = fields | {"format": "asd-edge-remote-command", "version": 1}
    assert data == json.dumps(document, sort_keys=True, separators=(",", ":")).encode()  # RFC 8785, for these values
    assert decode(data) == command
    backwards = dict(sorted(document.items(), reverse=True))
    for other in (json.dumps(backwards, separators=(",", ":")), json.dumps(document, sort_keys=True)):
        with pytest.raises(RefusalError):
            decode(other.encode())


@given(fields=COMMANDS)
def test_no_name_becomes_an_option(fields: dict[str, Any]) -> None:
    """Names may begin with a dash: each stays the value of the option that it was meant for."""
    line = arguments(command_of(**fields), config=Path("/etc/asd-edge/device.toml"), author="remote:anna")
    options, _, rest = " ".join(line).partition(" -- ")
    words = {"enroll", "conditions", "remove", "rollback", "list", "--propose", "--json", "--keep-one"}
    given_ = dict(word.split("=", 1) for word in options.split() if word not in words)
    wanted = {"--machine": fields["machine"], "--config": "/etc/asd-edge/device.toml"}
    if fields["action"] != "conditions":
        wanted["--author"] = "remote:anna"
    match fields["action"]:
        case "propose":
            wanted |= {"--condition": fields["condition"], "--last": str(fields["last_s"])}
        case "commit" | "discard" as action:
            wanted[f"--{action}"] = fields["proposal"]
    assert given_ == wanted
    assert rest == (fields["condition"] if fields["action"] == "remove" else "")


def test_each_action_has_its_command_line() -> None:
    def line(action: str, **fields: Any) -> list[str]:
        command = command_of(action=action, device="box", machine="fan-7", nonce="0" * 64, **fields)
        return arguments(command, config=Path("/c"), author="remote:anna")

    where = ["--config=/c", "--machine=fan-7", "--json"]
    changing = [*where, "--author=remote:anna"]
    proposed = line("propose", condition="hot", last_s=30)
    assert proposed == ["enroll", *changing, "--propose", "--condition=hot", "--last=30"]
    assert line("commit", proposal="p1") == ["enroll", *changing, "--commit=p1"]
    assert line("discard", proposal="p1") == ["enroll", *changing, "--discard=p1"]
    assert line("remove", condition="-hot") == ["conditions", "remove", *changing, "--keep-one", "--", "-hot"]
    assert line("rollback") == ["conditions", "rollback", *changing, "--keep-one"]
    assert line("conditions") == ["conditions", "list", *where]


@given(st.binary(max_size=80))
def test_base64_has_one_form(data: bytes) -> None:
    text = to_base64(data)
    assert from_base64(text) == data


@pytest.mark.parametrize("text", ["QQ", "QR==", "Q Q=", "QQ==\n", "Q===", "é"])
def test_other_forms_of_base64_are_refused(text: str) -> None:
    with pytest.raises((RefusalError, ValueError)):
        from_base64(text)
