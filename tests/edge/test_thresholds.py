"""Thresholds found from stored hours: which hours count, under which alarms, by which clock."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.fields import WindowFields
from asd_edge.bundle.site_store import SiteStore
from asd_edge.enrollment.clips import RecordedClip
from asd_edge.enrollment.commit import commit
from asd_edge.enrollment.effect import replay
from asd_edge.enrollment.propose import Machine, propose
from asd_edge.enrollment.thresholds import NewThreshold, known_thresholds, propose_threshold
from asd_edge.errors import EnrollmentError
from asd_edge.history.format import Stretch
from asd_edge.scoring.aggregation import EmbeddedSegments, WindowSpec
from asd_edge.scoring.decision import DecisionSpec
from tests.edge.sound import noise, tone
from tests.edge.tiny_bundle import DIMS, make_tiny_bundle

SLOW, FAST = "rpm1200", "rpm2400"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    one_segment = WindowFields.of(WindowSpec(segments=1, every=1))
    return make_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny.asd", window=one_segment)


@pytest.fixture(scope="module")
def machine(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine with two conditions."""
    made = Machine(SiteStore(tmp_path_factory.mktemp("state"), "fan-7"), DecisionSpec())
    for name, hertz in ((SLOW, 500.0), (FAST, 5000.0)):
        sound = [RecordedClip(f"{i}.wav", noise(10.0, seed=i, level=0.05) + tone(10.0, hertz)) for i in range(3)]
        with made.store.exclusive("alice"):
            proposal = propose(made, bundle, name, sound, author="alice").proposal
            commit(made.store, bundle, proposal, author="alice", force=True)
    return made


def history(machine: Machine, bundle: Bundle, fast: np.ndarray, *, fault: slice = slice(0), seed: int = 0) -> Stretch:
    """Segments of the slow and the fast condition, normal but for the faulty ones."""
    site, rng, pipeline = machine.store.load(), np.random.default_rng(seed), bundle.pipeline()
    centres = [np.asarray(c.fitted["references"][0]) for c in site.conditions]
    slow, quick = (centre / np.linalg.norm(centre) for centre in centres)
    # Noise this small lies far below the thresholds: the distance is proportional to its square.
    embeddings = np.where(fast[:, None], quick, slow) + 0.01 * rng.standard_normal((len(fast), DIMS))
    strange = rng.standard_normal(DIMS)
    basis = np.linalg.qr(np.stack([slow, quick, strange]).T)[0]
    embeddings[fault] += basis[:, 2]  # at right angles to both: 45 degrees away
    hop, rate = pipeline.front_end.hop, pipeline.front_end.sample_rate
    frames = np.arange(len(fast), dtype=np.int64) * pipeline.segment.step
    power = np.full(len(fast), 0.1, np.float32)
    return Stretch(
        times=1e9 + frames * hop / rate,
        first_sample=frames * hop,
        segments=EmbeddedSegments(frames, embeddings.astype(np.float32), power, power),
    )


def found(machine: Machine, bundle: Bundle, condition: str, *heard: Stretch) -> NewThreshold:
    return propose_threshold(machine, bundle, condition, value=None, alarms_per_week=10.0, history=heard)


def windows(bundle: Bundle, hours: float) -> int:
    return round(hours * 3600.0 / bundle.pipeline().score_every_s)


def test_only_the_conditions_own_hours_count(machine: Machine, bundle: Bundle) -> None:
    alternating = np.arange(windows(bundle, 4.0)) % 2 == 0
    for condition in (SLOW, FAST):
        new = found(machine, bundle, condition, history(machine, bundle, alternating))
        assert new.hours == pytest.approx(2.0, rel=0.001)
        assert new.refusal is None


def test_an_alarm_that_began_under_another_condition_stood_in_these_hours_too(machine: Machine, bundle: Bundle) -> None:
    half = windows(bundle, 1.2)
    fast = np.arange(2 * half) >= half
    begins_slow = history(machine, bundle, fast, fault=slice(half - 30, half + 30))
    (alarm,) = replay(
        [begins_slow], bundle.pipeline(), machine.conditions(bundle, machine.store.load()), machine.decision
    ).alarms
    assert alarm.condition == SLOW
    assert "1 alarms stood" in str(found(machine, bundle, FAST, begins_slow).refusal)
    only_slow = history(machine, bundle, fast, fault=slice(half - 200, half - 100))
    assert found(machine, bundle, FAST, only_slow).refusal is None
    assert found(machine, bundle, SLOW, only_slow).refusal is not None


def test_a_clock_that_was_set_back_changes_no_threshold(machine: Machine, bundle: Bundle) -> None:
    fast = np.zeros(windows(bundle, 1.5), bool)
    whole = history(machine, bundle, fast, fault=slice(500, 560))
    set_back = replace(whole, times=whole.times - 7200.0 * (np.arange(len(fast)) >= 530))  # while the alarm stands
    again = history(machine, bundle, fast, seed=1)  # a daemon that began anew counts its samples from 0
    one, other = (found(machine, bundle, SLOW, first, again) for first in (whole, set_back))
    assert one.hours == other.hours == pytest.approx(3.0, rel=0.001)
    assert one.calibration == other.calibration
    assert one.refusal == other.refusal is not None


def test_a_budget_needs_hours_where_nothing_else_tells_a_threshold(tmp_path: Path) -> None:
    from asd_edge.bundle.calibration import Calibration
    from tests.edge.tiny_bundle import tiny_description

    (known,) = tiny_description().variants[0].machines
    flat = Calibration(method="percentile", quantile=0.99, count=40, percentile_threshold=0.1)
    source = known.conditions[0].model_copy(update={"calibration": flat})
    bundle = make_tiny_bundle(tmp_path / "b.asd", machines=(known.model_copy(update={"conditions": (source,)}),))
    machine = Machine(SiteStore(tmp_path / "state", "fan-7"), DecisionSpec(), factory=("fan", "00"))
    assert known_thresholds(machine, bundle, machine.store.load())[0].calibration.rate is None
    with pytest.raises(EnrollmentError, match="budget") as refused:
        found(machine, bundle, "factory/source")
    assert "--value" in str(refused.value)
