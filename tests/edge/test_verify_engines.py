"""The parity gate where a device serves: `asd-edge verify` on engines that are built, and every start of the daemon."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.variants import PRECISIONS
from asd_edge.cli.app import app
from asd_edge.config import load_config
from asd_edge.daemon.check import check
from asd_edge.daemon.supervisor import Daemon
from asd_edge.errors import EngineError
from asd_edge.serving.verify import check_served
from tests.edge.accelerators import SecondEngine, Wrong
from tests.edge.device import write_device
from tests.edge.precisions import make_bundle
from tests.edge.test_daemon_engines import broken


class PartlyBuilt(SecondEngine):
    """Engines of fp32 and fp16 alone."""

    def load(self, bundle: Bundle) -> Any:
        return None if bundle.precision == "int8" else super().load(bundle)


@pytest.fixture
def verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    make_bundle(tmp_path / "three.asd")
    device = write_device(tmp_path, tmp_path / "three.asd", 1, {"id": "fan-7", "source": "sim:fan"})

    def run(find: Any, *arguments: str) -> Result:
        monkeypatch.setattr("asd_edge.serving.tensorrt.find_tensorrt_engines", find)
        return CliRunner().invoke(app, ["verify", "--config", str(device), *arguments])

    return run


def second(folder: Path, engine: Any = lambda plain: plain) -> Callable[[Path], SecondEngine]:
    made = PartlyBuilt(folder / "cache", engine=engine)
    made.built.touch()
    return lambda cache: made


def test_engines_that_are_built_have_verdicts_and_the_others_are_named(verified: Any, tmp_path: Path) -> None:
    told = verified(second(tmp_path))
    assert told.exit_code == 0, told.output
    assert told.output.splitlines()[-3:] == [
        "  stream/fp32 on tensorrt: ok, deviation 0.0e+00 of 1e-05",
        "  stream/fp16 on tensorrt: ok, deviation 0.0e+00 of 1e-03",
        "  stream/int8 on tensorrt: no engine built",
    ]
    rows = json.loads(verified(second(tmp_path), "--json").stdout)
    assert [(row["engine"], row["precision"]) for row in rows] == [
        *(("onnxruntime", precision) for precision in PRECISIONS),
        *(("tensorrt", precision) for precision in ("fp32", "fp16")),
    ]


@pytest.mark.parametrize(
    ("engine", "said"), [(Wrong, "FAILED, deviation"), (broken, "The engine cannot be loaded: version 10.2. Build it")]
)
def test_an_engine_that_is_not_true_or_not_loaded_fails(verified: Any, tmp_path: Path, engine: Any, said: str) -> None:
    told = verified(second(tmp_path, engine))
    assert told.exit_code == 1
    assert f"stream/fp16 on tensorrt: {said}" in told.output
    rows = json.loads(verified(second(tmp_path, engine), "--json").stdout)
    assert [row["passed"] for row in rows] == [True] * 3 + [False] * 2


def test_where_tensorrt_cannot_be_used_it_says_why(verified: Any, tmp_path: Path) -> None:
    def find(folder: Path) -> Any:
        raise EngineError("There is no TensorRT", found="not installed", expected="a module", remedy="Install it.")

    told = verified(find)
    assert told.exit_code == 0
    assert told.output.splitlines()[-1] == "  tensorrt cannot be used. There is no TensorRT: not installed"
    device = tmp_path / "device.toml"
    device.write_text(device.read_text().replace("[bundle]", '[engine]\ntensorrt = "off"\n[bundle]'))
    assert verified(find).output.splitlines()[-1] == "  tensorrt is not used: engine.tensorrt is off"


def untrue(path: Path) -> Bundle:
    """A bundle whose golden embeddings are not what its graphs make here."""
    golden = make_bundle(path).golden
    trained = {kind: embeddings[:, ::-1].copy() for kind, embeddings in golden.trained.items()}
    exported = {key: embeddings[:, ::-1].copy() for key, embeddings in golden.exported.items()}
    return make_bundle(path, golden=replace(golden, trained=trained, exported=exported))


def test_a_start_tells_of_an_fp32_that_is_not_true_and_refuses_another_precision(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = untrue(tmp_path / "three.asd")
    said = check_served(bundle, bundle.pipeline())
    assert str(said).startswith("onnxruntime fails parity: stream/fp32: FAILED")
    with pytest.raises(EngineError, match=r'int8 here(.|\n)*Set bundle.precision = "fp32" and enroll again'):
        check_served(bundle.at("int8"), bundle.at("int8").pipeline())
    true = make_bundle(tmp_path / "true.asd")
    assert all(check_served(true.at(p), true.at(p).pipeline()) is None for p in PRECISIONS)

    path = write_device(tmp_path, tmp_path / "three.asd", 1, {"id": "fan-7", "source": "file:none.wav"})
    caplog.set_level(logging.ERROR)
    assert str(Daemon(load_config(path), path)._describe().engine.reason).startswith(str(said))
    assert "onnxruntime fails parity, and serves all the same" in caplog.text
    assert next(check(load_config(path))).result.endswith(str(said))
    path.write_text(path.read_text().replace("[bundle]", '[bundle]\nprecision = "int8"'))
    for start in (lambda: Daemon(load_config(path), path), lambda: _raised(next(check(load_config(path))).error)):
        with pytest.raises(EngineError, match="does not compute int8 here as it was exported"):
            start()


def _raised(error: Exception | None) -> None:
    if error is not None:
        raise error


def test_the_bundle_may_be_named_without_an_option(tmp_path: Path) -> None:
    make_bundle(tmp_path / "three.asd")
    file = str(tmp_path / "three.asd")
    told, same = (CliRunner().invoke(app, ["verify", *way]) for way in ([file], ["--bundle", file]))
    assert (told.exit_code, told.output) == (0, same.output)
    both = CliRunner().invoke(app, ["verify", file, "--bundle", file])
    assert "FILE and --bundle" in str(both.exception)
