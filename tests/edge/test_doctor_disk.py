"""Disk, permissions and the service, as the doctor judges them; a disk in memory and a read-only one are real."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from asd_edge.config import load_config
from asd_edge.control import ControlReply
from asd_edge.daemon.control import ControlServer
from asd_edge.doctor import disk, permissions, service
from asd_edge.doctor.device import Device
from asd_edge.doctor.finding import Level
from tests.edge.device import write_device

MOUNTS = """22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 179:1 / / rw,relatime shared:1 - ext4 /dev/mmcblk0p1 rw
30 27 0:24 / /run rw,nosuid shared:5 - tmpfs tmpfs rw,size=780204k
40 27 259:1 / /mnt/an\\040ssd ro,relatime shared:9 - xfs /dev/nvme0n1p1 rw
41 27 0:50 / /var/lib/asd-edge rw - overlay overlay rw
"""


@pytest.mark.parametrize(
    ("folder", "kind", "read_only"),
    [
        ("/etc/asd-edge", "ext4", False),
        ("/running", "ext4", False),  # not below /run
        ("/run/asd", "tmpfs", False),
        ("/mnt/an ssd/state", "xfs", True),
        ("/var/lib/asd-edge/fan", "overlay", False),
    ],
)
def test_the_mount_of_a_folder(folder: str, kind: str, read_only: bool) -> None:
    mount = disk.mount_of(Path(folder), MOUNTS)
    assert mount is not None
    assert (mount.kind, mount.read_only) == (kind, read_only)


@pytest.mark.parametrize(
    ("megabytes", "inodes", "kind", "read_only", "level"),
    [
        (50_000, 10**6, "ext4", False, "ok"),
        (50_000, None, "btrfs", False, "ok"),
        (500, 10**6, "ext4", False, "warning"),
        (10, 10**6, "ext4", False, "fault"),
        (50_000, 500, "ext4", False, "warning"),
        (50_000, 0, "ext4", False, "fault"),
        (50_000, 10**6, "tmpfs", False, "warning"),
        (50_000, 10**6, "overlay", False, "warning"),
        (50_000, 10**6, "ext4", True, "fault"),
    ],
)
def test_disk(megabytes: float, inodes: int | None, kind: str, read_only: bool, level: str) -> None:
    found = disk.judge_disk(Path("/state"), megabytes, inodes, disk.Mount("/", kind, read_only))
    assert found.level.value == level, found


def box(folder: Path) -> Device:
    path = write_device(folder, folder / "none.asd", 1883, {"id": "fan", "source": "sim:fan"})
    return Device(config_file=path, config=load_config(path))


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs at the state folder; only root can have one."""
    state = tmp_path / "state"
    state.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "none", state], capture_output=True, check=False).returncode != 0:
        pytest.skip("no right to mount")
    yield state
    subprocess.run(["umount", state], check=True)


def test_a_state_folder_in_memory_then_read_only(mounted: Path, tmp_path: Path) -> None:
    (found,) = disk.check_disk(box(tmp_path))
    assert (found.level, "in memory" in found.found) == (Level.WARNING, True), found
    (written,) = disk.check_write(box(tmp_path))
    assert written.level == Level.OK
    subprocess.run(["mount", "-o", "remount,ro", mounted], check=True)
    (found,) = disk.check_disk(box(tmp_path))
    assert (found.level, "read-only" in found.found) == (Level.FAULT, True), found
    (written,) = disk.check_write(box(tmp_path))
    assert (written.level, "Read-only file system" in written.found) == (Level.FAULT, True), written


def test_the_probe_file_leaves_nothing(tmp_path: Path) -> None:
    (missing,) = disk.check_write(box(tmp_path))
    assert (missing.level, "no folder" in missing.found) == (Level.WARNING, True)
    (tmp_path / "state").mkdir()
    (written,) = disk.check_write(box(tmp_path))
    assert (written.level, list((tmp_path / "state").iterdir())) == (Level.OK, [])


@pytest.mark.parametrize(
    ("mode", "secret", "level"),
    [
        (0o600, True, "ok"),
        (0o640, True, "warning"),
        (0o644, True, "fault"),
        (0o644, False, "ok"),
        (0o664, False, "warning"),
        (0o666, False, "fault"),
        (0o606, True, "fault"),
    ],
)
def test_modes(mode: int, secret: bool, level: str) -> None:
    found = permissions.judge_mode(Path("f"), stat.S_IFREG | mode, "root", name="key_file", secret=secret)
    assert found.level.value == level
    assert found.remedy is None or found.remedy.startswith("chmod ")


def test_the_files_that_a_device_file_names(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("secret")
    password.chmod(0o604)
    (tmp_path / "state").mkdir(mode=0o755)
    os.chmod(tmp_path / "state", 0o777)
    path = write_device(
        tmp_path, tmp_path / "b.asd", 1883, {"id": "fan", "source": "sim:fan"}, username="box", password_file="password"
    )
    path.chmod(0o644)
    findings = permissions.check_permissions(Device(config_file=path, config=load_config(path)))
    assert {finding.subject: finding.level.value for finding in findings} == {
        "state_dir": "fault",
        "config": "ok",
        "mqtt.password_file": "fault",
    }
    password.unlink()
    (gone,) = (f for f in permissions.check_permissions(Device(config_file=path, config=load_config(path)))
               if f.subject == "mqtt.password_file")  # fmt: skip
    assert (gone.level, "no file" in gone.found) == (Level.FAULT, True)


RUNNING = {"LoadState": "loaded", "ActiveState": "active", "SubState": "running", "UnitFileState": "enabled",
           "Result": "success", "NRestarts": "0", "User": "asd-edge", "DynamicUser": "yes"}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "level", "said"),
    [
        ({}, "ok", "active (running), enabled, user asd-edge (dynamic)"),
        ({"LoadState": "not-found"}, "warning", "not installed"),
        ({"ActiveState": "inactive", "SubState": "dead"}, "warning", "inactive"),
        ({"ActiveState": "failed", "SubState": "failed", "Result": "exit-code"}, "fault", "exit-code"),
        ({"ActiveState": "activating", "SubState": "auto-restart"}, "fault", "auto-restart"),
        ({"UnitFileState": "disabled"}, "warning", "does not start with the device"),
        ({"NRestarts": "3"}, "warning", "started again 3 times"),
    ],
)
def test_the_unit(changed: dict[str, str], level: str, said: str) -> None:
    found = service.judge_unit(RUNNING | changed)
    assert (found.level.value, said in found.found) == (level, True), found


def test_a_daemon_that_answers_is_seen(tmp_path: Path) -> None:
    device = box(tmp_path)
    *_, none = service.check_service(device)
    assert (none.level, none.subject, "none uses" in none.found) == (Level.OK, "daemon", True), none
    server = ControlServer(tmp_path / "state", lambda _: (ControlReply(), np.zeros(0, np.float32)))
    server.start()
    *_, found = service.check_service(device)
    server.stop()
    assert (found.level, "one runs and answers" in found.found) == (Level.OK, True), found
