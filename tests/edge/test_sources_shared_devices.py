"""Which machines of a device file share a microphone, and what they must agree on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from asd_edge.config import MachineTable, load_config
from asd_edge.errors import ConfigError
from asd_edge.sources.block import Source
from asd_edge.sources.open import open_machine
from asd_edge.sources.shared import SharedDevices

RATE = 16_000
CHANNELS = 4
BLOCK_S = 0.032


def machine(name: str, number: int, channel: int | None, *, options: str = "", **keys: float) -> MachineTable:
    source = f"alsa:{name}{options}"
    return MachineTable.model_validate({"id": f"fan-{number}", "source": source, "channel": channel} | keys)


def sharing(name: str, *channels: int) -> tuple[SharedDevices, list[MachineTable]]:
    machines = [machine(name, n, channel, options=f"?channels={CHANNELS}") for n, channel in enumerate(channels)]
    return SharedDevices(machines), machines


def opened(shared: SharedDevices, machine: MachineTable) -> Source:
    return open_machine(machine, rate=RATE, block_s=BLOCK_S, shared=shared)


@pytest.mark.parametrize(
    ("machines", "said"),
    [
        (
            [machine("a", 1, 0, options="?channels=4"), machine("a", 2, 1, options="?channels=2")],
            r"microphone a .*\n.*channels = 4 \(fan-1\).*channels = 2 \(fan-2\)\n.*opened once",
        ),
        (
            [machine("a", 1, 0, source_rate=48_000), machine("a", 2, 1)],
            r"source_rate = 48000 \(fan-1\).*no source_rate \(fan-2\)",
        ),
    ],
)
def test_machines_that_do_not_agree_are_refused(machines: list[MachineTable], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        SharedDevices(machines)


def test_a_machine_is_compared_with_the_channels_of_others_alone() -> None:
    alike = [machine("a", 1, 0), machine("a", 2, 3), machine("a", 3, 3), machine("b", 4, 1)]
    shared = SharedDevices(alike)
    assert [shared.others(one) for one in alike] == [[3], [0], [0], []]


@pytest.mark.parametrize(
    ("machines", "channels"),
    [
        ([machine("a", 1, 0), machine("a", 2, 3), machine("b", 3, 7)], 4),
        ([machine("a", 1, 0), machine("a", 2, 3, options="?channels=8")], 8),
        ([machine("a", 1, None), machine("a", 2, None)], 1),
    ],
)
def test_a_device_has_the_channels_that_all_its_machines_need(machines: list[MachineTable], channels: int) -> None:
    device = SharedDevices(machines).device(machines[0])
    assert device is not None
    assert device.channels == channels


def test_other_sources_are_opened_as_ever() -> None:
    simulated = MachineTable.model_validate({"id": "fan-1", "source": "sim:fan", "speed": 0.0})
    source = open_machine(simulated, rate=RATE, block_s=BLOCK_S, shared=SharedDevices([simulated]))
    assert len(next(source.blocks()).samples) == 512
    source.close()


def test_the_documented_interface_is_shared(tmp_path: Path) -> None:
    document = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"
    section = document.read_text().partition("## One interface, several machines")[2]
    example = re.search(r"```toml\n(.*?)```", section, re.S)
    assert example is not None
    path = tmp_path / "device.toml"
    path.write_text('[device]\nid = "press-hall-3"\n' + example[1])
    machines = load_config(path).machines
    shared = SharedDevices(machines)
    (device,) = {shared.device(machine) for machine in machines}
    assert device is not None
    assert device.channels == 4
    for machine in machines:
        opened(shared, machine).close()


def test_a_device_goes_on_through_another_device_file_unless_it_is_another() -> None:
    """Machines that are the same go on with the device that they have open."""
    before, machines = sharing("plughw:CARD=A", 0, 1)
    same = SharedDevices([*machines, machine("plughw:CARD=B", 7, None)], before)
    assert same.device(machines[0]) is before.device(machines[0])
    wider = SharedDevices([machine("plughw:CARD=A", n, n, options="?channels=8") for n in (0, 1)], before)
    assert wider.device(machines[0]) is not before.device(machines[0])
    alone = SharedDevices(machines[:1], before)
    assert alone.device(machines[0]) is None
