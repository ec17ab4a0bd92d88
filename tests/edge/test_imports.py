"""What importing costs and drags in: nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "onnx", "onnxruntime", "paho", "scipy", "scipy.signal", "soundfile", "pydantic", "cryptography")
HEAVY += ("asd_train", "asd_export", "tensorrt", "tensorrt_rtx", "cuda")


def modules_after(code: str) -> set[str]:
    listing = f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert modules_after("import asd_edge").isdisjoint(HEAVY)


@pytest.mark.parametrize("module", ["asd_edge.detector", "asd_edge.daemon.supervisor", "asd_edge.cli.app"])
def test_the_device_never_loads_torch_or_scipy(module: str) -> None:
    assert modules_after(f"import {module}").isdisjoint(
        {"torch", "onnx", "scipy", "cryptography", "asd_train", "asd_export", "matplotlib"}
    )


def test_help_loads_no_engine_and_no_broker_client() -> None:
    code = "from asd_edge.cli import main\nimport sys\nsys.argv = ['asd-edge', '--help']\n"
    code += "try: main()\nexcept SystemExit: pass"
    assert modules_after(code).isdisjoint({"torch", "onnxruntime", "paho", "scipy", "cryptography", "matplotlib"})
