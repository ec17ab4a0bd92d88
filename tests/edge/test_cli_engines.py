"""asd-edge engines as people and scripts meet it."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from asd_edge.bundle.archive import load_bundle
from asd_edge.cli.owner import command_as
from asd_edge.engines.build import find_builder
from asd_edge.engines.cache import EngineCache
from asd_edge.engines.tensorrt_module import FLAVOURS
from asd_edge.serving.failures import FailureBook
from asd_edge.serving.tensorrt import TensorRTEngines
from tests.edge.device import ASD_EDGE, FAN_SOURCE, asd_edge, write_device
from tests.edge.required import required_module
from tests.edge.test_engine_cache import ENGINE, KEY
from tests.edge.tiny_bundle import GOLDEN, STREAMED, make_tiny_bundle

SERVICE = 61_234


def test_engines_are_built_once_listed_and_cleaned(tmp_path: Path) -> None:
    required_module("tensorrt_rtx", "tensorrt-rtx")
    make_tiny_bundle(tmp_path / "tiny.asd", precisions=("fp32", "fp16"), **STREAMED)
    where = ("--cache", tmp_path / "engines")
    built = asd_edge("engines", "build", "--bundle", tmp_path / "tiny.asd", *where)
    assert built.returncode == 0, built.stderr
    lines = built.stdout.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [
        f"{part}.{precision}.onnx" for precision in ("fp32", "fp16") for part in ("stream", "head")
    ]
    assert all("built, " in line for line in lines)

    again = asd_edge("engines", "build", "--bundle", tmp_path / "tiny.asd", "--precision", "fp16", "--json", *where)
    assert [(row["member"], row["from_cache"]) for row in json.loads(again.stdout)] == [
        ("stream.fp16.onnx", True),
        ("head.fp16.onnx", True),
    ]
    listed = asd_edge("engines", "list", *where).stdout
    assert listed.count("tensorrt_rtx") == 4
    assert f"4 engines in {tmp_path / 'engines'}" in listed
    rows = json.loads(asd_edge("engines", "list", "--json", *where).stdout)
    assert {row["header"]["key"]["precision"] for row in rows} == {"fp32", "fp16"}

    book = FailureBook(tmp_path / "engines")
    engines = TensorRTEngines(find_builder(), EngineCache(tmp_path / "engines"))
    view = load_bundle(tmp_path / "tiny.asd").at("fp16")
    for key in (engines.key(view), "of another bundle"):
        book.note(key, "tensorrt/fp16", "no room")
    asd_edge("engines", "build", "--bundle", tmp_path / "tiny.asd", "--precision", "fp16", *where)
    assert set(book.failures()) == {"of another bundle"}  # the daemon tries the one that is there
    assert "Removed 4 engines" in asd_edge("engines", "clean", *where).stderr
    assert book.failures() == {}
    assert "0 engines" in asd_edge("engines", "list", *where).stdout


def test_a_device_builds_into_its_own_folder_and_tells_which_graph_fails(tmp_path: Path) -> None:
    required_module("tensorrt_rtx", "tensorrt-rtx")
    make_tiny_bundle(tmp_path / "tiny.asd", graphs_bytes={"head.fp32.onnx": with_a_quantised_bias()}, **STREAMED)
    config = write_device(tmp_path, tmp_path / "tiny.asd", 1883, {"id": "fan-1", "source": FAN_SOURCE})
    (tmp_path / "state").mkdir()
    built = asd_edge("engines", "build", "--config", config)
    assert built.returncode == 1
    assert "head.fp32.onnx       not built" in built.stdout
    assert "operator: DequantizeLinear" in built.stdout
    (entry,) = EngineCache(tmp_path / "state" / "engines").entries()
    assert entry.header is not None
    assert entry.header.member == "stream.fp32.onnx"


def with_a_quantised_bias() -> bytes:
    """The tiny head with a bias of int32 added, as quantisers write it by default: onnxruntime reads it."""
    import onnx

    model = onnx.load(GOLDEN / "tiny_head.onnx")
    output = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["unbiased" if name == output else name for name in node.output]
    for name, array in (("whole_bias", np.zeros(16, np.int32)), ("bias_scale", np.float32(0.1))):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    model.graph.node.append(onnx.helper.make_node("DequantizeLinear", ["whole_bias", "bias_scale"], ["added"]))
    model.graph.node.append(onnx.helper.make_node("Add", ["unbiased", "added"], [output]))
    return bytes(model.SerializeToString())


def test_without_tensorrt_it_says_what_was_looked_for_and_what_to_do(tmp_path: Path) -> None:
    for flavour in FLAVOURS:  # found before any that is installed
        (tmp_path / f"{flavour}.py").write_text("raise ModuleNotFoundError(name=__name__)\n")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [*ASD_EDGE, "engines", "build", "--cache", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "tensorrt: not installed in" in done.stderr
    assert "remedy:   On a Jetson" in done.stderr


def test_what_would_not_be_loaded_is_listed_with_the_reason(tmp_path: Path) -> None:
    path = EngineCache(tmp_path).store(KEY, ENGINE, member="segment.fp16.onnx", build_s=1.0)
    path.chmod(0o666)
    listed = asd_edge("engines", "list", "--cache", tmp_path).stdout
    assert "not usable" in listed
    assert "mode 666" in listed


def test_root_does_not_load_what_the_service_has_built(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are root's alone
        folder = Path(name)
        folder.chmod(0o755)
        make_tiny_bundle(folder / "tiny.asd")
        config = write_device(folder, folder / "tiny.asd", 1883, {"id": "fan-1", "source": FAN_SOURCE})
        engines = folder / "state" / "engines"
        path = EngineCache(engines).store(KEY, ENGINE, member="segment.fp16.onnx", build_s=1.0)
        for each in (folder / "state", engines, path, path.with_suffix(".json")):
            os.chown(each, SERVICE, SERVICE)
        listed = asd_edge("engines", "list", "--config", config).stdout
        assert ("segment.fp16.onnx" in listed, "not usable" in listed) == (True, False)
        refused = asd_edge("engines", "choose", "--config", config, "--seconds", "0.5")
        assert refused.returncode == 1
        assert f"engines of user {SERVICE}" in refused.stderr
        command = shlex.split(refused.stderr.split("Run it as that user: ")[1])
        assert not (folder / "state" / "engine-choice.json").exists()
        python = [*itertools.takewhile(lambda word: word.startswith(("setpriv", "--")), command), sys.executable]
        if subprocess.run([*python, "-c", "import asd_edge"], capture_output=True, check=False).returncode != 0:
            pytest.skip("another user does not come to this Python")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert (folder / "state" / "engine-choice.json").stat().st_uid == SERVICE


def test_a_dynamic_user_is_reached_through_systemd() -> None:
    words = ["/opt/asd-edge/bin/asd-edge", "engines", "choose"]
    command = shlex.split(command_as(SERVICE, Path("/var/lib/private/asd-edge/engines"), words))
    assert command[0] == "systemd-run"
    assert {"DynamicUser=yes", "User=asd-edge", "StateDirectory=asd-edge"} <= set(command)
    assert command[-3:] == words


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("list",), "--config FILE or --cache DIR"),
        (("build", "--cache", "x", "--precision", "fp8"), "one of fp32, fp16, int8"),
        (("build", "--cache", "x", "--precision", "fp16", "--bundle", "none.asd"), "Cannot read the bundle none.asd"),
    ],
)
def test_what_is_asked_wrongly_is_told(arguments: tuple[str, ...], said: str) -> None:
    done = asd_edge("engines", *arguments)
    assert done.returncode == 1
    assert said in done.stderr
