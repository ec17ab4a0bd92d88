"""On-device state: strict, atomic, with a rising revision, one writer at a time, bound to its bundle."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from asd_edge.bundle.archive import Bundle
from asd_edge.bundle.fitted import StoredArray
from asd_edge.bundle.site import EnrolledClip, EnrolledCondition, SiteState, SiteStore, condition_set
from asd_edge.errors import ConfigError, StateError
from tests.edge.tiny_bundle import CALIBRATION, DIMS, make_tiny_bundle

OTHER = "f" * 64


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundle") / "b.asd")


@pytest.fixture
def store(tmp_path: Path) -> SiteStore:
    return SiteStore(tmp_path / "state", "fan-7")


def references(array: NDArray[np.float32]) -> dict[str, StoredArray]:
    return {"references": StoredArray.of(array)}


def condition(name: str = "rpm1200", **changes: Any) -> EnrolledCondition:
    content: dict[str, Any] = {
        "name": name,
        "arrays": references(np.eye(1, DIMS, dtype=np.float32)),
        "threshold": 0.2,
        "idle_floor": 1e-5,
        "clips": (EnrolledClip(name="on_1.wav", sha256="a" * 64),),
        "enrolled_utc": "2026-01-02T03:04:05Z",
        "segments": 12,
        "calibration": CALIBRATION,
    }
    return EnrolledCondition(**(content | changes))


def enroll(store: SiteStore, new: EnrolledCondition, embedding_id: str = OTHER) -> SiteState:
    with store.exclusive():
        return store.save(store.load().with_condition(new, embedding_id))


class TestStore:
    def test_before_anything_was_enrolled_the_state_is_empty_and_nothing_is_made(self, store):
        assert store.load() == SiteState()
        assert store.stamp() is None
        assert not store.path.parent.exists()

    def test_what_is_saved_is_loaded(self, store):
        learned = np.full((1, DIMS), 0.1, np.float32)
        saved = enroll(store, condition(arrays=references(learned)))
        assert store.load() == saved
        assert store.path.parent.name == "fan-7"
        np.testing.assert_array_equal(store.load().conditions[0].fitted["references"], learned)

    def test_the_revision_rises_by_one_with_each_change(self, store):
        assert [enroll(store, condition(f"c{number}")).revision for number in range(3)] == [1, 2, 3]

    def test_a_condition_of_the_same_name_is_replaced(self, store):
        enroll(store, condition("a"))
        enroll(store, condition("b"))
        state = enroll(store, condition("a", threshold=0.5))
        assert [(c.name, c.threshold) for c in state.conditions] == [("b", 0.2), ("a", 0.5)]

    def test_conditions_of_another_bundle_are_dropped_when_enrolling_again(self, store):
        enroll(store, condition("a"))
        state = enroll(store, condition("b"), embedding_id="e" * 64)
        assert [c.name for c in state.conditions] == ["b"]
        assert state.embedding_id == "e" * 64
        assert state.revision == 2

    def test_a_condition_can_be_removed(self, store):
        enroll(store, condition("a"))
        enroll(store, condition("b"))
        with store.exclusive():
            store.save(store.load().without_condition("a"))
        assert [c.name for c in store.load().conditions] == ["b"]

    def test_the_stamp_changes_with_every_change(self, store):
        stamps = set()
        for number in range(20):
            enroll(store, condition(f"c{number % 2}"))
            stamps.add(store.stamp())
        assert len(stamps) == 20

    def test_a_change_made_from_an_older_revision_is_refused(self, store):
        old = store.load()
        enroll(store, condition("a"))
        with store.exclusive(), pytest.raises(StateError, match="revision 1 on the disk"):
            store.save(old.with_condition(condition("b"), OTHER))
        assert [c.name for c in store.load().conditions] == ["a"]

    def test_saving_without_the_lock_is_a_mistake_in_the_program(self, store):
        with pytest.raises(RuntimeError, match="exclusive"):
            store.save(SiteState())

    def test_two_machines_do_not_share_a_state(self, tmp_path, store):
        enroll(store, condition())
        assert SiteStore(tmp_path / "state", "fan-8").load() == SiteState()


def array_of(value: float, **changes: Any) -> dict[str, Any]:
    return (
        StoredArray.of(np.ones(1, np.float32)).model_dump(mode="json")
        | {"data": base64.b64encode(np.float32([value]).tobytes()).decode()}
        | changes
    )


class TestBadFiles:
    @pytest.mark.parametrize(
        ("change", "found"),
        [
            (lambda told: told.update(version=2), "newer asd-edge"),
            (lambda told: told.update(format="x"), "'x'"),
            (lambda told: told.update(revison=1), r"unknown key revison\n.*'revision'"),
            (lambda told: told.update(revision=-1), "revision = -1"),
            (lambda told: told.update(embedding_id=None), "embedding_id"),
            (lambda told: told["conditions"].append(told["conditions"][0]), "two conditions of one name"),
            (lambda told: told["conditions"][0].update(name="a/b"), r"conditions\[0\]\.name"),
            (lambda told: told["conditions"][0].update(arrays={}), r"conditions\[0\]\.arrays"),
            (lambda told: told["conditions"][0].update(arrays={"A": array_of(1)}), r"conditions\[0\]\.arrays\.A"),
            (lambda told: told["conditions"][0].update(arrays={"a": array_of(1, shape=[2])}), "4 bytes of numbers"),
            (lambda told: told["conditions"][0].update(arrays={"a": array_of(1, shape=[0])}), "shape"),
            (lambda told: told["conditions"][0].update(arrays={"a": array_of(float("nan"))}), "NaN"),
            (lambda told: told["conditions"][0].update(arrays={"a": array_of(1, data="%%%%")}), "not base64"),
            (lambda told: told["conditions"][0].update(threshold=float("nan")), "NaN"),
            (lambda told: told["conditions"][0].update(enrolled_utc="yesterday"), "enrolled_utc"),
        ],
    )
    def test_a_state_that_says_something_impossible(self, store, change, found):
        enroll(store, condition())
        told = json.loads(store.path.read_bytes())
        change(told)
        store.path.write_text(json.dumps(told))
        with pytest.raises(StateError, match=found) as caught:
            store.load()
        assert str(store.path) in str(caught.value)

    @pytest.mark.parametrize("content", [b"", b"{", b"\0" * 100, b"[]"])
    def test_a_damaged_file_is_neither_used_nor_overwritten(self, store, content):
        enroll(store, condition())
        store.path.write_bytes(content)
        with pytest.raises(StateError, match=r"JSON|format"):
            enroll(store, condition("b"))
        assert store.path.read_bytes() == content

    def test_a_huge_file_is_not_parsed(self, store):
        store.path.parent.mkdir(parents=True)
        with store.path.open("wb") as stream:
            stream.truncate(1 << 30)
        with pytest.raises(StateError, match="at most"):
            store.load()

    def test_a_folder_that_cannot_be_made(self, tmp_path):
        (tmp_path / "file").write_text("in the way")
        with (
            pytest.raises(StateError, match="Cannot lock"),
            SiteStore(tmp_path / "file", "fan-7").exclusive(),
        ):
            pass


class TestLock:
    def test_a_second_writer_is_told_at_once(self, store, tmp_path):
        second = SiteStore(tmp_path / "state", "fan-7")
        began = time.monotonic()
        with store.exclusive():
            with pytest.raises(StateError, match="another enrollment is running"), second.exclusive():
                pass
            assert second.load() == SiteState()  # readers need no lock
        assert time.monotonic() - began < 1.0
        enroll(second, condition())

    def test_it_ends_with_a_process_that_is_killed(self, store, tmp_path):
        holder = start(tmp_path, "with store.exclusive():\n    print('held', flush=True)\n    time.sleep(60)")
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StateError, match="another enrollment"):
            enroll(store, condition())
        holder.kill()
        holder.communicate()
        enroll(store, condition())


WRITER = """
print("ready", flush=True)
while True:
    with store.exclusive():
        state = store.load()
        state = state.with_condition(condition(f"c{state.revision}"), "f" * 64)
        state = state.model_copy(update={"conditions": state.conditions[-20:]})
        store.save(state)
"""


def start(folder: Path, program: str) -> subprocess.Popen[str]:
    head = (
        "import time\nfrom pathlib import Path\nfrom asd_edge.bundle.site import SiteStore\n"
        "from tests.edge.test_site_state import condition\n"
        f"store = SiteStore(Path({str(folder / 'state')!r}), 'fan-7')\n"
    )
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen([sys.executable, "-c", head + program], cwd=root, stdout=subprocess.PIPE, text=True)


def test_a_writer_killed_at_any_moment_leaves_the_old_or_the_new_state(tmp_path, store):
    random = np.random.default_rng(3)
    revision = 0
    for _ in range(8):
        writer = start(tmp_path, WRITER)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        time.sleep(float(random.uniform(0.005, 0.12)))
        os.kill(writer.pid, signal.SIGKILL)
        writer.communicate()
        state = store.load()
        assert state.revision >= revision
        # The newest condition is named after the revision it was added to: they belong together.
        if state.conditions:
            assert state.conditions[-1].name == f"c{state.revision - 1}"
        revision = state.revision
    assert revision > 8
    enroll(store, condition("last"))
    assert sorted(path.name for path in store.path.parent.iterdir()) == ["site.json", "site.lock"]


class TestConditionSet:
    def test_nothing_known(self, bundle):
        assert condition_set(bundle, None, SiteState()) is None
        assert condition_set(bundle, None, SiteState(), idle_below_dbfs=-50.0) is None

    def test_factory_alone(self, bundle):
        known = condition_set(bundle, ("fan", "00"), SiteState())
        assert known is not None
        assert [c.name for c in known.conditions] == ["factory/source"]
        assert known.idle_floor == 1e-6

    def test_enrolled_alone(self, bundle):
        site = SiteState().with_condition(condition("a"), bundle.embedding_id)
        site = site.with_condition(condition("b", idle_floor=1e-7, threshold=0.3), bundle.embedding_id)
        known = condition_set(bundle, None, site)
        assert known is not None
        assert [(c.name, c.threshold) for c in known.conditions] == [("a", 0.2), ("b", 0.3)]
        assert known.conditions[0].fitted["references"].dtype == np.float32
        assert known.conditions[0].fitted["references"].shape == (1, DIMS)
        assert known.idle_floor == 1e-7

    def test_both_with_the_floor_of_this_microphone(self, bundle):
        site = SiteState().with_condition(condition(), bundle.embedding_id)
        known = condition_set(bundle, ("fan", "00"), site)
        assert known is not None
        assert [c.name for c in known.conditions] == ["factory/source", "rpm1200"]
        assert known.idle_floor == 1e-5

    def test_an_idle_level_set_by_hand_wins(self, bundle):
        site = SiteState().with_condition(condition(), bundle.embedding_id)
        known = condition_set(bundle, ("fan", "00"), site, idle_below_dbfs=-40.0)
        assert known is not None
        assert known.idle_floor == pytest.approx(1e-4)

    def test_conditions_of_another_bundle_cannot_be_compared(self, bundle):
        site = SiteState().with_condition(condition(), OTHER)
        with pytest.raises(StateError, match="cannot be compared") as caught:
            condition_set(bundle, ("fan", "00"), site)
        assert OTHER in caught.value.found
        assert bundle.embedding_id in caught.value.expected
        assert "enroll all conditions again" in caught.value.remedy

    @pytest.mark.parametrize(
        ("arrays", "found"),
        [
            (references(np.ones((1, 2), np.float32)), r"references of shape \[1, 2\]"),
            (references(np.zeros((1, DIMS), np.float32)), "a reference of zeros"),
            ({"means": StoredArray.of(np.ones((1, DIMS), np.float32))}, "means"),
        ],
    )
    def test_arrays_that_the_backend_cannot_have_learned(self, bundle, arrays, found):
        site = SiteState().with_condition(condition(arrays=arrays), bundle.embedding_id)
        with pytest.raises(StateError, match=found) as caught:
            condition_set(bundle, None, site)
        assert "'rpm1200'" in caught.value.what

    def test_a_factory_machine_that_the_bundle_does_not_know(self, bundle):
        with pytest.raises(ConfigError, match="fan/00") as caught:
            condition_set(bundle, ("fan", "07"), SiteState())
        assert caught.value.found == 'factory = "fan/07"'
