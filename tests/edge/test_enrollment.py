"""Enrollment: what becomes a condition, what is refused, and that a refusal changes nothing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.fields import SegmentFields
from asd_edge.bundle.site_store import SiteStore
from asd_edge.detector import Detector
from asd_edge.enrollment.clips import MOST_CLIPS, RecordedClip, clipped_samples
from asd_edge.enrollment.commit import commit
from asd_edge.enrollment.proposal import Proposal, discard, find, keep
from asd_edge.enrollment.propose import Machine, propose
from asd_edge.errors import AsdEdgeError, EnrollmentError, StateError
from asd_edge.events import WindowScore, WindowState
from asd_edge.offline import embed_clip
from asd_edge.pipeline import SegmentStreams
from asd_edge.scoring.backends.backend import Backend
from asd_edge.scoring.backends.density_map import DensityMap
from asd_edge.scoring.backends.ensemble import Ensemble
from asd_edge.scoring.backends.kinds import BACKENDS
from asd_edge.scoring.backends.knn import KNN
from asd_edge.scoring.backends.mahalanobis import Mahalanobis
from asd_edge.scoring.backends.mixture_likelihood import MixtureLikelihood
from asd_edge.scoring.backends.part import Part
from asd_edge.scoring.backends.reconstruction import Reconstruction
from asd_edge.scoring.backends.spectral_shift import SpectralShift
from asd_edge.scoring.backends.sum import Sum
from asd_edge.scoring.decision import DecisionSpec
from asd_edge.sources.block import Block
from tests.edge.fan_bundle import make_fan_bundle
from tests.edge.sound import noise, tone
from tests.edge.tiny_bundle import make_tiny_bundle, tiny_description


def clips(count: int = 3, *, hertz: float = 500.0, level: float = 0.05) -> list[RecordedClip]:
    return [
        RecordedClip(f"clip-{i}.wav", noise(10.0, seed=i, level=level) + tone(10.0, hertz, level=level))
        for i in range(count)
    ]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_tiny_bundle(tmp_path / "tiny.asd")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(SiteStore(tmp_path / "state", "fan-7"), DecisionSpec())


def proposed(machine: Machine, bundle: Bundle, sound: list[RecordedClip], name: str = "rpm1200") -> Proposal:
    return propose(machine, bundle, name, sound, author="alice").proposal


def enroll(
    machine: Machine, bundle: Bundle, sound: list[RecordedClip], name: str = "rpm1200", *, mixed: bool = False
) -> Proposal:
    with machine.store.exclusive("alice"):
        made = propose(machine, bundle, name, sound, author="alice", mixed=mixed).proposal
        commit(machine.store, bundle, made, author="alice", force=True)
    return made


def judged(machine: Machine, bundle: Bundle, samples: NDArray[np.float32]) -> list[WindowScore]:
    known = machine.conditions(bundle, machine.store.load())
    detector = Detector("fan-7", SegmentStreams(bundle.pipeline()), known, DecisionSpec())
    events = detector.process(Block(samples, 0, 0.0))
    return [event for event in events if isinstance(event, WindowScore)]


def test_the_new_centre_is_the_mean_of_the_clips_mean_embeddings(machine: Machine, bundle: Bundle) -> None:
    sound = clips()
    enroll(machine, bundle, sound)
    pipeline = bundle.pipeline()
    embedded = [embed_clip(pipeline, clip.samples, name=clip.name).segments.embeddings for clip in sound]
    expected = np.mean([part.mean(axis=0) for part in embedded], axis=0)
    (condition,) = machine.store.load().conditions
    centres = condition.fitted["references"]
    np.testing.assert_allclose(centres[0], expected, rtol=1e-5, atol=1e-6)  # float32 sums in another order


def test_a_proposal_changes_nothing_until_it_is_committed(machine: Machine, bundle: Bundle) -> None:
    made = proposed(machine, bundle, clips())
    assert not machine.store.path.exists()
    with machine.store.exclusive("bob"):
        after = commit(machine.store, bundle, made, author="bob")
    assert machine.store.load() == after
    assert after.change is not None
    assert (after.change.action, after.change.subject, after.change.author) == ("enroll", "rpm1200", "bob")
    assert after.change.bundle_id == bundle.bundle_id
    assert [clip.sha256 for clip in after.conditions[0].clips] == [clip.sha256 for clip in clips()]


def test_an_enrolled_condition_is_quiet_on_new_normal_sound_and_not_on_other_sound(
    machine: Machine, bundle: Bundle
) -> None:
    threshold = enroll(machine, bundle, clips()).condition.threshold
    same = judged(machine, bundle, clips(9)[8].samples)
    other = judged(machine, bundle, noise(10.0, seed=9) + tone(10.0, 4500.0, level=0.3))
    assert {event.condition for event in same} == {"rpm1200"}
    assert all(event.score is not None and event.score <= threshold for event in same)
    assert all(event.score is not None and event.score > threshold for event in other)


def test_a_second_condition_leaves_the_first_as_it_was_and_the_same_name_replaces_it(
    machine: Machine, bundle: Bundle
) -> None:
    first = enroll(machine, bundle, clips())
    before = machine.store.load().conditions[0]
    second = enroll(machine, bundle, clips(hertz=3000.0), name="rpm2400")
    assert machine.store.load().conditions[0] == before
    assert [known.condition for known in second.report.known] == ["rpm1200"]
    third = enroll(machine, bundle, clips(4), name="rpm1200")
    assert [made.report.replaces for made in (first, second, third)] == [False, False, True]
    assert machine.store.load().revision == 3
    assert {c.name: len(c.clips) for c in machine.store.load().conditions} == {"rpm1200": 4, "rpm2400": 3}


def test_a_stopped_machine_is_idle_after_enrollment(machine: Machine, bundle: Bundle) -> None:
    enroll(machine, bundle, clips())
    stopped = judged(machine, bundle, noise(10.0, seed=5, level=0.005))  # 20 dB softer
    assert {event.state for event in stopped} == {WindowState.IDLE}


class TestWhatIsUsed:
    """What cannot be used is left out, with its reason, and what is left makes the condition."""

    @pytest.mark.parametrize(
        ("odd", "reason"),
        [
            (RecordedClip("odd.wav", np.zeros(160_000, np.float32)), "silent"),
            (RecordedClip("odd.wav", np.full(160_000, 0.001, np.float32)), "silent"),  # a dead microphone's offset
            (RecordedClip("odd.wav", noise(1.0)), "too short"),
            (RecordedClip("odd.wav", np.sign(tone(10.0, 500.0))), "clipped throughout"),
            (RecordedClip("odd.wav", clips(1)[0].samples), "copy of clip-0.wav"),
            (RecordedClip("odd.wav", tone(10.0, 6000.0, level=0.3)), "outlier"),
        ],
        ids=["silence", "offset", "short", "clipped", "copy", "outlier"],
    )
    def test_a_clip_that_cannot_be_used(self, machine: Machine, bundle: Bundle, odd: RecordedClip, reason: str) -> None:
        alone = proposed(machine, bundle, clips())
        with_odd = proposed(machine, bundle, [*clips(), odd])
        *good, last = with_odd.report.clips
        assert last.rejected is not None
        assert last.rejected.startswith(reason)
        assert last.used == 0
        assert all(clip.rejected is None for clip in good)
        assert with_odd.condition.arrays == alone.condition.arrays
        assert with_odd.condition.threshold == alone.condition.threshold

    def test_the_clipped_and_the_silent_segments_of_a_clip_that_is_used_otherwise(
        self, machine: Machine, bundle: Bundle
    ) -> None:
        spoilt = clips(4)[3].samples.copy()
        spoilt[20_000:20_200] = 1.0  # in the first and second segment (starts: every 32 frames of 512)
        spoilt[112_000:] = 0.0
        made = proposed(machine, bundle, [*clips(), RecordedClip("spoilt.wav", spoilt)])
        report = made.report.clips[-1]
        assert report.rejected is None
        assert report.clipped == 2
        assert report.silent >= 1
        assert report.used == report.segments - report.clipped - report.silent
        assert made.condition.segments == sum(clip.used for clip in made.report.clips)
        assert any("clipped" in warning for warning in made.report.warnings)

    def test_a_peak_that_touches_full_scale_is_not_clipped(self) -> None:
        assert len(clipped_samples(tone(1.0, 997.0, level=1.0))) == 0
        flat = np.clip(1.5 * tone(1.0, 997.0, level=1.0), -1.0, 1.0)
        assert len(clipped_samples(flat)) > 500

    def test_one_clip_is_allowed_with_a_warning(self, machine: Machine, bundle: Bundle) -> None:
        made = proposed(machine, bundle, clips(1))
        assert any("guess" in warning for warning in made.report.warnings)
        assert made.condition.threshold > 0.0

    @pytest.mark.parametrize("heard_s", [4.6, 6.0])
    def test_one_clip_that_is_mostly_silent_is_enough_when_there_are_two_segments(
        self, machine: Machine, bundle: Bundle, heard_s: float
    ) -> None:
        sound = clips(1)[0].samples.copy()
        sound[: round((10.0 - heard_s) * 16_000)] = 0.0
        assert proposed(machine, bundle, [RecordedClip("late.wav", sound)]).condition.threshold > 0.0

    def test_one_segment_is_too_little(self, machine: Machine, bundle: Bundle) -> None:
        short = RecordedClip("short.wav", clips(1)[0].samples[: bundle.pipeline().shortest_samples])
        with pytest.raises(EnrollmentError, match="too little sound"):
            proposed(machine, bundle, [short])

    def test_sound_that_is_covered_already_is_called_that(self, machine: Machine, bundle: Bundle) -> None:
        enroll(machine, bundle, clips())
        again = proposed(machine, bundle, clips(8)[5:], name="again")
        assert again.report.covered_by == "rpm1200"
        assert any("Already covered by rpm1200" in warning for warning in again.report.warnings)
        assert again.report.refusal is None


class TestRefusals:
    @pytest.mark.parametrize(
        ("sound", "name", "says"),
        [
            ([], "rpm1200", "no clips"),
            ([RecordedClip("s.wav", np.zeros(160_000, np.float32))], "rpm1200", r"s\.wav is silent"),
            ([RecordedClip("short.wav", noise(1.0))], "rpm1200", r"short\.wav is too short"),
            (clips(), "rpm 1200", "letters, digits"),
            (clips(), "a/b", "letters, digits"),
            ([*clips(2), *clips(4, hertz=6000.0, level=0.3)[2:]], "rpm1200", "do not sound alike"),
        ],
    )
    def test_what_cannot_be_enrolled_is_refused_and_changes_nothing(
        self, machine: Machine, bundle: Bundle, sound: list[RecordedClip], name: str, says: str
    ) -> None:
        enroll(machine, bundle, clips(), name="before")
        before = machine.store.path.read_bytes()
        with pytest.raises(EnrollmentError, match=says):
            enroll(machine, bundle, sound, name=name)
        assert machine.store.path.read_bytes() == before

    def test_more_clips_than_anybody_needs_are_refused_without_reading_them_all(
        self, machine: Machine, bundle: Bundle
    ) -> None:
        read = 0

        def many() -> list[RecordedClip]:
            nonlocal read
            for number in range(10_000):
                read += 1
                yield RecordedClip(f"{number}.wav", noise(0.01, seed=number))  # type: ignore[misc]

        with pytest.raises(EnrollmentError, match=f"more than {MOST_CLIPS}"):
            propose(machine, bundle, "rpm1200", many(), author="alice")
        assert read == MOST_CLIPS + 1

    def test_parts_of_one_recording_are_refused(self, machine: Machine, bundle: Bundle) -> None:
        hum = tone(20.0, 500.0)
        parts = [RecordedClip(f"{i}.wav", hum[i * 32 : i * 32 + 160_000].copy()) for i in range(3)]  # whole periods
        with pytest.raises(EnrollmentError, match="parts of one recording"):
            proposed(machine, bundle, parts)

    def test_a_second_enrollment_at_the_same_time_is_told_who_is_at_work(
        self, machine: Machine, bundle: Bundle
    ) -> None:
        other = SiteStore(machine.store.path.parent.parent, "fan-7")
        assert other.busy() is None
        with other.exclusive("bob@line-2"):
            assert machine.store.busy() is not None
            with pytest.raises(StateError, match="another enrollment is running: bob@line-2"):
                enroll(machine, bundle, clips())
        assert other.busy() is None
        assert machine.store.load().conditions == ()


class TestAnomalousClips:
    """A fault that is enrolled as normal is never heard again: only a person who vouches for it may do that."""

    def strange(self) -> list[RecordedClip]:
        return [RecordedClip(clip.name, clip.samples) for clip in clips(hertz=5000.0, level=0.2)]

    def test_they_are_refused_and_a_person_may_insist(self, machine: Machine, bundle: Bundle) -> None:
        enroll(machine, bundle, clips())
        before = machine.store.path.read_bytes()
        made = proposed(machine, bundle, self.strange(), name="strange")
        assert made.report.refusal is not None
        assert "rpm1200" in made.report.refusal
        with machine.store.exclusive("alice"):
            with pytest.raises(EnrollmentError, match=r"(?s)anomalous.*--force"):
                commit(machine.store, bundle, made, author="alice")
            assert machine.store.path.read_bytes() == before
            after = commit(machine.store, bundle, made, author="alice", force=True)
        assert [(c.name, c.forced) for c in after.conditions] == [("rpm1200", False), ("strange", True)]

    def test_playing_them_softly_is_no_way_around(self, machine: Machine, bundle: Bundle) -> None:
        enroll(machine, bundle, clips())
        soft = [RecordedClip(clip.name, clip.samples * np.float32(0.05)) for clip in self.strange()]
        assert proposed(machine, bundle, soft, name="soft").report.refusal is not None

    def test_nothing_is_anomalous_where_nothing_is_known(self, machine: Machine, bundle: Bundle) -> None:
        assert proposed(machine, bundle, self.strange()).report.refusal is None

    def test_what_the_factory_knows_counts(self, tmp_path: Path, bundle: Bundle) -> None:
        known = Machine(SiteStore(tmp_path / "state", "fan-7"), DecisionSpec(), factory=("fan", "00"))
        report = proposed(known, bundle, self.strange()).report
        assert report.refusal is not None
        assert report.known[0].condition == "factory/source"


class TestProposals:
    def test_it_is_kept_and_found_and_discarded(self, machine: Machine, bundle: Bundle) -> None:
        with machine.store.exclusive("alice"):
            made = proposed(machine, bundle, clips())
            keep(machine.store, made, b"<svg/>")
        assert find(machine.store, made.id) == made
        discard(machine.store, made.id)
        with pytest.raises(EnrollmentError, match="no such proposal"):
            find(machine.store, made.id)

    def test_it_expires_and_its_picture_with_it(self, machine: Machine, bundle: Bundle) -> None:
        with machine.store.exclusive("alice"):
            old, new = (proposed(machine, bundle, clips()) for _ in range(2))
            keep(machine.store, old, b"<svg/>")
            folder = machine.store.folder / "proposals"
            os.utime(folder / f"{old.id}.json", (0, 0))
            with pytest.raises(EnrollmentError, match="no such proposal"):
                find(machine.store, old.id)
            keep(machine.store, new, b"<svg/>")
        assert sorted(path.name for path in folder.iterdir()) == [f"{new.id}.json", f"{new.id}.svg"]

    @pytest.mark.parametrize("name", ["../site", "x", "", "0" * 16])
    def test_an_id_that_is_none(self, machine: Machine, name: str) -> None:
        with pytest.raises(EnrollmentError, match="no such proposal"):
            find(machine.store, name)

    def test_it_does_not_hold_when_the_conditions_have_changed_since(self, machine: Machine, bundle: Bundle) -> None:
        made = proposed(machine, bundle, clips(), name="a")
        enroll(machine, bundle, clips(), name="b")
        with machine.store.exclusive("alice"), pytest.raises(StateError, match="does not hold any more"):
            commit(machine.store, bundle, made, author="alice", force=True)
        assert [c.name for c in machine.store.load().conditions] == ["b"]

    def test_it_does_not_hold_for_another_bundle(self, machine: Machine, bundle: Bundle, tmp_path: Path) -> None:
        made = proposed(machine, bundle, clips())
        other = make_tiny_bundle(tmp_path / "b.asd", segment=SegmentFields(frames=64, step=16))
        with machine.store.exclusive("alice"), pytest.raises(StateError, match="does not hold any more"):
            commit(machine.store, other, made, author="alice")


def test_conditions_of_another_embedding_are_taken_out_of_use_and_named(machine: Machine, tmp_path: Path) -> None:
    enroll(machine, make_tiny_bundle(tmp_path / "a.asd"), clips(), name="old")
    other = make_tiny_bundle(tmp_path / "b.asd", segment=SegmentFields(frames=64, step=16))
    made = enroll(machine, other, clips(), name="new")
    assert made.report.dropped == ("old",)
    assert [condition.name for condition in machine.store.load().conditions] == ["new"]
    assert [condition.name for condition in machine.store.load_revision(1).conditions] == ["old"]


def test_mixed_clips_get_a_centre_for_each_kind_of_sound(machine: Machine, bundle: Bundle) -> None:
    other = RecordedClip("other.wav", tone(10.0, 6000.0, level=0.3) + noise(10.0, seed=7, level=0.001))
    made = enroll(machine, bundle, [*clips(2), other], name="both", mixed=True)
    assert made.report.groups == (("clip-0.wav", "clip-1.wav"), ("other.wav",))
    threshold = made.condition.threshold
    for clip in (clips(4)[3].samples, other.samples):
        assert all(e.score is not None and e.score <= threshold for e in judged(machine, bundle, clip))
    strange = noise(10.0, seed=9) + tone(10.0, 3500.0, level=0.5)
    assert all(e.score is not None and e.score > threshold for e in judged(machine, bundle, strange))


def test_more_sound_than_the_memory_holds_is_refused(
    machine: Machine, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_edge.enrollment.clips.MOST_BYTES", 1000)
    with pytest.raises(EnrollmentError, match="Too much sound"):
        enroll(machine, bundle, clips())
    assert machine.store.load().revision == 0


def test_where_no_condition_changes_a_distance_none_is_enrolled(tmp_path: Path) -> None:
    bundle = make_fan_bundle(tmp_path / "b.asd", clips=3, backend=DensityMap())
    machine = Machine(SiteStore(tmp_path / "state", "fan-7"), DecisionSpec(), factory=("fan", "00"))
    known = machine.conditions(bundle, machine.store.load())
    assert known is not None  # the factory's threshold is all there is to a condition
    assert known.conditions[0].fitted == {}
    assert all(event.threshold is not None for event in judged(machine, bundle, clips(1)[0].samples))
    with pytest.raises(EnrollmentError, match=r"(?s)would change nothing.*density_map.*asd-edge threshold"):
        enroll(machine, bundle, clips())


def test_a_manifest_whose_backend_cannot_read_the_embeddings_is_refused() -> None:
    with pytest.raises(ValidationError, match="where the backend expects one, the mean square error"):
        tiny_description(backend=Reconstruction(reading="mse"))


def test_every_error_says_what_to_do(machine: Machine, bundle: Bundle) -> None:
    with pytest.raises(AsdEdgeError) as caught:
        enroll(machine, bundle, [])
    assert caught.value.remedy.startswith("Record")


NETWORKS_OWN: dict[str, Backend] = {  # of the tiny network's 16 numbers
    "ensemble": Ensemble(members=(KNN(neighbours=1, distance="cosine"), Mahalanobis())),
    "mixtures": MixtureLikelihood(components=2, embedding=12, temporal_maximum=True),
    "spectral shift": SpectralShift(),
    "scaled sum": Sum(
        parts=(
            Part(start=0, stop=8, over=KNN(neighbours=1, distance="mahalanobis")),
            Part(start=8, stop=16, over=SpectralShift()),
        ),
        scaled=True,
    ),
}


@pytest.mark.parametrize("kind", [*BACKENDS, *NETWORKS_OWN])
@pytest.mark.parametrize("factory", [("fan", "00"), None])
def test_a_condition_can_be_enrolled_with_every_backend(
    tmp_path: Path, kind: str, factory: tuple[str, str] | None
) -> None:
    bundle = make_fan_bundle(tmp_path / "b.asd", clips=3, backend=(NETWORKS_OWN | dict(BACKENDS))[kind])
    machine = Machine(SiteStore(tmp_path / "state", "fan-7"), DecisionSpec(), factory=factory)
    enroll(machine, bundle, clips())
    known = machine.conditions(bundle, machine.store.load())
    assert known is not None
    assert (known.conditions[-1].name, len(known.conditions)) == ("rpm1200", 1 if factory is None else 2)
    same = judged(machine, bundle, clips(9)[8].samples)
    other = judged(machine, bundle, noise(10.0, seed=9) + tone(10.0, 4500.0, level=0.3))
    assert {event.condition for event in same} == {"rpm1200"}
    for events, quiet in ((same, True), (other, False)):
        assert all(e.score is not None and e.threshold is not None for e in events)
        assert {(e.score or 0.0) <= (e.threshold or 0.0) for e in events} == {quiet}


# One clip tells a sum no scale: its condition is quiet, and deaf to other sound (docs/backends.md).
@pytest.mark.parametrize(
    ("kind", "count"), [("spectral shift", 1), *((k, n) for k in ("spectral shift", "scaled sum") for n in (3, 10))]
)
def test_a_metric_of_few_clips_and_no_source_is_quiet_on_normal_sound_and_not_on_other_sound(
    tmp_path: Path, kind: str, count: int
) -> None:
    bundle = make_fan_bundle(tmp_path / "b.asd", clips=3, backend=NETWORKS_OWN[kind])
    machine = Machine(SiteStore(tmp_path / "state", "fan-7"), DecisionSpec())
    enroll(machine, bundle, clips(count))
    same = judged(machine, bundle, clips(13)[12].samples)
    other = judged(machine, bundle, noise(10.0, seed=9) + tone(10.0, 4500.0, level=0.3))
    for events, quiet in ((same, True), (other, False)):
        assert all(e.score is not None and e.threshold is not None for e in events)
        assert {(e.score or 0.0) <= (e.threshold or 0.0) for e in events} == {quiet}
