"""Python, packages, TensorRT and the clock, as the doctor judges them, and programs that it asks."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from asd_edge.doctor import clock, gpu, python, tensorrt
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


def test_tensorrt_that_is_switched_off_is_not_looked_for(tmp_path: Path) -> None:
    path = write_device(tmp_path, Path("default"), 1883, {"id": "fan", "source": "sim:fan"})
    path.write_text(path.read_text() + '[engine]\ntensorrt = "off"\n')
    (found,) = tensorrt.check_tensorrt(Device.of(path))
    assert (found.level, found.found.startswith("off")) == (Level.OK, True)


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


def test_a_program_that_hangs_is_ended() -> None:
    start = time.monotonic()
    with pytest.raises(TimeoutError, match="sleep did not answer"):
        ask("sleep", "60", timeout_s=0.2)
    assert time.monotonic() - start < 30.0
    assert ask("no-such-program", timeout_s=1.0) is None
    assert ask("sh", "-c", "echo out; echo err >&2; exit 3", timeout_s=5.0) == Answer(3, "out\n", "err\n")


def test_a_driver_that_hangs_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real children that sleep: nvidia-smi, and a TensorRT whose import does not end."""
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    (tmp_path / "tensorrt.py").write_text("import time\ntime.sleep(60.0)\n")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(gpu, "_SMI_S", 0.1)
    monkeypatch.setattr(tensorrt, "_IMPORT_S", 0.1)
    device = Device(root=lay_out(tmp_path, PC))
    (smi,) = gpu.check_gpu(device)
    assert (smi.level, smi.found) == (Level.WARNING, "nvidia-smi did not answer within 0.1 s")
    imported = next(iter(tensorrt.check_tensorrt(device)))
    assert (imported.level, imported.subject) == (Level.WARNING, "tensorrt")
    assert "import did not end within 0.1 s" in imported.found
    assert smi.remedy
    assert imported.remedy
