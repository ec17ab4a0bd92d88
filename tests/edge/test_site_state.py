"""On-device state: strict, atomic, with a rising revision, one writer at a time, bound to its bundle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.fitted import StoredArray
from asd_edge.bundle.site import (
    MOST_CONDITIONS,
    Change,
    EnrolledClip,
    EnrolledCondition,
    FactoryThreshold,
    SiteState,
    condition_set,
)
from asd_edge.bundle.site_store import KEPT_REVISIONS, SiteStore
from asd_edge.enrollment.commit import roll_back
from asd_edge.errors import ConfigError, StateError
from tests.edge.tiny_bundle import CALIBRATION, DIMS, make_tiny_bundle

OTHER = "f" * 64


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundle") / "b.asd")


@pytest.fixture
def store(tmp_path: Path) -> SiteStore:
    return SiteStore(tmp_path / "state", "fan-7")


def condition(name: str = "rpm1200", **changes: Any) -> EnrolledCondition:
    content: dict[str, Any] = {
        "name": name,
        "arrays": {"references": StoredArray.of(np.eye(1, DIMS, dtype=np.float32))},
        "threshold": 0.2,
        "idle_floor": 1e-5,
        "clips": (EnrolledClip(name="on_1.wav", sha256="a" * 64),),
        "enrolled_utc": "2026-01-02T03:04:05Z",
        "segments": 12,
        "calibration": CALIBRATION,
        "author": "alice@desk",
        "bundle_id": "b" * 64,
    }
    return EnrolledCondition(**(content | changes))


CHANGE = Change(action="enroll", subject="rpm1200", author="alice@desk", time_utc="2026-01-02T03:04:05Z")


def own(bundle: Bundle) -> Any:
    """A bundle whose embeddings the states of this file are of."""
    return SimpleNamespace(embedding_id=OTHER, bundle_id=bundle.bundle_id, manifest=bundle.manifest)


def site_with(*conditions: EnrolledCondition, embedding_id: str = OTHER, revision: int = 0) -> SiteState:
    return SiteState(revision=revision, embedding_id=embedding_id, conditions=conditions)


def enroll(store: SiteStore, new: EnrolledCondition) -> SiteState:
    with store.exclusive("alice"):
        state = store.load()
        return store.save(state.model_copy(update={"embedding_id": OTHER}).with_condition(new), CHANGE)


class TestStore:
    def test_before_anything_was_enrolled_the_state_is_empty_and_nothing_is_made(self, store):
        assert store.load() == SiteState()
        assert store.stamp() is None
        assert not store.path.parent.exists()

    def test_what_is_saved_is_loaded(self, store):
        centres = np.float32([[0.1] * DIMS])
        saved = enroll(store, condition(arrays={"references": StoredArray.of(centres)}))
        assert store.load() == saved
        assert store.path.parent.name == "fan-7"
        assert saved.change == CHANGE
        np.testing.assert_array_equal(saved.conditions[0].fitted["references"], centres)

    def test_the_revision_rises_by_one_with_each_change(self, store):
        assert [enroll(store, condition(f"c{number}")).revision for number in range(3)] == [1, 2, 3]

    def test_a_condition_of_the_same_name_is_replaced(self, store):
        enroll(store, condition("a"))
        enroll(store, condition("b"))
        state = enroll(store, condition("a", threshold=0.5))
        assert [(c.name, c.threshold) for c in state.conditions] == [("b", 0.2), ("a", 0.5)]

    def test_a_condition_can_be_removed(self, store):
        enroll(store, condition("a"))
        enroll(store, condition("b"))
        with store.exclusive("alice"):
            store.save(store.load().without_condition("a"), CHANGE)
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
        with store.exclusive("alice"), pytest.raises(StateError, match="revision 1 on the disk"):
            store.save(site_with(condition("b"), revision=old.revision), CHANGE)
        assert [c.name for c in store.load().conditions] == ["a"]

    def test_saving_without_the_lock_is_a_mistake_in_the_program(self, store):
        with pytest.raises(RuntimeError, match="exclusive"):
            store.save(SiteState(), CHANGE)

    def test_two_machines_do_not_share_a_state(self, tmp_path, store):
        enroll(store, condition())
        assert SiteStore(tmp_path / "state", "fan-8").load() == SiteState()


class TestRevisions:
    def test_the_revisions_before_are_kept_as_they_were(self, store):
        states = [enroll(store, condition(f"c{number}")) for number in range(3)]
        assert store.revisions() == [1, 2]
        assert [store.load_revision(number) for number in (1, 2)] == states[:2]
        assert store.load_revision(0) == SiteState()

    def test_only_so_many_are_kept(self, store):
        for _ in range(KEPT_REVISIONS + 3):
            enroll(store, condition())
        assert store.revisions() == list(range(3, KEPT_REVISIONS + 3))
        with pytest.raises(StateError, match="revision 1"):
            store.load_revision(1)

    def test_going_back_is_a_change_that_can_be_taken_back(self, store, bundle):
        first, second = enroll(store, condition("a")), enroll(store, condition("b"))
        for to, known in ((None, first), (None, second), (0, SiteState())):
            with store.exclusive("alice"):
                number, after = roll_back(store, own(bundle), to, author="alice")
            assert after.conditions == known.conditions
            assert after.change is not None
            assert (after.change.action, after.change.subject) == ("rollback", f"to revision {number}")
        assert store.load().revision == 5

    def test_there_is_nothing_to_go_back_to_before_the_first_change(self, store, bundle):
        with store.exclusive("alice"), pytest.raises(StateError, match="no revision to go back to"):
            roll_back(store, own(bundle), None, author="alice")

    @pytest.mark.parametrize("gone", [False, True])
    def test_the_newest_revision_that_is_whole_takes_the_place_of_a_damaged_or_lost_state(self, store, bundle, gone):
        for name in "abc":
            enroll(store, condition(name))
        if gone:
            store.path.unlink()
        else:
            os.replace(store.folder / "revisions" / "1.json", store.path)  # another inode than its revisions have
            store.path.write_bytes(b"{")
        (store.folder / "revisions" / "2.json").write_bytes(b"damaged too")
        with store.exclusive("alice"):
            with pytest.raises(StateError, match="no such revision"):
                roll_back(store, own(bundle), 99, author="alice")
            assert store.path.exists() != gone  # what cannot be done changes nothing
            number, after = roll_back(store, own(bundle), None, author="alice")
        assert (number, [c.name for c in after.conditions]) == ((1, ["a"]) if gone else (0, []))
        assert after.revision == 4  # three was the lost one's
        if not gone:
            assert store.path.with_name("site.json.damaged").read_bytes() == b"{"

    def test_nothing_is_gone_back_to_that_belongs_to_another_bundle(self, store, bundle):
        for name in "ab":
            enroll(store, condition(name))
        before = store.path.read_bytes()
        with store.exclusive("alice"), pytest.raises(StateError, match="another bundle"):
            roll_back(store, bundle, None, author="alice")
        assert store.path.read_bytes() == before

    def test_a_state_that_is_gone_is_an_error_and_not_an_empty_one(self, store):
        for name in "ab":
            enroll(store, condition(name))
        store.path.unlink()
        with pytest.raises(StateError, match=r"(?s)is gone.*rollback"):
            store.load()

    def test_what_the_reader_would_refuse_is_not_written(self, store):
        before = enroll(store, condition("a"))
        conditions = tuple(condition(f"c{number}") for number in range(MOST_CONDITIONS + 1))
        many = before.model_copy(update={"conditions": conditions})
        with store.exclusive("alice"), pytest.raises(StateError, match="do not fit"):
            store.save(many, CHANGE)
        assert store.load() == before

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
    def test_what_root_makes_the_owner_of_the_state_folder_can_go_on_with(self, tmp_path):
        state = tmp_path / "state"
        state.mkdir()
        os.chown(state, 4242, 4242)
        store = SiteStore(state, "fan-7")
        for name in "ab":
            enroll(store, condition(name))
        made = list(state.rglob("*"))
        assert len(made) >= 4
        assert {path.stat().st_uid for path in made} == {4242}


class TestBadFiles:
    @pytest.mark.parametrize(
        ("change", "found"),
        [
            (lambda told: told.update(version=3), "newer asd-edge"),
            (lambda told: told.update(format="x"), "'x'"),
            (lambda told: told.update(revison=1), r"unknown key revison\n.*'revision'"),
            (lambda told: told.update(revision=-1), "revision = -1"),
            (lambda told: told.update(embedding_id=None), "embedding_id"),
            (lambda told: told["conditions"].append(told["conditions"][0]), "two conditions of one name"),
            (lambda told: told["conditions"][0].update(name="a/b"), r"conditions\[0\]\.name"),
            (lambda told: told.update(version=1), "Make it again"),
            (lambda told: told["conditions"][0].update(arrays={}), r"conditions\[0\]\.arrays"),
            (lambda told: told["conditions"][0]["arrays"]["references"].update(data="AAAA"), "3 bytes of numbers"),
            (lambda told: told["conditions"][0]["arrays"]["references"].update(data="A*AA"), "not base64"),
            (lambda told: told["conditions"][0]["arrays"]["references"].update(shape=[1], data="AADAfw=="), "NaN"),
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
            SiteStore(tmp_path / "file", "fan-7").exclusive("alice"),
        ):
            pass


class TestLock:
    def test_a_second_writer_is_told_at_once(self, store, tmp_path):
        second = SiteStore(tmp_path / "state", "fan-7")
        began = time.monotonic()
        with store.exclusive("alice"):
            with pytest.raises(StateError, match="another enrollment is running"), second.exclusive("bob"):
                pass
            assert second.load() == SiteState()  # readers need no lock
        assert time.monotonic() - began < 1.0
        enroll(second, condition())

    def test_it_ends_with_a_process_that_is_killed(self, store, tmp_path):
        holder = start(tmp_path, "with store.exclusive('alice'):\n    print('held', flush=True)\n    time.sleep(60)")
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StateError, match="another enrollment"):
            enroll(store, condition())
        holder.kill()
        holder.communicate()
        enroll(store, condition())


def start(folder: Path, program: str) -> subprocess.Popen[str]:
    head = (
        "import time\nfrom pathlib import Path\nfrom asd_edge.bundle.site_store import SiteStore\n"
        "from tests.edge.test_site_state import CHANGE, condition\n"
        f"store = SiteStore(Path({str(folder / 'state')!r}), 'fan-7')\n"
    )
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen([sys.executable, "-c", head + program], cwd=root, stdout=subprocess.PIPE, text=True)


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
        site = site_with(condition("a"), embedding_id=bundle.embedding_id)
        site = site.with_condition(condition("b", idle_floor=1e-7, threshold=0.3))
        known = condition_set(bundle, None, site)
        assert known is not None
        assert [(c.name, c.threshold) for c in known.conditions] == [("a", 0.2), ("b", 0.3)]
        assert known.conditions[0].fitted["references"].dtype == np.float32
        assert known.conditions[0].fitted["references"].shape == (1, DIMS)
        assert known.idle_floor == 1e-7

    def test_a_factory_threshold_set_here_holds_for_its_own_machine_alone(self, bundle):
        for factory, threshold in (("fan/00", 0.3), ("bearing/00", 0.12)):  # 0.12: the bundle's own
            here = FactoryThreshold(factory=factory, name="factory/source", threshold=0.3, calibration=CALIBRATION)
            site = SiteState(embedding_id=bundle.embedding_id).with_factory_threshold(here)
            known = condition_set(bundle, ("fan", "00"), site)
            assert known is not None
            assert known.conditions[0].threshold == threshold

    def test_both_with_the_floor_of_this_microphone(self, bundle):
        site = site_with(condition(), embedding_id=bundle.embedding_id)
        known = condition_set(bundle, ("fan", "00"), site)
        assert known is not None
        assert [c.name for c in known.conditions] == ["factory/source", "rpm1200"]
        assert known.idle_floor == 1e-5

    def test_an_idle_level_set_by_hand_wins(self, bundle):
        site = site_with(condition(), embedding_id=bundle.embedding_id)
        known = condition_set(bundle, ("fan", "00"), site, idle_below_dbfs=-40.0)
        assert known is not None
        assert known.idle_floor == pytest.approx(1e-4)

    def test_conditions_of_another_bundle_cannot_be_compared(self, bundle):
        site = site_with(condition())
        with pytest.raises(StateError, match="cannot be compared") as caught:
            condition_set(bundle, ("fan", "00"), site)
        assert OTHER[:12] in caught.value.found
        assert bundle.embedding_id[:12] in caught.value.expected
        assert "enroll all conditions again" in caught.value.remedy

    def test_a_centre_of_another_length(self, bundle):
        short = {"references": StoredArray.of(np.float32([[1.0, 0.0]]))}
        site = site_with(condition(arrays=short), embedding_id=bundle.embedding_id)
        with pytest.raises(StateError, match="does not fit"):
            condition_set(bundle, None, site)

    def test_a_factory_machine_that_the_bundle_does_not_know(self, bundle):
        with pytest.raises(ConfigError, match="fan/00") as caught:
            condition_set(bundle, ("fan", "07"), SiteState())
        assert caught.value.found == 'factory = "fan/07"'
