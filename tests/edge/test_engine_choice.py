"""Which engine and precision serve: decided of what was measured, kept, and never at the cost of what is enrolled."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.site import check_comparable
from asd_edge.bundle.site_store import SiteStore
from asd_edge.bundle.variants import PRECISIONS, Parity, Precision, Variant
from asd_edge.cli.choose import choose as asd_edge_engines_choose
from asd_edge.cli.choose import lines
from asd_edge.cli.conditions import list_ as conditions_list
from asd_edge.config import DeviceConfig
from asd_edge.engines.embedder import FrameFeatures, Pasts
from asd_edge.engines.switching import Numbers, SwitchingStreamEmbedder
from asd_edge.enrollment.commit import roll_back
from asd_edge.errors import BundleError, StateError
from asd_edge.serving.choice import Candidate, Choice, Hardware, keep_choice, kept_choice
from asd_edge.serving.choose import choose, compare_engines
from asd_edge.serving.decide import NAMED, Enrolled, decide, fastest_of
from asd_edge.serving.measure import judged
from asd_edge.serving.served import enrolled_with, known_precision, served_after, served_bundle
from tests.edge.device import write_device
from tests.edge.precisions import enroll, make_bundle

QUICK_S = 0.1


def candidate(name: str, milliseconds: float | None, out: str | None = None, deviation: float = 0.1) -> Candidate:
    engine, _, precision = name.partition("/")
    times = {} if milliseconds is None else {"seconds": milliseconds / 1e3, "deviation": deviation / 1e3}
    return Candidate(engine=engine, precision=precision, out=out, **times)  # type: ignore[arg-type]


CPU = [candidate("onnxruntime/fp32", 10.0), candidate("onnxruntime/fp16", 14.0), candidate("onnxruntime/int8", 5.0)]
GPU = [candidate("tensorrt/fp32", 4.0), candidate("tensorrt/fp16", 2.0), candidate("tensorrt/int8", 2.1)]
SLOW_INT8 = candidate("onnxruntime/int8", 9.9)
BAD_INT8 = candidate("onnxruntime/int8", None, "it fails parity")
NOTHING = [candidate(f"onnxruntime/{precision}", None, "no") for precision in PRECISIONS]


@pytest.mark.parametrize(
    ("candidates", "fixed", "enrolled", "expected"),
    [
        (CPU, None, {}, "onnxruntime/int8"),
        ([*CPU, *GPU], None, {}, "tensorrt/fp16"),
        ([*CPU[:2], SLOW_INT8], None, {}, "onnxruntime/fp32"),
        ([*CPU[:2], BAD_INT8], None, {}, "onnxruntime/fp32"),
        (CPU, None, {"fp32": ["fan-7"]}, "onnxruntime/fp32"),
        ([*CPU, *GPU], None, {"fp32": ["fan-7"]}, "tensorrt/fp32"),
        ([*CPU, *GPU], None, {"int8": ["fan-7"]}, "tensorrt/int8"),
        (CPU, None, {"fp32": ["a"], "int8": ["b", "c"]}, "onnxruntime/int8"),
        (CPU, None, {"fp32": ["a"], "int8": ["b"]}, "onnxruntime/fp32"),
        (CPU, "fp32", {}, "onnxruntime/fp32"),
        (CPU, "fp16", {"int8": ["fan-7"]}, "onnxruntime/fp16"),
        ([*CPU[:2], BAD_INT8], None, {"int8": ["fan-7"]}, "onnxruntime/int8"),
        (NOTHING, None, {}, "onnxruntime/fp32"),
        ([], None, {"fp16": ["fan-7"]}, "onnxruntime/fp16"),
    ],
)
def test_what_serves(candidates: list[Candidate], fixed: Precision | None, enrolled: Enrolled, expected: str) -> None:
    for order in (candidates, candidates[::-1]):
        decision = decide(order, fixed=fixed, enrolled=enrolled)
        assert f"{decision.engine}/{decision.precision}" == expected


def test_what_is_held_says_by_what_and_what_there_would_be_instead() -> None:
    held = decide(CPU, fixed=None, enrolled={"fp32": ["fan-7", "pump-2"]})
    assert held.precision_why == "conditions were enrolled with it (fan-7, pump-2)"
    assert held.engine_why == "onnxruntime/fp32 takes 10.00 ± 0.10 ms for a second of sound"
    expected = "but these machines would have to be enrolled again: fan-7, pump-2"
    assert held.instead == f"onnxruntime/int8 would be 2.0 times as fast, {expected}"
    named = decide(CPU, fixed="fp32", enrolled={})
    assert named.instead == "onnxruntime/int8 would be 2.0 times as fast"
    assert decide(CPU, fixed=None, enrolled={}).instead is None
    assert decide(CPU, fixed=None, enrolled={"int8": ["fan-7"]}).instead is None


def test_a_difference_within_the_spread_is_none() -> None:
    exact, near = candidate("onnxruntime/fp32", 10.0, deviation=1.0), candidate("onnxruntime/int8", 8.5, deviation=0.6)
    assert fastest_of([near, exact]) == exact
    clear = candidate("onnxruntime/int8", 8.3, deviation=0.6)
    assert fastest_of([clear, exact]) == clear


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "three.asd")


def test_what_is_not_true_here_is_out_and_is_not_measured(bundle: Bundle, tmp_path: Path) -> None:
    golden = bundle.golden
    other = golden.exported | {("stream", "int8"): -golden.exported["stream", "int8"]}
    bad = make_bundle(tmp_path / "bad.asd", golden=replace(golden, exported=other))
    noted = tuple(_noted(v) if v.precision == "fp16" else v for v in bad.manifest.variants)
    bad = replace(bad, manifest=bad.manifest.model_copy(update={"variants": noted}))
    graphs = dict(bad.graphs) | {"stream.fp32.onnx": b"not a graph"}
    bad = replace(bad, graphs=graphs)

    ways: Any = {("onnxruntime", p): bad.at(p).pipeline for p in PRECISIONS}
    ways["tensorrt", "fp16"] = bad.at("fp16").pipeline
    fp32, fp16, int8, elsewhere = judged(bad, ways, channels=1, seconds=QUICK_S)
    assert (fp32.seconds, fp16.seconds, int8.seconds) == (None, None, None)
    assert str(fp32.out).startswith("onnxruntime cannot load the graph: ")
    assert fp16.out == "the bundle says: no faster on any CPU"
    assert elsewhere.out is None  # what a CPU gains says nothing of another engine
    assert str(int8.out).startswith("it fails parity: stream/int8: FAILED, deviation 2.0e+00")
    assert int8.parity == pytest.approx(2.0)


def _noted(variant: Variant) -> Variant:
    return variant.model_copy(update={"parity": Parity(deviation=0.0, note="no faster on any CPU")})


def device(tmp_path: Path, precision: str = "auto") -> DeviceConfig:
    path = tmp_path / "three.asd"
    if not path.exists():
        make_bundle(path)
    return DeviceConfig.model_validate(
        {
            "device": {"id": "box", "state_dir": str(tmp_path / "state")},
            "bundle": {"path": str(path), "precision": precision, "allow_unsigned": True},
            "machines": [{"id": name, "source": "sim:fan"} for name in ("fan-7", "pump-2")],
        }
    )


@pytest.fixture(scope="module")
def measured(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Choice:
    """What was measured once; a test keeps it where it wants it."""
    return choose(device(tmp_path_factory.mktemp("device")), bundle, enrolled={}, seconds=QUICK_S)


def test_every_way_is_held_to_the_golden_segments_and_measured(measured: Choice) -> None:
    found = measured.candidates
    assert [c.name for c in found] == ["onnxruntime/fp32", "onnxruntime/fp16", "onnxruntime/int8"]
    for one in found:
        assert one.out is None
        assert one.parity == pytest.approx(0.0, abs=1e-6)
        assert one.seconds is not None
        assert one.seconds > 0.0


def test_the_choice_is_kept_for_this_bundle_on_this_hardware(bundle: Bundle, measured: Choice, tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert kept_choice(state, bundle) is None
    keep_choice(state, measured)
    assert kept_choice(state, bundle) == measured
    assert (measured.threads, measured.channels, len(measured.candidates)) == (1, 2, 3)
    assert kept_choice(state, replace(bundle, bundle_id="0" * 64)) is None
    elsewhere = Hardware(processor="another", cores=1, onnxruntime="1.0")
    keep_choice(state, measured.model_copy(update={"hardware": elsewhere}))
    assert kept_choice(state, bundle) is None


def test_a_damaged_choice_is_none_and_is_measured_again(
    bundle: Bundle, measured: Choice, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keep_choice(tmp_path, measured)
    path = tmp_path / "engine-choice.json"
    for damage in (path.read_bytes()[:-20], b"[]", path.read_bytes().replace(b'"fp32"', b'"fp64"')):
        path.write_bytes(damage)
        caplog.clear()
        assert kept_choice(tmp_path, bundle) is None
        assert "engine-choice.json" in caplog.text


def test_a_folder_that_cannot_be_written_is_said_and_serves_all_the_same(
    bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = device(tmp_path)
    (tmp_path / "state").touch()
    choice = choose(config, bundle, enrolled={}, seconds=QUICK_S)
    assert "cannot be kept" in caplog.text
    with pytest.raises(StateError, match="cannot be kept"):
        keep_choice(config.device.state_dir, choice)


def test_auto_measures_once_and_then_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_edge.serving.served.choose", partial(choose, seconds=QUICK_S))
    caplog.set_level(logging.INFO)
    config = device(tmp_path)
    told: list[str] = []
    first = served_bundle(config, tell=told.append)
    assert told == [f"{first.precision} is served: " + told[0].partition(": ")[2]]
    kept = kept_choice(config.device.state_dir, first)
    assert kept is not None
    assert first.precision == kept.precision
    assert caplog.text.count("this is done once") == 1
    assert served_bundle(config, tell=told.append).precision == first.precision
    assert len(told) == 1
    assert caplog.text.count("this is done once") == 1


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_is_enrolled_holds_its_precision(
    bundle: Bundle, measured: Choice, tmp_path: Path, precision: Precision
) -> None:
    config = device(tmp_path)
    enroll(config.device.state_dir, "pump-2", bundle.at(precision))
    assert enrolled_with(config, bundle) == {precision: ["pump-2"]}
    assert served_bundle(config).precision == precision
    assert kept_choice(config.device.state_dir, bundle) is None  # nothing was measured
    # A choice from before, or from another time, does not orphan it either; only a person does.
    other = next(p for p in PRECISIONS if p != precision)
    before = measured.model_copy(update={"precision": other})
    keep_choice(config.device.state_dir, before)
    assert served_bundle(config).precision == precision
    keep_choice(config.device.state_dir, before.model_copy(update={"forced": True}))
    assert served_bundle(config).precision == other


def test_what_is_enrolled_of_another_bundle_holds_nothing(bundle: Bundle, tmp_path: Path) -> None:
    config = device(tmp_path)
    enroll(config.device.state_dir, "fan-7", make_bundle(tmp_path / "other.asd", segment=_longer(bundle)))
    (config.device.state_dir / "pump-2").mkdir()
    (config.device.state_dir / "pump-2" / "site.json").write_text("damaged")
    assert enrolled_with(config, bundle) == {}


def _longer(bundle: Bundle) -> Any:
    return bundle.manifest.segment.model_copy(update={"frames": 2 * bundle.manifest.segment.frames})


def test_conditions_of_another_precision_say_so(bundle: Bundle, tmp_path: Path) -> None:
    enroll(tmp_path, "fan-7", bundle.at("fp16"))
    with pytest.raises(StateError, match="another graph of the bundle") as caught:
        check_comparable(bundle.at("int8"), SiteStore(tmp_path, "fan-7").load())
    assert caught.value.found == "conditions of stream/fp16"
    assert 'bundle.precision = "fp16"' in caught.value.remedy


def test_the_device_file_has_the_last_word(bundle: Bundle, measured: Choice, tmp_path: Path) -> None:
    config = device(tmp_path, "int8")
    enroll(config.device.state_dir, "fan-7", bundle)
    keep_choice(config.device.state_dir, measured.model_copy(update={"precision": "fp16", "forced": True}))
    assert served_bundle(config).precision == "int8"
    other = config.bundle.model_copy(update={"path": "default", "precision": "fp16"})
    missing = config.model_copy(update={"bundle": other})
    with pytest.raises(BundleError, match="no such graph"):
        served_bundle(missing)


def test_an_engine_that_is_faster_takes_the_place_of_the_other(
    bundle: Bundle, measured: Choice, tmp_path: Path
) -> None:
    config, whole = device(tmp_path), measured
    keep_choice(config.device.state_dir, whole)
    view = bundle.at(whole.precision)
    plain = view.pipeline()
    slow = replace(plain, embedder=Slow(plain.embedder, print))
    for pipelines, expected in (
        ({"onnxruntime": slow, "tensorrt": plain}, "tensorrt"),
        ({"onnxruntime": plain, "tensorrt": slow}, "onnxruntime"),
    ):
        choice = compare_engines(config, view, pipelines, enrolled={}, engine_key="k", seconds=QUICK_S)  # type: ignore[arg-type]
        assert choice == kept_choice(config.device.state_dir, view)
        assert (choice.engine, choice.precision) == (expected, whole.precision)
        assert (choice.precision_why, choice.instead) == (whole.precision_why, whole.instead)
        other = choice.candidate("tensorrt", view.precision)
        assert other is not None
        assert other.engine_key == "k"
        assert {c.name for c in whole.candidates} < {c.name for c in choice.candidates}


class Slow(SwitchingStreamEmbedder):
    """A real engine that takes its time."""

    def advance(self, features: Numbers, pasts: Pasts) -> tuple[FrameFeatures, Pasts]:
        sleep(0.01)
        return super().advance(features, pasts)


def test_a_person_sees_what_was_measured_and_may_force_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = make_bundle(tmp_path / "three.asd")
    path = write_device(tmp_path, tmp_path / "three.asd", 1, {"id": "fan-7", "source": "sim:fan"})
    path.write_text(path.read_text().replace("[bundle]", '[engine]\ntensorrt = "off"\n[bundle]\nprecision = "auto"'))
    enroll(tmp_path / "state", "fan-7", bundle.at("int8"))

    asd_edge_engines_choose(path, seconds=QUICK_S)
    shown = capsys.readouterr()
    assert "serves: onnxruntime/int8\nprecision: conditions were enrolled with it (fan-7)\n" in shown.out
    assert shown.out.count("onnxruntime  ") == 3
    assert shown.err == "It holds from the next start of asd-edge run\n"
    assert "instead:" not in shown.out or "; take it with --force\n" in shown.out

    asd_edge_engines_choose(path, force=True, seconds=QUICK_S, as_json=True)
    forced = capsys.readouterr()
    choice = kept_choice(tmp_path / "state", bundle)
    assert choice is not None
    assert json.loads(forced.out) == choice.model_dump(mode="json")
    fastest = fastest_of(choice.candidates)
    assert fastest is not None
    assert choice.precision == fastest.precision
    assert choice.forced == (choice.precision != "int8")
    assert ("enroll again: fan-7" in forced.err) == choice.forced

    keep_choice(tmp_path / "state", choice.model_copy(update={"precision": "fp16", "forced": True}))
    asd_edge_engines_choose(path, seconds=QUICK_S)
    assert "The choice of fp16, which was forced, is replaced" in capsys.readouterr().err


def test_what_would_be_faster_says_how_to_take_it(bundle: Bundle, measured: Choice) -> None:
    faster = "onnxruntime/int8 would be 2.0 times as fast"
    held = measured.model_copy(update={"instead": faster, "precision_why": "conditions were enrolled with it"})
    assert lines(held, bundle)[-1] == f"instead: {faster}; take it with --force"
    named = held.model_copy(update={"precision_why": NAMED})
    assert lines(named, bundle)[-1] == f"instead: {faster}; name it as bundle.precision in the device file"


def test_a_rollback_takes_its_precision_along_unless_something_holds_another(
    bundle: Bundle, measured: Choice, tmp_path: Path
) -> None:
    config = device(tmp_path)
    state_dir = config.device.state_dir
    keep_choice(state_dir, measured.model_copy(update={"precision": "int8"}))
    now = bundle.at("int8")
    for precision in ("fp16", "int8"):
        enroll(state_dir, "fan-7", bundle.at(precision))
    store = SiteStore(state_dir, "fan-7")
    back = store.load_revision(1)
    assert served_after(config, now, "fan-7", back).precision == "fp16"
    assert served_after(device(tmp_path, "int8"), now, "fan-7", back).precision == "int8"
    with store.exclusive("a"):
        roll_back(store, now, 1, author="a", served_with=lambda after: served_after(config, now, "fan-7", after))
    assert known_precision(config, bundle) == "fp16"  # what is served from the next start on is what was said
    enroll(state_dir, "pump-2", now)
    assert served_after(config, now, "fan-7", back).precision == "int8"


def test_a_list_marks_what_is_out_of_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = make_bundle(tmp_path / "three.asd")
    path = write_device(tmp_path, tmp_path / "three.asd", 1, *({"id": i, "source": "sim:fan"} for i in ("a", "b")))
    enroll(tmp_path / "state", "a", bundle.at("fp32"))
    enroll(tmp_path / "state", "b", bundle.at("fp16"))
    conditions_list(path)
    told = capsys.readouterr().out.splitlines()
    mark = " (of another bundle or precision: not in use)"
    assert [line.endswith(mark) for line in told if "threshold" in line and line[1] == ":"] == [False, True]
