"""The device file: what it gives, and what each mistake in it is called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from asd_edge.config import DecisionTable, DeviceConfig, load_config
from asd_edge.errors import ConfigError
from asd_edge.scoring.decision import DecisionSpec

LEAST = """
[device]
id = "press-hall-3"

[[machines]]
id = "fan-7"
source = "sim:fan"
"""

FULL = """
[device]
id = "press-hall-3"
state_dir = "state"

[bundle]
path = "models/fan.asd"
precision = "auto"
threads = 2

[engine]
tensorrt = "off"
cache_dir = "built"

[mqtt]
host = "broker.plant"
port = 8883
protocol = "3.1.1"
prefix = "plant/asd"
username = "edge"
password_file = "secret"
keepalive_s = 15
[mqtt.tls]
ca_file = "/etc/ssl/plant.pem"
cert_file = "me.pem"
key_file = "me.key"

[[machines]]
id = "fan-7"
source = "alsa:hw:CARD=Device"
channel = 0
source_rate = 48000
speed = 1
factory = "fan/00"
idle_below_dbfs = -60
[machines.decision]
on_delay_s = 2
off_delay_s = 3.5
deadband = 0.2

[[machines]]
id = "pump_2"
source = "raw:-"
"""


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], DeviceConfig]:
    def read(text: str) -> DeviceConfig:
        path = tmp_path / "device.toml"
        path.write_text(text, encoding="utf-8")
        return load_config(path)

    return read


def test_two_keys_are_enough_for_a_machine(load):
    config = load(LEAST)
    assert config.device.state_dir == Path("/var/lib/asd-edge")
    assert config.bundle.path == "default"
    assert config.bundle.precision == "fp32"
    assert config.engine.tensorrt == "auto"
    assert config.engine_cache == Path("/var/lib/asd-edge/engines")
    assert (config.mqtt.host, config.mqtt.port, config.mqtt.protocol) == ("127.0.0.1", 1883, "5")
    assert config.mqtt.tls is None
    assert config.machines[0].factory_key is None


def test_everything_that_can_be_said(load, tmp_path):
    config = load(FULL)
    fan, pump = config.machines
    assert config.bundle.threads == 2
    assert (config.bundle.precision, config.engine.tensorrt) == ("auto", "off")
    assert config.mqtt.prefix == "plant/asd"
    assert fan.factory_key == ("fan", "00")
    assert (fan.channel, fan.source_rate, fan.speed, fan.idle_below_dbfs) == (0, 48_000, 1.0, -60.0)
    assert DecisionSpec(**fan.decision.model_dump()) == DecisionSpec(2.0, 3.5, 0.2)
    assert config.machine("pump_2") is pump
    assert pump.decision == DecisionTable()


def test_relative_paths_start_at_the_file(load, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    config = load(FULL)
    assert config.device.state_dir == tmp_path / "state"
    assert config.bundle.path == str(tmp_path / "models" / "fan.asd")
    assert config.engine_cache == tmp_path / "built"
    assert config.mqtt.password_file == tmp_path / "secret"
    assert config.mqtt.tls is not None
    assert config.mqtt.tls.ca_file == Path("/etc/ssl/plant.pem")
    assert config.mqtt.tls.key_file == tmp_path / "me.key"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("file:a b.wav", "file:{}/a b.wav"),
        ("folder:/srv/in", "folder:/srv/in"),
        ("raw:pipes/fan", "raw:{}/pipes/fan"),
        ("raw:-", "raw:-"),
        ("alsa:hw:CARD=Device", "alsa:hw:CARD=Device"),
        ("sim:fan?seed=3&control=now.json&record=/tmp/x.wav", "sim:fan?seed=3&control={}/now.json&record=/tmp/x.wav"),
    ],
)
def test_so_do_those_of_sources(load, tmp_path, written, meant):
    config = load(LEAST.replace("sim:fan", written))
    assert config.machines[0].source == meant.format(tmp_path)


def test_the_decision_s_defaults_are_those_of_the_scoring():
    assert [field.name for field in fields(DecisionSpec)] == list(DecisionTable.model_fields)
    assert DecisionSpec(**DecisionTable().model_dump()) == DecisionSpec()


def test_it_cannot_be_changed_afterwards(load):
    with pytest.raises(ValueError, match="frozen"):
        load(LEAST).device.id = "other"


def test_a_machine_it_does_not_have(load):
    with pytest.raises(ConfigError, match="'fan-8'") as caught:
        load(FULL).machine("fan-8")
    assert caught.value.expected == "one of fan-7, pump_2"


@pytest.mark.parametrize(
    ("change", "found", "expected"),
    [
        (('id = "fan-7"', 'idd = "fan-7"'), "unknown key machines[number 1].idd", "'id' (the nearest known key)"),
        (("[mqtt]", "[mqqt]"), "unknown key mqqt", "'mqtt' (the nearest known key)"),
        (("ca_file", "cafile"), "unknown key mqtt.tls.cafile", "'ca_file' (the nearest known key)"),
        (("on_delay_s", "on_delay"), "unknown key machines[fan-7].decision.on_delay", "'on_delay_s'"),
        (("threads = 2", "zzz = 2"), "unknown key bundle.zzz", "one of path, precision, threads"),
        (('id = "press-hall-3"\n', ""), "no device.id", "the key 'id'"),
        (("port = 8883", 'port = "8883"'), "mqtt.port = '8883'", "a whole number"),
        (("port = 8883", "port = 0"), "mqtt.port = 0", "1 or more"),
        (("port = 8883", "port = true"), "mqtt.port = true", "a whole number"),
        (('protocol = "3.1.1"', 'protocol = "4"'), "mqtt.protocol = '4'", "'5' or '3.1.1'"),
        (("keepalive_s = 15", "keepalive_s = 15.5"), "mqtt.keepalive_s = 15.5", "a whole number"),
        (("plant/asd", "plant/+/asd"), "mqtt.prefix = 'plant/+/asd'", "no wildcards"),
        (("plant/asd", "plant/#"), "mqtt.prefix = 'plant/#'", "no wildcards"),
        (("plant/asd", "$SYS"), "mqtt.prefix = '$SYS'", "no wildcards"),
        (("broker.plant", "mqtt..plant"), "mqtt.host: 'mqtt..plant' has an empty or", "fit together"),
        (("broker.plant", ".plant"), "mqtt.host: '.plant' has an empty or", "fit together"),
        (("broker.plant", "mqtt plant"), "mqtt.host: 'mqtt plant' has a space", "fit together"),
        (("plant/asd", "plant/"), "mqtt: a prefix that ends in '/'", "fit together"),
        (('username = "edge"\n', ""), "mqtt: a password_file without a username", "fit together"),
        (('key_file = "me.key"\n', ""), "mqtt.tls: one of cert_file and key_file", "fit together"),
        (("press-hall-3", "press hall 3"), "device.id = 'press hall 3'", "1 to 64 of A-Z a-z 0-9 _ -"),
        (('"fan-7"', '"../fan-7"'), "machines[number 1].id = '../fan-7'", "1 to 64 of A-Z a-z 0-9 _ -"),
        (('"fan-7"', f'"{"x" * 65}"'), "machines[number 1].id = 'xxx", "1 to 64 of A-Z a-z 0-9 _ -"),
        (('"fan-7"', '"fan-7\\n"'), r"machines[number 1].id = 'fan-7\n'", "1 to 64 of A-Z a-z 0-9 _ -"),
        (('"pump_2"', '"fan-7"'), "two machines with the id 'fan-7'", "fit together"),
        (("channel = 0", "channel = -1"), "machines[fan-7].channel = -1", "0 or more"),
        (("speed = 1", "speed = nan"), "machines[fan-7].speed = nan", "finite"),
        (
            ("idle_below_dbfs = -60", "idle_below_dbfs = 60"),
            "idle_below_dbfs = 60",
            "0.0 or less",
        ),
        (("deadband = 0.2", "deadband = 1.0"), "deadband = 1.0", "less than 1"),
        (('"fan/00"', '"fan"'), "machines[fan-7].factory = 'fan'", "`machine/section`"),
        (('source = "raw:-"', ""), "no machines[pump_2].source", "the key 'source'"),
        (('"sim:fan"', '""'), None, None),
    ],
)
def test_mistakes_are_named_with_their_place(load, change, found, expected):
    if found is None:
        text, found, expected = LEAST.replace(*change), "machines[fan-7].source = ''", "1 or more characters"
    else:
        text = FULL.replace(*change, 1)
    assert text != FULL
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert found in caught.value.found
    assert expected in caught.value.expected
    assert "device.toml" in caught.value.what
    assert "docs/configuration.md" in caught.value.remedy


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        (
            [("port = 8883", "port = 0"), ("speed = 1", "speed = -1")],
            "mqtt.port = 0 (also wrong: machines[fan-7].speed)",
        ),
        (
            [('id = "fan-7"', 'idd = "fan-7"')],
            "unknown key machines[number 1].idd",
        ),  # the missing id is the same mistake
        ([("tls]", "tls]\na = 1\nb = 1\nc = 1\nd = 1\ne = 1")], "(also wrong: mqtt.tls.b, mqtt.tls.c, mqtt.tls.d …)"),
    ],
)
def test_of_several_mistakes_one_is_explained_and_the_others_are_named(load, changes, found):
    text = FULL
    for change in changes:
        text = text.replace(*change, 1)
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert caught.value.found.endswith(found)


def test_a_file_without_machines(load):
    with pytest.raises(ConfigError, match="no machines"):
        load('[device]\nid = "a"\n')
    with pytest.raises(ConfigError, match="machines = "):
        load('machines = []\n[device]\nid = "a"\n')


def test_toml_that_is_none_is_refused_with_its_line(load):
    with pytest.raises(ConfigError, match="line 3"):
        load('[device]\nid = "a"\nstate_dir = oops\n')


def test_a_file_that_is_not_text(tmp_path):
    path = tmp_path / "device.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="TOML"):
        load_config(path)


@pytest.mark.parametrize("name", ["nowhere.toml", "."])
def test_a_file_that_cannot_be_read(tmp_path, name):
    with pytest.raises(ConfigError, match="a file that can be read"):
        load_config(tmp_path / name)
