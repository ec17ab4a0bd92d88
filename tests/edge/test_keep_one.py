"""From afar the last that is known of a machine stays: without it a fault could be enrolled unjudged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asd_edge.bundle.archive import load_bundle
from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.fitted import StoredArray
from asd_edge.bundle.site import Change
from asd_edge.bundle.site_store import SiteStore
from asd_edge.remote.arguments import arguments
from asd_edge.remote.command import command_of
from asd_edge.remote.runner import Outcome, Runner
from tests.edge.device import FAN_SOURCE, write_device
from tests.edge.test_site_state import condition

CHANGE = Change(action="enroll", subject="rpm1200", author="alice@desk", time_utc="2026-01-02T03:04:05Z")
FAN = {"id": "fan-1", "source": FAN_SOURCE}


@pytest.fixture(scope="module")
def bundle(fan_bundle: Path) -> Bundle:
    return load_bundle(fan_bundle)


class Machine:
    """A machine whose conditions are commanded from afar, by the child that the daemon runs."""

    def __init__(self, folder: Path, bundle: Bundle, path: Path, **keys: Any) -> None:
        self.device = write_device(folder, path, 1883, FAN | keys)
        self.store = SiteStore(folder / "state", "fan-1")
        self._bundle = bundle

    def enroll(self, *names: str, embedding_id: str | None = None) -> None:
        """Have just these conditions, of the bundle's own embedding or another."""
        centre = self._bundle.factory_conditions("fan", "00")
        assert centre is not None
        arrays = {name: StoredArray.of(array) for name, array in centre.conditions[0].fitted.items()}
        with self.store.exclusive("alice"):
            state = self.store.load().model_copy(update={"conditions": ()})
            state = state.model_copy(update={"embedding_id": embedding_id or self._bundle.embedding_id})
            for name in names:
                state = state.with_condition(condition(name, arrays=arrays))
            self.store.save(state, CHANGE)

    def command(self, action: str, **fields: str) -> Outcome:
        command = command_of(action=action, device="box", machine="fan-1", nonce="0" * 64, **fields)
        return Runner().run(arguments(command, config=self.device, author="remote:anna"))

    def refused(self, action: str, says: str = "Enroll another condition first", **fields: str) -> None:
        before = self.store.path.read_bytes()
        outcome = self.command(action, **fields)
        assert outcome.error is not None
        assert says in outcome.error
        assert self.store.path.read_bytes() == before


def test_the_last_condition_is_neither_removed_nor_rolled_back(
    bundle: Bundle, fan_bundle: Path, tmp_path: Path
) -> None:
    machine = Machine(tmp_path, bundle, fan_bundle)
    machine.enroll("a")
    machine.refused("remove", condition="a")
    machine.refused("rollback")
    machine.enroll("a", "b")
    removed = machine.command("remove", condition="a")
    assert removed.result["conditions"] == ["b"], removed.error
    machine.refused("remove", condition="b")


def test_what_the_factory_knows_is_enough(bundle: Bundle, fan_bundle: Path, tmp_path: Path) -> None:
    machine = Machine(tmp_path, bundle, fan_bundle, factory="fan/00")
    machine.enroll("a")
    assert machine.command("rollback").result["conditions"] == []


def test_conditions_of_another_embedding_are_none_to_compare_with(
    bundle: Bundle, fan_bundle: Path, tmp_path: Path
) -> None:
    machine = Machine(tmp_path, bundle, fan_bundle)
    machine.enroll("old", embedding_id="f" * 64)
    machine.enroll("a")
    machine.refused("rollback", says="belong to another bundle")


def test_a_damaged_state_is_not_set_aside_for_nothing(bundle: Bundle, fan_bundle: Path, tmp_path: Path) -> None:
    """A machine without a state file has nothing to compare with either."""
    machine = Machine(tmp_path, bundle, fan_bundle)
    machine.enroll("a")
    machine.store.path.write_text("damaged")
    machine.refused("rollback")
    assert not list(machine.store.folder.glob("*.damaged"))


def test_on_the_device_itself_everything_can_be_taken_back(bundle: Bundle, fan_bundle: Path, tmp_path: Path) -> None:
    machine = Machine(tmp_path, bundle, fan_bundle)
    machine.enroll("a")
    told = Runner().run(["conditions", "remove", f"--config={machine.device}", "--machine=fan-1", "--json", "a"])
    assert told.error is None
    assert machine.store.load().conditions == ()
