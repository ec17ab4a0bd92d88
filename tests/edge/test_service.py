"""asd-edge service: the files that it writes, where, and what it refuses. tests/systemd boots what comes of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import asd_edge.service
from asd_edge.cli.app import app
from asd_edge.errors import ServiceError
from asd_edge.service.files import GPU, SHIPPED, STATE, UNIT, is_edited, sealed, shipped
from asd_edge.service.steps import Run, Write, perform
from tests.edge.required import required_tool

PROGRAM = "/opt/asd-edge/bin/asd-edge"
CONFIG = "/etc/asd-edge/device.toml"
MACHINE = '[[machines]]\nid = "fan-7"\nsource = "sim:fan"\n'
DEVICE = f'[device]\nid = "press-hall-3"\n{MACHINE}'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system's folder with a device file that needs no secrets."""
    put(tmp_path, CONFIG, DEVICE)
    return tmp_path


def put(root: Path, path: str, text: str) -> None:
    (root / path[1:]).parent.mkdir(parents=True, exist_ok=True)
    (root / path[1:]).write_text(text)


def read(root: Path, path: Path | str) -> str:
    return (root / str(path)[1:]).read_text()


def service(command: str, root: Path, *options: str) -> Result:
    given = ["--program", PROGRAM] if command == "install" and "--program" not in options else []
    return CliRunner().invoke(app, ["service", command, "--root", str(root), *given, *options])


def refused(command: str, root: Path, *options: str) -> ServiceError:
    error = service(command, root, *options).exception
    assert isinstance(error, ServiceError)
    return error


def files(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


def credentials(root: Path) -> list[str]:
    lines = read(root, UNIT).splitlines()
    return [line.removeprefix("LoadCredential=") for line in lines if line.startswith("LoadCredential=")]


def test_the_package_has_the_very_files_of_the_repository() -> None:
    shown = Path(__file__).parents[2] / "firmware_configs" / "systemd"
    assert (Path(asd_edge.service.__file__).parent / "systemd").resolve() == shown
    assert all((shown / name).is_file() for name in SHIPPED.values())


class TestInstall:
    def test_each_file_that_it_prints_is_there_and_no_other(self, root: Path) -> None:
        before = files(root)
        said = service("install", root, "--gpu").stdout.splitlines()
        assert said == [f"write {root / str(path)[1:]}" for path in said_order(root)]
        assert set(files(root)) - set(before) == {str(path)[1:] for path in SHIPPED}

    def test_the_gpu_s_drop_in_only_if_asked_for(self, root: Path) -> None:
        service("install", root)
        assert not (root / str(GPU)[1:]).exists()

    def test_a_dry_run_prints_the_same_and_does_nothing(self, root: Path) -> None:
        before = files(root)
        dry = service("install", root, "--dry-run").stdout.splitlines()
        assert files(root) == before
        assert dry[:-1] == service("install", root).stdout.splitlines()

    def test_the_unit_runs_this_program_with_this_file(self, root: Path) -> None:
        put(root, "/etc/asd/press.toml", DEVICE)
        service("install", root, "--program", "/usr/local/bin/asd-edge", "--config", "/etc/asd/press.toml")
        unit = read(root, UNIT)
        assert "\nExecStart=/usr/local/bin/asd-edge run --config /etc/asd/press.toml\n" in unit
        assert "\nExecReload=/usr/local/bin/asd-edge reload --config /etc/asd/press.toml\n" in unit
        assert PROGRAM not in unit

    def test_systemd_accepts_it(self, root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
        verify = required_tool("systemd-analyze", "systemd")
        service("install", root, "--program", "/usr/bin/env")
        unit = tmp_path_factory.mktemp("unit") / UNIT.name
        unit.write_text(read(root, UNIT))
        done = subprocess.run([verify, "verify", str(unit)], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")

    def test_again_it_changes_nothing(self, root: Path) -> None:
        service("install", root, "--gpu")
        before = files(root)
        said = service("install", root, "--gpu").stdout
        assert files(root) == before
        assert said.count("it says this already") == len(SHIPPED)

    def test_what_an_older_version_wrote_is_replaced(self, root: Path) -> None:
        put(root, str(UNIT), sealed("[Unit]\nDescription=older\n"))
        assert f"replace {root / str(UNIT)[1:]}" in service("install", root).stdout
        assert "Description=older" not in read(root, UNIT)

    @pytest.mark.parametrize("found", ["[Unit]\n", sealed("[Unit]\n").replace("[Unit]", "[Unit]\nAfter=x.target")])
    def test_somebody_s_own_file_is_not_overwritten_and_nothing_else_written(self, root: Path, found: str) -> None:
        put(root, str(UNIT), found)
        before = files(root)
        assert "edited" in refused("install", root).found
        assert files(root) == before
        assert service("install", root, "--force").exit_code == 0
        assert PROGRAM in read(root, UNIT)

    def test_what_it_writes_is_not_edited(self, root: Path) -> None:
        service("install", root, "--gpu")
        assert not any(is_edited(read(root, path)) for path in SHIPPED)


def said_order(root: Path) -> list[Path]:
    return [UNIT, *[path for path in SHIPPED if path not in (UNIT, GPU)], GPU]


class TestCredentials:
    def test_without_secrets_there_are_none(self, root: Path) -> None:
        service("install", root)
        assert credentials(root) == []

    def test_every_secret_of_the_device_file_that_is_in_use(self, root: Path) -> None:
        names = {"mqtt-password": "", "node-password": "", "device.key": "", "remote-keys": "", "cert.pem": ""}
        for name in names:
            put(root, f"/etc/asd-edge/{name}", "")
        put(
            root,
            CONFIG,
            '[mqtt]\nusername = "a"\npassword_file = "mqtt-password"\n'  # beside the device file
            '[mqtt.tls]\ncert_file = "/etc/asd-edge/cert.pem"\nkey_file = "/etc/asd-edge/device.key"\n'
            '[sparkplug]\nenabled = true\nusername = "b"\npassword_file = "/etc/asd-edge/node-password"\n'
            f'[remote]\nenabled = true\nkeys_file = "/etc/asd-edge/remote-keys"\n{DEVICE}',
        )
        assert service("install", root).exit_code == 0
        wanted = ("remote-keys", "mqtt-password", "device.key", "node-password")
        assert credentials(root) == [f"{name}:/etc/asd-edge/{name}" for name in wanted]

    def test_those_of_what_is_switched_off_are_left_out(self, root: Path) -> None:
        table = '[sparkplug]\nusername = "b"\npassword_file = "/etc/asd-edge/node-password"\n'
        put(root, CONFIG, table + DEVICE)
        assert service("install", root).exit_code == 0
        assert credentials(root) == []

    def test_one_that_is_missing_is_refused(self, root: Path) -> None:
        put(root, CONFIG, f'[mqtt]\nusername = "a"\npassword_file = "/etc/asd-edge/mqtt-password"\n{DEVICE}')
        assert "mqtt-password" in refused("install", root).found

    def test_two_of_one_name_are_refused(self, root: Path) -> None:
        for folder in ("one", "two"):
            put(root, f"/etc/{folder}/password", "")
        tables = '[mqtt]\nusername = "a"\npassword_file = "/etc/one/password"\n[sparkplug]\nenabled = true\n'
        put(root, CONFIG, f'{tables}username = "b"\npassword_file = "/etc/two/password"\n{DEVICE}')
        assert "two files of one name" in refused("install", root).found


class TestRefusals:
    @pytest.mark.parametrize("program", ["/home/anna/venv/bin/asd-edge", "/root/bin/asd-edge", "/tmp/bin/asd-edge"])
    def test_a_program_that_the_sandbox_hides(self, root: Path, program: str) -> None:
        assert program in refused("install", root, "--program", program).found

    def test_a_device_file_that_the_sandbox_hides(self, root: Path) -> None:
        put(root, "/home/anna/device.toml", DEVICE)
        assert "ProtectHome=yes" in shipped(UNIT)
        assert "/home/anna" in refused("install", root, "--config", "/home/anna/device.toml").found

    @pytest.mark.parametrize(
        ("text", "key"),
        [
            ('[bundle]\npath = "/home/anna/fan.asd"\n' + DEVICE, "bundle.path"),
            ('[mqtt]\ntls.ca_file = "/root/ca.pem"\n' + DEVICE, "mqtt.tls.ca_file"),
            (DEVICE.replace("sim:fan", "folder:/home/anna/in"), "the source of machine fan-7"),
            (DEVICE.replace("sim:fan", "raw:/tmp/fifo"), "the source of machine fan-7"),
        ],
    )
    def test_what_the_device_file_names_and_the_sandbox_hides(self, root: Path, text: str, key: str) -> None:
        put(root, CONFIG, text)
        assert key in refused("install", root).found

    def test_secrets_may_lie_where_root_alone_looks(self, root: Path) -> None:
        put(root, "/root/password", "")
        put(root, CONFIG, f'[mqtt]\nusername = "a"\npassword_file = "/root/password"\n{DEVICE}')
        assert service("install", root).exit_code == 0

    @pytest.mark.parametrize(
        "table", ['[device]\nid = "a"\nstate_dir = "/srv/a"\n', '[device]\nid = "a"\n[engine]\ncache_dir = "/srv/a"\n']
    )
    def test_a_folder_that_it_could_not_write_to(self, root: Path, table: str) -> None:
        put(root, CONFIG, table + MACHINE)
        error = refused("install", root)
        assert "/srv/a" in error.found
        assert str(STATE) in error.expected

    @pytest.mark.parametrize("program", ["/opt/my venv/asd-edge", "/opt/a;b/asd-edge", "/opt/$HOME/asd-edge"])
    def test_a_path_that_systemd_would_read_otherwise(self, root: Path, program: str) -> None:
        assert repr(program) in refused("install", root, "--program", program).found

    def test_a_device_file_that_cannot_be_used(self, root: Path) -> None:
        put(root, CONFIG, "[device]\n")
        before = files(root)
        assert service("install", root).exit_code != 0
        assert files(root) == before

    def test_a_system_without_systemd_or_another_user_than_root(self) -> None:
        if Path("/run/systemd/system").exists():
            pytest.skip("systemd runs here, and would be told")
        error = CliRunner().invoke(app, ["service", "uninstall"]).exception
        assert isinstance(error, ServiceError)
        assert "root" in error.expected or "systemd" in error.expected

    def test_a_command_that_fails_says_what_it_said(self) -> None:
        with pytest.raises(ServiceError, match=r"found: +no such thing"):
            perform(Run(("sh", "-c", "echo no such thing >&2; exit 3"), "Look."))

    def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(ServiceError, match="Cannot write"):
            perform(Write(tmp_path / "file" / "unit", ""))


class TestUninstall:
    def test_what_was_installed_is_gone_and_what_it_knows_stays(self, root: Path) -> None:
        put(root, f"{STATE}/alarms.json", "{}")
        before = files(root)
        service("install", root, "--gpu")
        said = service("uninstall", root).stdout
        assert files(root) == before
        assert not (root / str(GPU.parent)[1:]).exists()
        assert f"leave {root / str(STATE)[1:]}" in said
        assert f"leave {root / 'etc/asd-edge'}" in said

    def test_files_of_somebody_s_own_stay_and_are_told(self, root: Path) -> None:
        service("install", root)
        own = str(GPU.parent / "override.conf")
        put(root, own, "[Service]\nNice=5\n")
        put(root, str(UNIT), read(root, UNIT) + "# mine\n")
        said = service("uninstall", root).stdout
        assert f"leave {root / str(UNIT)[1:]}" in said
        assert f"leave {root / own[1:]}" in said
        assert "# mine" in read(root, UNIT)
        service("uninstall", root, "--force")
        assert not (root / str(UNIT)[1:]).exists()
        assert read(root, own) == "[Service]\nNice=5\n"
