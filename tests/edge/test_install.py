"""Installing a bundle: everything is checked before anything is touched, and only newer releases come."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asd_edge.bundle.archive import load_bundle
from asd_edge.bundle.fields import SegmentFields
from asd_edge.control import ControlReply
from asd_edge.daemon.control import ControlServer
from asd_edge.errors import AsdEdgeError, BundleError, ConfigError, StateError
from asd_edge.lock import locked
from asd_edge.serving.install import take_back
from asd_edge.serving.installed import Installed
from asd_edge.serving.status import status
from tests.edge.device import asd_edge
from tests.edge.installing import FACTORY, PLANT, Box
from tests.edge.remote_operator import Operator
from tests.edge.signer import members_of, sign, trust, write_members
from tests.edge.tiny_bundle import make_tiny_bundle, tiny_description, tiny_golden


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_what_was_checked_is_in_place_and_what_was_there_beside_it(box: Box) -> None:
    first, second = box.bundle("a.asd", 1), box.bundle("b.asd", 2, FACTORY, PLANT)
    done = box.install(first)
    assert (done.changed, done.replaced, done.present.release) == (True, None, 1)
    done = box.install(second)
    assert done.replaced is not None
    assert (done.replaced.release, done.present.signed_by) == (1, ("factory", "plant"))
    assert box.path.read_bytes() == second.read_bytes()
    assert box.previous.read_bytes() == first.read_bytes()
    found = status(box.config)
    assert (found.present, found.before, found.highest) == (done.present, done.replaced, 2)
    assert done.present.author == "alice"
    names = {path.name for path in (*box.path.parent.iterdir(), *box.state.iterdir())}
    assert names == {"bundle.asd", "bundle.previous.asd", "installed.json", "install.lock"}
    assert box.path.stat().st_mode & 0o777 == 0o644


def test_the_very_same_file_again_changes_nothing(box: Box) -> None:
    box.install(box.bundle("a.asd", 1))
    box.install(box.bundle("b.asd", 2))
    before = box.everything()
    assert not box.install(box.folder / "b.asd").changed
    assert box.everything() == before


def other_release(box: Box) -> Path:
    return box.bundle("c.asd", 6)


def other_content(box: Box) -> Path:
    return box.bundle("c.asd", 7, name="other")


def unsigned(box: Box) -> Path:
    make_tiny_bundle(box.folder / "c.asd", release=8)
    return box.folder / "c.asd"


def strange(box: Box) -> Path:
    return box.bundle("c.asd", 8, Operator("mallory"))


def altered(box: Box) -> Path:
    bundle = box.bundle("c.asd", 8)
    members = members_of(bundle)
    return write_members(bundle, members | {"mel.npy": members["mel.npy"][:-1] + b"\1"})


def cut(box: Box) -> Path:
    bundle = box.bundle("c.asd", 8)
    bundle.write_bytes(bundle.read_bytes()[:-1])
    return bundle


def ignorant(box: Box) -> Path:
    return box.bundle("c.asd", 8, machines=())


def another_embedding(box: Box) -> Path:
    return box.bundle("c.asd", 8, segment=SegmentFields(frames=64, step=16))


def deaf(box: Box) -> Path:
    """The network of another golden run: a graph that was swapped before the bundle was signed, or a broken engine."""
    graphs = {"segment.fp32.onnx": members_of(box.path)["segment.fp32.onnx"]}
    golden = tiny_golden(tiny_description(), graphs)
    turned = {kind: np.roll(embeddings, 1, axis=1) for kind, embeddings in golden.trained.items()}
    return box.bundle("c.asd", 8, golden=replace(golden, trained=turned))


def without_the_precision(box: Box) -> Path:
    box.device.write_text(box.device.read_text().replace("[bundle]", '[bundle]\nprecision = "int8"'))
    return box.bundle("c.asd", 8)


def nothing(box: Box) -> Path:
    return box.folder / "absent.asd"


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        (other_release, ("not newer", "release 6", "more than release 7", "--force")),
        (other_content, ("release 7 with another content", "--force")),
        (unsigned, ("not signed by a key", "no signature", "one of plant, factory")),
        (strange, ("not signed by a key", "one of plant, factory")),
        (altered, ("mel.npy",)),
        (cut, ("cut off",)),
        (ignorant, ("does not know the machine fan-1", "fan/00")),
        (another_embedding, ("fan-1: rpm1200", "--enroll-again")),
        (deaf, ("golden segments", "FAILED")),
        (without_the_precision, ("segment/int8", "segment/fp32", 'bundle.precision = "int8" in the device file')),
        (nothing, ("No such file", "Correct the name")),
    ],
)
def test_what_is_refused_leaves_everything_as_it_was(
    box: Box, candidate: Callable[[Box], Path], words: tuple[str, ...]
) -> None:
    box.install(box.bundle("a.asd", 7))
    box.enroll(load_bundle(box.path))
    before = box.everything()
    with pytest.raises(BundleError) as caught:
        box.install(candidate(box))
    for word in words:
        assert word in str(caught.value)
    assert box.everything() == before


def test_a_lower_release_comes_only_by_force_and_the_highest_is_remembered(box: Box) -> None:
    box.install(box.bundle("a.asd", 7))
    assert box.install(box.bundle("b.asd", 5), force=True).present.how == "forced"
    assert box.releases() == (5, 7)
    with pytest.raises(BundleError, match="more than release 7"):
        box.install(box.bundle("c.asd", 6))
    box.path.unlink()  # putting the file away does not help
    with pytest.raises(BundleError, match="more than release 7"):
        box.install(box.bundle("c.asd", 6))
    assert box.install(box.folder / "a.asd").changed  # the highest itself may come back


def test_the_same_content_may_come_with_other_signatures_and_leaves_the_one_before(box: Box) -> None:
    box.install(box.bundle("a.asd", 6))
    box.install(box.bundle("b.asd", 7))
    done = box.install(sign(box.folder / "b.asd", FACTORY))
    assert (done.present.signed_by, done.replaced) == (("factory",), None)
    assert "other signatures" in str(done.dropped)
    assert box.releases() == (7, 6)


def test_force_does_not_go_past_a_signature(box: Box) -> None:
    with pytest.raises(BundleError, match="not signed"):
        box.install(unsigned(box), force=True)


def test_conditions_that_do_not_fit_are_idle_and_fit_again_with_the_bundle_before(box: Box) -> None:
    box.install(box.bundle("a.asd", 1))
    box.enroll(load_bundle(box.path))
    box.install(box.bundle("b.asd", 2))  # another release of the same network
    done = box.install(another_embedding(box), enroll_again=True)
    assert done.idle == {"fan-1": ["rpm1200"]}
    assert take_back(box.config, author="bob").idle == {}


@pytest.mark.parametrize("state", ["copied by hand", "damaged", "not signed"])
def test_a_file_that_something_else_put_there_is_no_obstacle(box: Box, state: str) -> None:
    box.install(box.bundle("a.asd", 1))
    by_hand = box.bundle("b.asd", 5).read_bytes()
    if state == "not signed":
        make_tiny_bundle(box.path, release=5)
    else:
        box.path.write_bytes(by_hand if state == "copied by hand" else by_hand[:-1])
    newer = box.bundle("c.asd", 3)
    if state == "copied by hand":  # it counts
        assert isinstance(present := status(box.config).present, Installed)
        assert present.how == "found"
        with pytest.raises(BundleError, match="more than release 5"):
            box.install(newer)
        last = json.loads((box.state / "installed.json").read_text())["history"][-1]
        assert (last["release"], last["how"]) == (5, "found")
        newer = box.bundle("c.asd", 6)
    done = box.install(newer)
    assert box.releases() == ((6, 5) if state == "copied by hand" else (3, 0))  # only what serves can be gone back to
    assert (done.dropped is None) == (state == "copied by hand")


def test_the_bundle_inside_the_package_is_not_replaced(box: Box) -> None:
    box.device.write_text(box.device.read_text().replace(str(box.path), "default"))
    with pytest.raises(ConfigError, match=r"bundle\.asd"):
        box.install(box.bundle("a.asd", 1))


def test_one_installation_at_a_time(box: Box) -> None:
    candidate = box.bundle("a.asd", 1)
    box.state.mkdir()
    with locked(box.state / "install.lock", "carl", like=box.state), pytest.raises(StateError, match="carl"):
        box.install(candidate)
    assert box.install(candidate).changed


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"format": "asd-edge-installed", "version": 2}'])
def test_a_damaged_record_is_said_and_not_forgotten(box: Box, damage: bytes) -> None:
    box.install(box.bundle("a.asd", 1))
    (box.state / "installed.json").write_bytes(damage)
    before = box.everything()
    with pytest.raises(StateError, match="record of installed bundles"):
        box.install(box.bundle("b.asd", 2))
    assert box.everything() == before


def test_the_command_says_what_it_did(box: Box) -> None:
    def told(*arguments: str | Path) -> str:
        done = asd_edge("install", "--config", box.device, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    box.install(box.bundle("a.asd", 1))
    daemon = ControlServer(box.state, lambda request: (ControlReply(), np.zeros(0, np.float32)))  # that answers a ping
    daemon.start()
    installed = told(box.bundle("b.asd", 2), "--author", "anna")
    daemon.stop()
    assert "Installed tiny, release 2" in installed
    assert "systemctl restart asd-edge" in installed
    listed = told("--list")
    for words in ("installed: tiny, release 2", "signed by plant", "by anna", "previous: tiny, release 1", "highest"):
        assert words in listed
    back: dict[str, Any] = json.loads(told("--previous", "--json"))
    assert (back["present"]["release"], back["present"]["how"], back["changed"]) == (1, "taken back", True)
    lower = asd_edge("install", "--config", box.device, box.bundle("c.asd", 1, name="other"))
    assert lower.returncode == 1
    assert "--force" in lower.stderr


def test_the_list_tells_of_files_that_cannot_be_used(box: Box) -> None:
    for release in (1, 2):
        box.install(box.bundle(f"{release}.asd", release))
    trust(box.folder / "keys", FACTORY)  # the plant's key is revoked
    box.path.write_bytes(b"damaged")
    listed = asd_edge("install", "--config", box.device, "--list")
    assert listed.returncode == 0, listed.stderr
    installed, previous, highest = listed.stdout.splitlines()
    assert installed.startswith("installed: damaged (a file that begins with")
    assert installed.endswith("; last known: tiny, release 2)")
    assert previous.startswith("previous: tiny, release 1 (")
    assert "cannot be used: " in previous
    assert highest == "highest release: 2"
    box.bundle("3.asd", 3, FACTORY).rename(box.path)
    box.previous.write_bytes(b"damaged")
    installed, previous, _ = asd_edge("install", "--config", box.device, "--list").stdout.splitlines()
    assert installed.endswith("; found, not installed by asd-edge install")
    assert previous.startswith("previous: a file cannot be used: ")
    told = json.loads(asd_edge("install", "--config", box.device, "--list", "--json").stdout)
    assert (told["installed"]["how"], told["previous"]["untrusted"]) == ("found", False)


def test_every_refusal_is_one_of_ours(box: Box) -> None:
    for candidate in (box.folder, Path("/dev/null"), box.device):
        with pytest.raises(AsdEdgeError):
            box.install(candidate)
