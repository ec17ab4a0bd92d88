"""Is TensorRT's Python module here, and if not, why not."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from asd_edge.doctor.device import Answer, Device, ask
from asd_edge.doctor.finding import Finding, ok, warning
from asd_edge.doctor.python import in_venv
from asd_edge.engines.tensorrt_module import FLAVOURS, Flavour

_CPU = "the network runs on the CPU"
_IMPORT_S = 20.0  # a cold import from an SD card
_PROGRAM = """
import json
from asd_edge.engines.tensorrt_module import look_for
told = look_for({flavour!r})
print(json.dumps([told.tensorrt is not None, told.found, told.remedy]))
"""


def check_tensorrt(device: Device) -> Iterator[Finding]:
    """Yield what is found of each module, or why there is none."""
    if device.config is not None and device.config.engine.tensorrt == "off":
        yield ok(f"off, as engine.tensorrt says: {_CPU}")
        return
    there = [flavour for flavour in FLAVOURS if find_spec(flavour) is not None]
    for flavour in there:
        # In a child: the import takes hundreds of megabytes, and a library that does not fit ends the process.
        try:
            answer = ask(sys.executable, "-c", _PROGRAM.format(flavour=flavour), timeout_s=_IMPORT_S)
        except TimeoutError:
            found = f"installed, but its import did not end within {_IMPORT_S:g} s; {_CPU}"
            yield warning(found, "Look at `dmesg`: the driver or the disk may hang.", subject=flavour)
            continue
        if answer is not None:
            yield judge_import(flavour, answer)
    if not there:
        yield why_none(device, python=sys.version_info[:2], closed_venv=in_venv() and not _sees_system_packages())


def judge_import(flavour: Flavour, answer: Answer) -> Finding:
    """Say what the import of a module that was found has answered: by its end, or as _PROGRAM does."""
    if answer.status < 0:
        return warning(
            f"installed, but its import is ended by signal {-answer.status}; {_CPU}",
            "Install TensorRT and the driver of one JetPack or CUDA release.",
            subject=flavour,
        )
    if answer.status != 0:
        return warning(f"{answer.last_words}; {_CPU}", "Install asd-edge again.", subject=flavour)
    usable, said, remedy = json.loads(answer.output.splitlines()[-1])
    if usable:
        return ok(said, subject=flavour)
    return warning(f"{said}; {_CPU}", _library_remedy(said) or str(remedy), subject=flavour)


def _library_remedy(said: str) -> str | None:
    if "libnvinfer" in said or "libnvonnxparser" in said:
        return "Install TensorRT's libraries: apt-get install libnvinfer10 libnvonnxparsers10 (JetPack)."
    if "libcuda" in said or "libcudart" in said or "libnvidia" in said:
        return "Install NVIDIA's driver and CUDA runtime (JetPack: apt-get install nvidia-jetpack)."
    return None


def why_none(device: Device, *, python: tuple[int, ...], closed_venv: bool) -> Finding:
    """Say why neither module is found: what of TensorRT is on the system, and what keeps it from this Python.

    Args:
        device: where to look.
        python: major and minor version of this Python.
        closed_venv: this Python is a venv's that does not see the system's packages.
    """
    ours = ".".join(map(str, python))
    # Debian packages go to /usr/lib/python3.N or, for all 3.N at once, to /usr/lib/python3; the compiled part says N.
    modules = [path.parent for path in device.glob("/usr/lib/python3*/dist-packages/tensorrt/__init__.py")]
    versions = sorted({version for path in modules for version in _pythons_of(path)})
    libraries = device.glob("/usr/lib/*-linux-gnu/libnvinfer.so.*")
    if modules and versions and ours not in versions:
        return warning(
            f"the system's tensorrt is for Python {', '.join(versions)}, this is {ours}; {_CPU}",
            f"Make the venv with /usr/bin/python{versions[0]} -m venv --system-site-packages.",
        )
    if modules and closed_venv:
        return warning(
            f"the system has tensorrt, which this venv does not see; {_CPU}",
            "Make the venv again with --system-site-packages (docs/jetson.md).",
        )
    if libraries:
        newest = libraries[-1].name.removeprefix("libnvinfer.so.")
        return warning(f"libnvinfer {newest} without its Python module; {_CPU}", "apt-get install python3-libnvinfer")
    if device.is_jetson:
        return warning(
            f"no TensorRT on this Jetson; {_CPU}", "apt-get install nvidia-jetpack, then a venv that sees its packages."
        )
    if has_nvidia_gpu(device):
        return warning(f"no TensorRT beside this NVIDIA GPU; {_CPU}", "pip install tensorrt-rtx")
    return ok(f"none, and no GPU that it could use: {_CPU}")


def has_nvidia_gpu(device: Device) -> bool:
    """Whether a display or compute controller (PCI class 03) of NVIDIA (vendor 10de) is on the bus."""
    return any(
        device.read(f"/{path.relative_to(device.root)}/vendor") == "0x10de"
        and (device.read(f"/{path.relative_to(device.root)}/class") or "").startswith("0x03")
        for path in device.glob("/sys/bus/pci/devices/*")
    )


def _pythons_of(module: Path) -> Iterator[str]:
    """Yield the versions of Python that a module's compiled parts are for."""
    for part in module.glob("*.cpython-*.so"):
        if numbers := re.search(r"\.cpython-3(\d+)-", part.name):
            yield f"3.{numbers[1]}"
    if name := re.fullmatch(r"python(3\.\d+)", module.parents[1].name):
        yield name[1]


def _sees_system_packages() -> bool:
    settings = Path(sys.prefix, "pyvenv.cfg")
    try:
        return bool(re.search(r"^include-system-site-packages\s*=\s*true", settings.read_text("utf-8"), re.M | re.I))
    except OSError:
        return False
