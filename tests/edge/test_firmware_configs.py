"""What a device gets works as it is shipped: the profiles load, the unit is one that systemd accepts."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from asd_edge.config import RemoteTable, load_config
from asd_edge.sources.open import open_source
from tests.edge.required import required_tool

pytestmark = pytest.mark.once

FOLDER = Path(__file__).resolve().parents[2] / "firmware_configs"
UNIT = FOLDER / "systemd" / "asd-edge.service"
PROFILES = sorted(FOLDER.glob("*.toml"))


@pytest.fixture
def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)  # keys that add to a list come twice
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return parser


def test_there_are_profiles_for_a_board_and_for_a_desk():
    assert {"jetson-orin-nano.toml", "development.toml"} <= {path.name for path in PROFILES}


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.name)
def test_every_profile_loads_and_is_explained(path):
    assert load_config(path).machines
    lines = path.read_text().splitlines()
    assert sum("#" in line for line in lines) >= 5


def test_the_board_hears_a_microphone_by_a_name_that_stays():
    machine = load_config(FOLDER / "jetson-orin-nano.toml").machines[0]
    assert machine.source.startswith("alsa:hw:CARD=")


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.name)
def test_one_bang_is_no_alarm_in_any_profile(path):
    window_s = ((8 - 1) * 32 + 64) * 512 / 16_000  # of the default bundle
    for machine in load_config(path).machines:
        assert machine.decision.on_delay_s > window_s


def test_the_desk_needs_nothing_but_itself():
    config = load_config(FOLDER / "development.toml")
    assert config.mqtt.host == "127.0.0.1"
    assert config.mqtt.username is None
    assert FOLDER.parent in config.device.state_dir.resolve().parents
    for machine in config.machines:
        source = open_source(machine.source, rate=16_000, speed=0.0)
        try:
            assert len(next(source.blocks()).samples) > 0
        finally:
            source.close()


def test_the_fault_that_the_desk_s_profile_proposes_exists():
    text = (FOLDER / "development.toml").read_text()
    proposed = text.split("# add ")[1].split(" ")[0]
    machine = load_config(FOLDER / "development.toml").machines[0]
    open_source(machine.source + proposed, rate=16_000, speed=0.0).close()


def remote_profile(folder: Path) -> Path:
    """The board's profile with what it has in comments under [remote]."""
    text = (FOLDER / "jetson-orin-nano.toml").read_text()
    begin, end = text.index("# [remote]"), text.index("[[machines]]")
    path = folder / "device.toml"
    path.write_text(text[:begin] + text[begin:end].replace("# ", "", 1).replace("\n# ", "\n") + text[end:])
    return path


def test_remote_enrollment_is_off_and_what_switches_it_on_is_there_as_a_comment(tmp_path):
    assert all(not load_config(path).remote.enabled for path in PROFILES)
    assert load_config(remote_profile(tmp_path)).remote == RemoteTable(
        enabled=True, keys_file=Path("/etc/asd-edge/remote-keys")
    )


def test_what_a_bundle_of_one_s_own_needs_is_there_as_a_comment(tmp_path):
    text = (FOLDER / "jetson-orin-nano.toml").read_text()
    lines = [line.removeprefix("# ") for line in text.splitlines() if not line.startswith('path = "default"')]
    begin = lines.index("[bundle]")
    end = next(number for number in range(begin + 1, len(lines)) if lines[number].startswith("["))
    path = tmp_path / "device.toml"
    keys = [line for line in lines[begin + 1 : end] if " = " in line]
    machine = ["[[machines]]", 'id = "a"', 'source = "sim:fan"']
    path.write_text("\n".join(["[device]", 'id = "box"', "[bundle]", *keys, *machine]))
    bundle = load_config(path).bundle
    assert bundle.path == "/var/lib/asd-edge/bundle.asd"
    assert bundle.trusted_keys_file == Path("/etc/asd-edge/trusted-keys")
    assert not bundle.allow_unsigned


class TestUnit:
    def test_it_stays_up(self, unit):
        assert unit["Service"]["Restart"] == "always"
        assert unit["Unit"]["StartLimitIntervalSec"] == "0"
        assert unit["Install"]["WantedBy"] == "multi-user.target"

    def test_it_waits_for_the_clock(self, unit):
        assert unit["Unit"]["Wants"] == "time-sync.target"
        assert "time-sync.target" in unit["Unit"]["After"].split()

    def test_it_is_installed_from_this_checkout_and_no_package_index(self):
        text = UNIT.read_text()
        assert "pip install ." in text
        assert "pip install asd-edge" not in text

    def test_it_runs_as_nobody_with_one_folder_and_the_microphone(self, unit):
        service = unit["Service"]
        assert service["DynamicUser"] == "yes"
        assert service["SupplementaryGroups"] == "audio"
        assert (service["DevicePolicy"], service["DeviceAllow"]) == ("closed", "char-alsa rw")

    def test_it_and_the_board_s_profile_agree(self, unit):
        service = unit["Service"]
        config = load_config(FOLDER / "jetson-orin-nano.toml")
        assert config.device.state_dir == Path("/var/lib") / service["StateDirectory"]
        credential, path = service["LoadCredential"].split(":")
        assert config.mqtt.tls.key_file == Path(path)  # what root checks with
        assert config.mqtt.tls.key_file.name == credential  # how the service finds its copy

    def test_its_comment_and_the_board_s_comment_on_remote_enrollment_agree(self, tmp_path):
        text = UNIT.read_text()
        name, path = text.split("\n# LoadCredential=")[1].split("\n")[0].split(":")
        assert load_config(remote_profile(tmp_path)).remote.keys_file == Path(path)
        assert Path(path).name == name

    @pytest.mark.parametrize("drop_ins", [[], ["gpu.conf"]])
    def test_systemd_accepts_it(self, tmp_path, drop_ins):
        verify = required_tool("systemd-analyze", "systemd")
        text = UNIT.read_text()
        assert "ExecStart=/opt/asd-edge/bin/asd-edge run " in text
        installed = tmp_path / "asd-edge.service"
        installed.write_text(text.replace("/opt/asd-edge/bin/asd-edge", sys.executable))
        for name in drop_ins:
            (tmp_path / "asd-edge.service.d").mkdir(exist_ok=True)
            shutil.copy(FOLDER / "systemd" / "asd-edge.service.d" / name, tmp_path / "asd-edge.service.d")
        result = subprocess.run([verify, "verify", str(installed)], capture_output=True, text=True, timeout=60)
        complaints = [line for line in result.stderr.splitlines() if "asd-edge.service" in line]
        assert (result.returncode, complaints) == (0, [])

    def test_its_sandbox_is_rated_2_or_less_of_10(self):
        analyze = required_tool("systemd-analyze", "systemd")
        rated = [analyze, "security", "--offline=true", "--threshold=20", "--no-pager", str(UNIT)]
        result = subprocess.run(rated, capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, result.stdout

    def test_a_daemon_that_hangs_is_ended_and_a_killed_child_ends_nothing_else(self, unit):
        service = unit["Service"]
        assert 10 <= int(service["WatchdogSec"]) <= 60
        assert service["OOMPolicy"] == "continue"

    def test_no_core_file_holds_sound_or_passwords(self, unit):
        assert unit["Service"]["LimitCORE"] == "0"

    def test_the_groups_that_it_names_are_made_where_there_are_none(self, unit):
        drop_in = configparser.ConfigParser(strict=False)
        drop_in.read(UNIT.parent / "asd-edge.service.d" / "gpu.conf")
        named = f"{unit['Service']['SupplementaryGroups']} {drop_in['Service']['SupplementaryGroups']}".split()
        lines = (UNIT.parent / "sysusers.d" / "asd-edge.conf").read_text().splitlines()
        assert {line.split()[1] for line in lines if line.startswith("g ")} == set(named)

    def test_secrets_in_its_folder_are_root_s(self):
        lines = (UNIT.parent / "tmpfiles.d" / "asd-edge.conf").read_text().splitlines()
        modes = {line.split()[1]: line.split()[2:5] for line in lines if line.startswith("z ")}
        for name in ("press-hall-3.key", "mqtt-password", "remote-keys"):
            matching = [mode for path, mode in modes.items() if fnmatch(f"/etc/asd-edge/{name}", path)]
            assert matching == [["0600", "root", "root"]]


UDEV_MATCH = re.compile(r'(SUBSYSTEMS?|KERNELS?|ACTION|ENV\{\w+\})(==|!=)"[^"]*"')  # udev(7): of the keys used here
UDEV_ASSIGNMENT = re.compile(r'(ATTR\{\w+\}|NAME|TAG)(=|\+=)"[^"]*"')


def test_the_microphones_rules_are_udev_s_and_their_names_alsa_s():
    rules = UNIT.parent / "udev" / "70-asd-edge-microphones.rules"
    lines = [line for line in rules.read_text().splitlines() if line and not line.startswith("#")]
    names = []
    for line in lines:
        *conditions, named = line.split(", ")
        assert all(UDEV_MATCH.fullmatch(key) for key in conditions), line
        assert UDEV_ASSIGNMENT.fullmatch(named), line
        names.append(named.removeprefix("ATTR{id}=").strip('"'))
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,15}", name) for name in names)  # id_store() in sound/core/init.c
    assert len(set(names)) == len(lines) >= 2
