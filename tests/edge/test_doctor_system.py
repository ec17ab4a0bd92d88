"""Python, packages, TensorRT, clock, disk, permissions and the service, as the doctor judges them."""

from __future__ import annotations

import ctypes
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asd_edge.config import load_config
from asd_edge.control import ControlReply
from asd_edge.daemon.control import ControlServer
from asd_edge.doctor import clock, disk, permissions, python, service, tensorrt
from asd_edge.doctor.device import Answer, Device, ask
from asd_edge.doctor.finding import Level
from tests.edge.device import write_device
from tests.edge.doctor_trees import JETSON, PC, lay_out

DIST = "/usr/lib/python3.10/dist-packages/tensorrt"
SYSTEM_TENSORRT = {
    f"{DIST}/__init__.py": "",
    f"{DIST}/tensorrt.cpython-310-aarch64-linux-gnu.so": "",
    "/usr/lib/aarch64-linux-gnu/libnvinfer.so.10.3.0": "",
}


@pytest.mark.parametrize(
    ("version", "machine", "bits", "level"),
    [
        ((3, 10, 12), "aarch64", 64, "ok"),
        ((3, 13, 1), "x86_64", 64, "ok"),
        ((3, 8, 10), "aarch64", 64, "fault"),
        ((3, 11, 2), "armv7l", 32, "fault"),
        ((3, 14, 0), "x86_64", 64, "warning"),
        ((3, 12, 3), "riscv64", 64, "warning"),
    ],
)
def test_python(version: tuple[int, ...], machine: str, bits: int, level: str) -> None:
    assert python.judge_python(version, machine, bits=bits).level.value == level


def test_packages_are_held_to_what_the_distribution_requires() -> None:
    required = [
        "numpy>=2.0",
        "numpy>=99; python_version < '3'",  # not for this Python
        "pydantic>=900",
        "no-such-thing>=1",
        "pytest>=8; extra == 'test'",
        "no-such-other; extra == 'remote'",
    ]
    findings = list(python.judge_packages(required, {""}))
    assert [finding.level.value for finding in findings] == ["fault", "fault", "ok"]
    assert "not >=900" in findings[0].found
    assert findings[1].remedy == "pip install 'no-such-thing>=1'"
    assert findings[2].found == f"numpy {python.installed('numpy')}"
    assert any("no-such-other" in found.found for found in python.judge_packages(required, {"", "remote"}))


def test_packages_without_the_package_that_compares_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "packaging.requirements", None)
    findings = list(python.judge_packages(["numpy>=2.0", "no_such-thing[extra]>=1,<2", "tomli; extra == 'x'"], {""}))
    assert [finding.level.value for finding in findings] == ["fault", "ok"]
    assert findings[0].found == "no_such-thing is not installed"
    assert "packaging" in str(findings[1].unseen)


@pytest.mark.parametrize(
    ("files", "changed", "closed", "own", "level", "said"),
    [
        (JETSON, SYSTEM_TENSORRT, True, (3, 10), "warning", "this venv does not see"),
        (JETSON, SYSTEM_TENSORRT, False, (3, 12), "warning", "is for Python 3.10, this is 3.12"),
        (
            JETSON,
            {"/usr/lib/aarch64-linux-gnu/libnvinfer.so.10.3.0": ""},
            True,
            (3, 10),
            "warning",
            "libnvinfer 10.3.0",
        ),
        (JETSON, {}, True, (3, 10), "warning", "no TensorRT on this Jetson"),
        (PC, {}, True, (3, 12), "ok", "no GPU"),
    ],
)
def test_why_there_is_no_tensorrt(
    files: dict[str, str],
    changed: dict[str, str],
    closed: bool,
    own: tuple[int, int],
    level: str,
    said: str,
    tmp_path: Path,
) -> None:
    device = Device(root=lay_out(tmp_path, files, changed))
    found = tensorrt.why_none(device, python=own, closed_venv=closed)
    assert (found.level.value, said in found.found) == (level, True), found


@pytest.mark.parametrize(
    ("code", "level", "said"),
    [
        ("raise ImportError('libnvinfer.so.10: cannot open shared object file')", "warning", "libnvinfer.so.10"),
        ("import os; os.abort()", "warning", "ended by signal 6"),
        ("__version__ = '8.5.2'; ILogger = object", "warning", "version 8.5.2"),
        ("__version__ = '10.3.0'; ILogger = object", "ok", "version 10.3.0 in "),
    ],
)
def test_an_import_that_fails_or_dies_takes_nobody_along(
    code: str, level: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module of that name that does what broken installations do; none can be had on demand."""
    (tmp_path / "tensorrt.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)  # where it is found, and
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # from where the child imports it
    (found,) = (finding for finding in tensorrt.check_tensorrt(Device()) if finding.subject == "tensorrt")
    assert (found.level.value, said in found.found) == (level, True), found


NOON = 1_795_000_000.0  # November 2026
KEPT, LEFT = clock.Kernel(True, 0.012), clock.Kernel(False, 16.0)


@pytest.mark.parametrize(
    ("now", "kernel", "hardware", "level", "said"),
    [
        (NOON, KEPT, {"rtc0": NOON + 1}, "ok", "set to within 12 ms"),
        (NOON, KEPT, {"dead": 0.0, "rtc1": NOON}, "ok", "hardware clock rtc1 +0 s"),
        (NOON, KEPT, {}, "ok", "zone Etc/UTC"),
        (NOON, KEPT, {"rtc0": 12.0}, "warning", "hardware clock rtc0"),
        (NOON, LEFT, {}, "warning", "not synchronised"),
        (NOON, None, {}, "ok", "UTC"),
        (12.0, KEPT, {}, "fault", "1970-01-01"),
    ],
)
def test_clock(now: float, kernel: Any, hardware: dict[str, float], level: str, said: str) -> None:
    found = clock.judge_clock(now, kernel, hardware, "Etc/UTC")
    assert (found.level.value, said in found.found) == (level, True), found
    assert (found.unseen is None) == (kernel is not None or level == "fault")


def test_the_kernel_is_understood() -> None:
    asked = clock.ask_kernel()
    if asked is None:
        pytest.skip("adjtimex is forbidden here")
    assert ctypes.sizeof(asked) == 208  # struct timex of 64-bit Linux
    assert abs(asked.seconds - time.time()) <= 2.0
    assert 9_000 <= asked.tick <= 11_000  # microseconds; the kernel allows a tenth
    kernel = clock.kernel_clock()
    assert kernel is not None
    assert 0.0 <= kernel.error_s <= 16.0  # NTP_PHASE_LIMIT


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
        "password_file": "fault",
    }
    password.unlink()
    (gone,) = (f for f in permissions.check_permissions(Device(config_file=path, config=load_config(path)))
               if f.subject == "password_file")  # fmt: skip
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


def test_a_program_that_hangs_is_ended() -> None:
    start = time.monotonic()
    with pytest.raises(TimeoutError, match="sleep did not answer"):
        ask("sleep", "60", timeout_s=0.2)
    assert time.monotonic() - start < 30.0
    assert ask("no-such-program", timeout_s=1.0) is None
    assert ask("sh", "-c", "echo out; echo err >&2; exit 3", timeout_s=5.0) == Answer(3, "out\n", "err\n")
