"""What a device prints for somebody afar fits into one message, however much it knows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from asd_edge.bundle.site import Change, EnrolledClip, SiteState
from asd_edge.bundle.site_store import SiteStore
from asd_edge.cli.proposal_text import proposal_text, to_json
from asd_edge.enrollment import report
from asd_edge.enrollment.effect import Outcome, PastAlarm
from asd_edge.enrollment.propose import Machine, propose
from asd_edge.remote.runner import OUTPUT_LIMIT, Runner
from asd_edge.scoring.decision import DecisionSpec
from tests.edge.device import FAN_SOURCE, write_device
from tests.edge.test_enrollment import clips
from tests.edge.test_site_state import condition
from tests.edge.tiny_bundle import make_tiny_bundle


def outcome(*since: float) -> Outcome:
    none = np.empty(0)
    alarms = tuple(PastAlarm(time, time + 5.0, "rpm1200") for time in since)
    return Outcome(none, none, none, none, (), alarms, ())


def test_a_proposal_after_a_restless_day_names_the_first_alarms_and_counts_all(tmp_path: Path) -> None:
    """A thousand alarms would vanish and nine hundred would appear: two messages full."""
    machine = Machine(SiteStore(tmp_path / "state", "fan-7"), DecisionSpec())
    made = propose(machine, make_tiny_bundle(tmp_path / "b.asd"), "rpm1200", clips(), author="alice").proposal
    before, after = outcome(*np.arange(1_000) * 20.0), outcome(*np.arange(900) * 20.0 + 10.0)
    effect = report._effect(before, after)
    made = made.model_copy(update={"report": made.report.model_copy(update={"effect": effect})})
    assert len(json.dumps(to_json(made), indent=2)) < OUTPUT_LIMIT
    assert (effect.vanish_count, effect.appear_count) == (1_000, 900)
    assert (effect.vanish[0].since_utc, effect.appear[0].since_utc) == ("1970-01-01T00:00:00Z", "1970-01-01T00:00:10Z")
    text = proposal_text(made)
    listed = text.count("would vanish: 1970")
    assert f"would vanish: {1_000 - listed} more" in text
    assert f"would appear: {900 - listed} more" in text


def test_the_list_of_two_hundred_conditions_of_many_clips(tmp_path: Path) -> None:
    device = write_device(tmp_path, tmp_path / "none.asd", 1883, {"id": "fan-1", "source": FAN_SOURCE})
    store = SiteStore(tmp_path / "state", "fan-1")
    many = tuple(EnrolledClip(name=f"monday-{number}.wav", sha256="a" * 64) for number in range(60))
    known = tuple(condition(f"rpm{number}", clips=many) for number in range(200))
    change = Change(action="import", subject="all", author="alice", time_utc="2026-01-02T03:04:05Z")
    with store.exclusive("alice"):
        store.save(SiteState(embedding_id="f" * 64, conditions=known), change)
    told = Runner().run(["conditions", "list", f"--config={device}", "--machine=fan-1", "--json"])
    assert told.error is None
    (machine,) = told.result
    assert [row["clips"] for row in machine["conditions"]] == [60] * 200
    assert {row["threshold"] for row in machine["conditions"]} == {0.2}
