"""What the doctor says of sound cards and of the sources that name them."""

from __future__ import annotations

import grp
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from asd_edge.config import DeviceConfig, MachineTable
from asd_edge.doctor.audio import check_microphones, judge_access
from asd_edge.doctor.cards import Card, cards_of
from asd_edge.doctor.device import Device
from asd_edge.doctor.finding import Finding, Level
from asd_edge.doctor.sources import check_sources, judge_alsa
from tests.edge.doctor_trees import USB_MICROPHONE, lay_out
from tests.edge.required import required_tool

STATUS = "/proc/asound/card0/pcm0c/sub0/status"
HELD = {STATUS: "state: RUNNING\nowner_pid   : 4242\ntrigger_time: 1.0\n"}
TWIN = {
    "/proc/asound/cards": USB_MICROPHONE["/proc/asound/cards"]
    + " 2 [Device_1       ]: USB-Audio - USB PnP Sound Device\n"
    "                      C-Media Electronics Inc. USB PnP Sound Device at usb-3610000.usb-2.2, full speed\n",
    "/proc/asound/card2/id": "Device_1",
    "/proc/asound/card2/usbid": "0d8c:0014",
    "/proc/asound/card2/pcm0c/info": "",
}


def device(root: Path, changed: Mapping[str, str] | None = None, *sources: str) -> Device:
    machines = tuple({"id": f"m{number}", "source": source} for number, source in enumerate(sources))
    config = DeviceConfig.model_validate({"device": {"id": "box"}, "machines": machines}) if machines else None
    return Device(root=lay_out(root, USB_MICROPHONE, changed), config=config)


def test_cards_are_read_as_the_kernel_writes_them(tmp_path: Path) -> None:
    usb, hda = cards_of(device(tmp_path))
    assert (usb.number, usb.id, usb.driver, usb.place) == (0, "Device", "USB-Audio", "usb-3610000.usb-2.1")
    (capture,) = usb.captures
    assert (capture.number, capture.holder) == (0, None)
    assert (capture.rates, capture.channels) == ((44100, 48000), (1,))  # those of Capture:, not of Playback:
    assert (hda.id, hda.place, hda.captures) == ("HDA", None, ())


def test_rates_without_steps(tmp_path: Path) -> None:
    stream = {"/proc/asound/card0/stream0": "Capture:\n    Channels: 2\n    Rates: 8000 - 96000 (continuous)\n"}
    (capture,) = cards_of(device(tmp_path, stream))[0].captures
    assert isinstance(capture.rates, range)
    assert (16_000 in capture.rates, 96_000 in capture.rates, 96_001 in capture.rates) == (True, True, False)


def test_a_microphone_is_named_so_that_it_can_be_copied_into_the_device_file(tmp_path: Path) -> None:
    (found,) = check_microphones(device(tmp_path))
    assert (found.level, found.subject) == (Level.OK, "hw:CARD=Device")
    assert found.found == "USB PnP Sound Device, at usb-3610000.usb-2.1, free"


def test_two_microphones_alike_may_change_places(tmp_path: Path) -> None:
    findings = list(check_microphones(device(tmp_path, TWIN)))
    assert [finding.subject for finding in findings] == ["hw:CARD=Device", "hw:CARD=Device_1"]
    assert {finding.level for finding in findings} == {Level.WARNING}
    assert "udev" in str(findings[0].remedy)


@pytest.mark.parametrize(
    ("sources", "level"), [([], Level.OK), (["sim:fan"], Level.OK), (["alsa:default"], Level.FAULT)]
)
def test_no_microphone_is_a_fault_only_where_one_is_needed(sources: list[str], level: Level, tmp_path: Path) -> None:
    (found,) = check_microphones(device(tmp_path, {"/proc/asound/cards": "--- no soundcards ---"}, *sources))
    assert found.level == level


def judged(root: Path, source: str, changed: Mapping[str, str] | None = None, **table: Any) -> Finding:
    cards: list[Card] = cards_of(device(root, changed))
    return judge_alsa(MachineTable(id="fan", source=source, **table), cards, rate=16_000)


@pytest.mark.parametrize(
    ("source", "table", "level", "said"),
    [
        ("alsa:hw:CARD=Device", {"source_rate": 48000}, "ok", "hw:CARD=Device, USB PnP Sound Device, free"),
        ("alsa:plughw:CARD=Device,DEV=0", {}, "ok", "free"),  # ALSA resamples
        ("alsa:hw:Device,0?channels=1", {"source_rate": 44100}, "ok", "free"),
        ("alsa:hw:CARD=Device", {}, "fault", "offers 44100, 48000 Hz, not 16000"),
        ("alsa:hw:CARD=Device?channels=2", {"source_rate": 48000}, "fault", "has 1 channels, not 2"),
        ("alsa:plughw:0,0", {}, "warning", "the numbers change at a start"),
        ("alsa:hw:CARD=Devise", {}, "fault", "no card Devise; there is 'Device'"),
        ("alsa:hw:CARD=Device,DEV=1", {}, "fault", "does not record on its device 1"),
        ("alsa:hw:CARD=HDA,DEV=3", {}, "fault", "does not record"),
        ("alsa:hw:CARD=Device?chanels=2", {}, "fault", "chanels"),
    ],
)
def test_a_source_against_the_cards(source: str, table: dict[str, Any], level: str, said: str, tmp_path: Path) -> None:
    found = judged(tmp_path, source, **table)
    assert (found.level.value, said in found.found) == (level, True), found


@pytest.mark.parametrize(("program", "level"), [("arecord", Level.OK), ("pipewire", Level.WARNING)])
def test_who_has_the_microphone_is_said_and_nobody_takes_it(program: str, level: Level, tmp_path: Path) -> None:
    found = judged(tmp_path, "alsa:plughw:CARD=Device", HELD | {"/proc/4242/comm": f"{program}\n"})
    assert (found.level, f"{program} (4242)" in found.found) == (level, True), found


def test_other_sources_are_opened_or_looked_at(tmp_path: Path) -> None:
    fifo, gone = tmp_path / "fifo", tmp_path / "gone"
    os.mkfifo(fifo)  # opening it would wait for a writer
    with socket.socket(socket.AF_UNIX) as odd:
        odd.bind(str(tmp_path / "socket"))
        sources = ["sim:fan", "sim:fann", f"raw:{fifo}", f"raw:{gone}", f"raw:{tmp_path / 'socket'}", f"file:{gone}"]
        sources += [f"folder:{tmp_path}", f"folder:{gone}"]
        findings = list(check_sources(device(tmp_path / "root", None, *sources)))
    assert [finding.subject for finding in findings] == [f"m{number}" for number in range(8)]
    levels = ["ok", "fault", "ok", "fault", "fault", "fault", "ok", "fault"]
    assert [finding.level.value for finding in findings] == levels


@pytest.mark.parametrize(
    ("name", "said"), [("null", "follows ALSA's configuration"), ("nobody", "is not among the names")]
)
def test_a_name_that_tells_no_card_is_looked_up(name: str, said: str, tmp_path: Path) -> None:
    required_tool("arecord", "alsa-utils")
    found = judged(tmp_path, f"alsa:{name}")
    assert (found.level, said in found.found, "alsa:hw:CARD=" in str(found.remedy)) == (Level.WARNING, True, True), (
        found
    )


@pytest.fixture
def audio() -> int:
    try:
        return grp.getgrnam("audio").gr_gid
    except KeyError:
        pytest.skip("no group audio here")


def test_access_to_the_devices_is_by_the_group_audio(audio: int, tmp_path: Path) -> None:
    node = tmp_path / "pcmC0D0c"
    node.touch()
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(node, 0, audio)
    node.chmod(0o660)
    assert judge_access([node], uid=0, groups=set()).level == Level.OK
    assert judge_access([node], uid=1000, groups={1000, audio}).level == Level.OK
    stranger = judge_access([node], uid=1000, groups={1000})
    assert (stranger.level, "usermod -aG audio" in str(stranger.unseen)) == (Level.OK, True)
    node.chmod(0o600)
    assert "not open to the group audio" in judge_access([node], uid=0, groups=set()).found
