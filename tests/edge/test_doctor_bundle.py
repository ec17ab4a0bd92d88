"""What the doctor says of a bundle: who signed it, are conditions of it, does it compute what it should."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from asd_edge.bundle.archive import load_bundle
from asd_edge.bundle.site import FactoryThreshold, SiteState
from asd_edge.bundle.site_store import SiteStore
from asd_edge.control import ControlReply, ControlRequest, ServedMachine, Serving
from asd_edge.daemon.control import ControlServer
from asd_edge.doctor import bundle as checks
from asd_edge.doctor.choice import check_choice
from asd_edge.doctor.daemon import check_daemon
from asd_edge.doctor.device import Device
from asd_edge.doctor.finding import Level
from asd_edge.errors import BundleError
from asd_edge.serving.choice import Candidate, Choice, keep_choice, this_hardware
from asd_edge.serving.failures import FailureBook
from tests.edge.a_status import a_status
from tests.edge.device import write_device
from tests.edge.fan_bundle import make_fan_bundle
from tests.edge.precisions import make_bundle
from tests.edge.remote_operator import Operator
from tests.edge.signer import members_of, sign, trust, write_members


@pytest.fixture
def path(tmp_path: Path) -> Path:
    make_fan_bundle(tmp_path / "fan.asd", clips=3)
    return tmp_path / "fan.asd"


def box(
    bundle: Path, *, unsigned: bool = True, keys: Path | None = None, precision: str = "fp32", **machine: Any
) -> Device:
    folder = bundle.parent
    file = write_device(folder, bundle, 1883, {"id": "fan", "source": "sim:fan"} | machine)
    policy = f'allow_unsigned = {str(unsigned).lower()}\nprecision = "{precision}"'
    text = file.read_text().replace("allow_unsigned = true", policy)
    file.write_text(text if keys is None else text.replace("[mqtt]", f'trusted_keys_file = "{keys}"\n[mqtt]'))
    return Device.of(file)


def test_a_bundle_is_named(path: Path) -> None:
    (found,) = checks.check_bundle(box(path))
    assert found.level == Level.OK
    assert all(f"{variant.kind}/fp32" in found.found for variant in load_bundle(path).manifest.variants)


def test_without_a_signature_it_is_a_fault_a_warning_or_unknown(path: Path) -> None:
    (refused,) = checks.check_signature(box(path, unsigned=False))
    assert (refused.level, "no signature" in refused.found) == (Level.FAULT, True)
    (allowed,) = checks.check_signature(box(path, unsigned=True))
    assert (allowed.level, "allow_unsigned" in allowed.found) == (Level.WARNING, True)
    (unknown,) = checks.check_signature(Device(bundle_path=str(path)))
    assert (unknown.level, "needs --config" in str(unknown.unseen)) == (Level.OK, True)


def test_signed_by_whom_the_device_trusts(path: Path, tmp_path: Path) -> None:
    alice, bob = Operator("alice"), Operator("bob")
    sign(path, alice)
    (found,) = checks.check_signature(box(path, unsigned=False, keys=trust(tmp_path / "keys", bob, alice)))
    assert (found.level, found.found) == (Level.OK, "signed by alice")
    (found,) = checks.check_signature(box(path, unsigned=False, keys=trust(tmp_path / "keys", bob)))
    assert (found.level, alice.fingerprint in found.found) == (Level.FAULT, True)


def test_a_strangers_bundle_is_not_looked_into(path: Path, tmp_path: Path) -> None:
    """Its graph is no graph, which nobody finds out who does not parse it."""
    members = members_of(path)
    name = next(name for name in members if name.endswith(".onnx"))
    manifest = json.loads(members["manifest.json"])
    manifest["members"][name] = {"sha256": hashlib.sha256(b"attack").hexdigest(), "size": 6}
    write_members(path, members | {name: b"attack", "manifest.json": json.dumps(manifest).encode()})
    device = box(sign(path, Operator("mallory")), unsigned=False, keys=trust(tmp_path / "keys", Operator("alice")))
    for look in (checks.check_bundle, checks.check_parity):
        (found,) = look(device)
        assert (found.level, "does not trust" in str(found.unseen)) == (Level.OK, True)
    (signature,) = checks.check_signature(device)
    assert (signature.level, "not to be run here" in signature.found) == (Level.FAULT, True)
    assert [*checks.check_conditions(device), *check_choice(device)] == []
    trusting = box(path)  # whoever allows everything is told what is wrong with it
    with pytest.raises(BundleError, match=name):
        list(checks.check_bundle(trusting))
    assert [*checks.check_signature(trusting), *checks.check_parity(trusting)] == []


def test_conditions_are_named_missing_or_of_another_bundle(path: Path, tmp_path: Path) -> None:
    (none,) = checks.check_conditions(box(path))
    assert (none.level, "asd-edge enroll" in str(none.remedy)) == (Level.WARNING, True)
    (factory,) = checks.check_conditions(box(path, factory="fan/00", alarms_per_week=10_000.0))
    assert (factory.level, factory.found) == (Level.OK, "factory/source")
    (loud,) = checks.check_conditions(box(path, factory="fan/00", alarms_per_week=0.001))
    assert (loud.level, "0.001 accepted" in loud.found) == (Level.WARNING, True)
    assert "threshold set" in str(loud.remedy)
    (unknown,) = checks.check_conditions(box(path, factory="pump/99"))
    assert (unknown.level, "pump/99" in unknown.found) == (Level.FAULT, True)
    folder = tmp_path / "state" / "fan"
    folder.mkdir(parents=True)
    SiteStore(tmp_path / "state", "fan").path.write_text("{}")
    (damaged,) = checks.check_conditions(box(path))
    assert damaged.level == Level.FAULT
    source = load_bundle(path).machines[0].conditions[0]
    set_on_site = FactoryThreshold(
        factory="fan/00", name="factory/source", threshold=0.5, calibration=source.calibration
    )
    other = SiteState(revision=1, embedding_id="0" * 64, factory_thresholds=(set_on_site,))
    SiteStore(tmp_path / "state", "fan").path.write_text(other.model_dump_json())
    (foreign,) = checks.check_conditions(box(path))
    assert (foreign.level, "another bundle" in foreign.found) == (Level.FAULT, True), foreign


def test_a_graph_that_computes_something_else_is_a_fault(path: Path) -> None:
    device = box(path)
    assert {finding.level for finding in checks.check_parity(device)} == {Level.OK}
    bundle = device.bundle
    golden = np.array(bundle.arrays["golden"])
    golden[-golden.size // 2 :] = golden[-golden.size // 2 :][::-1]  # embeddings in another order
    device.__dict__["bundle"] = replace(bundle, arrays={**bundle.arrays, "golden": golden})
    served = [finding for finding in checks.check_parity(device) if finding.subject == f"{bundle.kind}/fp32"]
    assert [finding.level for finding in served] == [Level.FAULT]


def test_what_serves_and_why_it_was_chosen(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "fan.asd")
    device = box(tmp_path / "fan.asd", precision="auto")
    (none,) = check_choice(device)
    assert (none.level, none.found) == (Level.OK, "not chosen yet: the daemon measures at its start")
    (named,) = checks.check_bundle(device)
    assert named.found.endswith("; not chosen yet: the daemon measures at its start")
    assert not any(line.found.endswith("serves") for line in checks.check_parity(device))
    (fixed,) = check_choice(box(tmp_path / "fan.asd", precision="int8"))
    assert fixed.found == "none kept: int8, which the device file names"
    assert [
        line.found.endswith("stream/int8 serves")
        for line in checks.check_bundle(box(tmp_path / "fan.asd", precision="int8"))
    ] == [True]
    assert not (tmp_path / "state").exists()  # a look measures nothing and keeps nothing
    fastest = Candidate(engine="onnxruntime", precision="int8", seconds=0.002, deviation=0.0001, parity=0.0)
    broken = Candidate(engine="tensorrt", precision="int8", out="it is not built: no engine of it in the cache")
    kept = Choice(
        bundle_id=bundle.bundle_id,
        kind=bundle.kind,
        hardware=this_hardware(),
        measured_utc="2026-11-25T12:00:00Z",
        threads=1,
        channels=1,
        engine="onnxruntime",
        precision="int8",
        precision_why="the fastest that passes parity",
        engine_why="nothing else was measured",
        candidates=(fastest, broken),
    )
    keep_choice(tmp_path / "state", kept)
    chosen, first, second = check_choice(device)
    assert chosen.found == "onnxruntime/int8, measured 2026-11-25T12:00:00Z: the fastest that passes parity"
    assert (first.level, first.subject) == (Level.OK, "onnxruntime/int8")
    assert first.found == "takes 2.00 ± 0.10 ms for a second of sound"
    assert (second.level, "not built" in second.found) == (Level.WARNING, True)
    FailureBook(tmp_path / "state" / "engines").note("key", "tensorrt/int8", "no kernel for it")
    failed = list(check_choice(device))[3]
    assert (failed.level, failed.subject) == (Level.WARNING, "tensorrt/int8")
    assert failed.found.startswith("it failed once, last 20")
    assert failed.found.endswith(": no kernel for it")
    serving = [finding.subject for finding in checks.check_parity(device) if finding.found.endswith("serves")]
    assert serving == ["stream/int8"]


@pytest.mark.parametrize("where", ["default", "absent.asd", "fan.asd"])
def test_trusted_keys_are_looked_at_whatever_bundle_there_is(path: Path, where: str) -> None:
    keys = path.with_name("keys")
    keys.write_text(f"{Operator('plant').line.rpartition(' ')[0]}\n")
    keys.chmod(0o644)
    device = box(path.with_name(where), keys=keys)
    if where == "default":
        assert device.config_file is not None
        text = device.config_file.read_text()
        device.config_file.write_text(text.replace(str(path.with_name(where)), "default"))
        device = Device.of(device.config_file)
        assert device.bundle_name == "default"
    (found,) = checks.check_signature(device)
    assert (found.level, "line 1: a key without a name" in found.found) == (Level.FAULT, True)


def test_a_precision_that_the_bundle_lacks_is_one_fault(path: Path) -> None:
    device = box(path, precision="int8")
    with pytest.raises(BundleError, match="has no such graph"):  # which the doctor makes a line of
        list(checks.check_bundle(device))
    assert [list(check_choice(device)), list(checks.check_conditions(device))] == [[], []]


def test_the_daemon_is_told_apart_from_the_file(path: Path, tmp_path: Path) -> None:
    """Until its restart a daemon hears with what it started with, whatever was installed since."""
    device = box(path)
    (none,) = check_daemon(device)
    assert (none.level, none.found) == (Level.OK, "none runs")
    started_with = Serving(
        name="the-old",
        bundle_id=device.bundle.bundle_id,
        embedding_id=device.bundle.embedding_id,
        precision="fp32",
        engine="onnxruntime",
        machines=(ServedMachine(machine="fan", health="normal", error=None),),
    )
    old = "1f" * 32
    deaf = ServedMachine(machine="fan", health="failure", error="The enrolled conditions belong to another bundle")
    replies = [started_with, started_with.model_copy(update={"bundle_id": old, "machines": (deaf,)})]
    assert device.config_file is not None
    file = a_status().file.model_copy(update={"sha256": hashlib.sha256(device.config_file.read_bytes()).hexdigest()})
    stuck = a_status().process.model_copy(update={"stuck": ("scorer has not moved for 60 s",)})
    reports = [a_status().model_copy(update={"file": file}), a_status().model_copy(update={"process": stuck})]

    def answer(request: ControlRequest) -> tuple[ControlReply, NDArray[np.float32]]:
        said = {"serving": replies.pop(0)} if request.request == "serving" else {"status": reports.pop(0)}
        return ControlReply.model_validate(said), np.zeros(0, np.float32)

    server = ControlServer(tmp_path / "state", answer)
    server.start()
    (same,) = check_daemon(device)
    other, thread, unread, machine = check_daemon(device)
    server.stop()
    assert (thread.level, thread.remedy) == (Level.WARNING, "systemctl restart asd-edge")
    assert "scorer has not moved" in thread.found
    assert (unread.level, unread.remedy) == (Level.WARNING, f"asd-edge reload --config {device.config_file}")
    assert same.level == Level.OK
    assert (other.level, other.remedy) == (Level.WARNING, "systemctl restart asd-edge")
    assert "the-old (1f1f1f1f1f1f), fp32 on onnxruntime, until it is restarted" in other.found
    assert (machine.level, machine.subject) == (Level.WARNING, "fan")
    assert "belong to another bundle" in machine.found
