"""Enrollment: what becomes a condition, what is refused, and that a refusal changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from asd_edge.bundle.archive import Bundle
from asd_edge.bundle.manifest import SegmentFields
from asd_edge.bundle.site import SiteStore, condition_set
from asd_edge.detector import Detector
from asd_edge.enroll import EnrollmentReport, RecordedClip, enroll_clips
from asd_edge.errors import AsdEdgeError, EnrollmentError, SourceError, StateError
from asd_edge.events import WindowScore, WindowState
from asd_edge.offline import embed_clip
from asd_edge.pipeline import SegmentStreams
from asd_edge.scoring.backends.kinds import BACKENDS
from asd_edge.scoring.decision import DecisionSpec
from asd_edge.sources.block import Block
from tests.edge.fan_bundle import make_fan_bundle
from tests.edge.sound import noise, tone
from tests.edge.tiny_bundle import make_tiny_bundle


def clips(count: int = 3, *, hertz: float = 500.0, level: float = 0.05) -> list[RecordedClip]:
    return [
        RecordedClip(f"clip-{i}.wav", noise(10.0, seed=i, level=level) + tone(10.0, hertz, level=level))
        for i in range(count)
    ]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_tiny_bundle(tmp_path / "tiny.asd")


@pytest.fixture
def store(tmp_path: Path) -> SiteStore:
    return SiteStore(tmp_path / "state", "fan-7")


def enroll(store: SiteStore, bundle: Bundle, sound: list[RecordedClip], name: str = "rpm1200") -> EnrollmentReport:
    return enroll_clips(store, bundle, machine="fan-7", condition=name, clips=sound)


def judged(store: SiteStore, bundle: Bundle, samples: NDArray[np.float32]) -> list[WindowScore]:
    known = condition_set(bundle, None, store.load())
    detector = Detector("fan-7", SegmentStreams(bundle.pipeline()), known, DecisionSpec())
    events = detector.process(Block(samples, 0, 0.0))
    return [event for event in events if isinstance(event, WindowScore)]


def test_the_new_centre_is_the_mean_of_the_clips_mean_embeddings(store: SiteStore, bundle: Bundle) -> None:
    sound = clips()
    enroll(store, bundle, sound)
    pipeline = bundle.pipeline()
    embedded = [embed_clip(pipeline, clip.samples, name=clip.name).segments.embeddings for clip in sound]
    expected = np.mean([part.mean(axis=0) for part in embedded], axis=0)
    (condition,) = store.load().conditions
    [centre] = condition.fitted["references"]
    np.testing.assert_allclose(centre, expected, rtol=1e-5, atol=1e-6)  # float32 sums in another order


def test_an_enrolled_condition_is_quiet_on_new_normal_sound_and_not_on_other_sound(
    store: SiteStore, bundle: Bundle
) -> None:
    report = enroll(store, bundle, clips())
    same = judged(store, bundle, clips(9)[8].samples)
    other = judged(store, bundle, noise(10.0, seed=9) + tone(10.0, 4500.0, level=0.3))
    assert {event.condition for event in same} == {"rpm1200"}
    assert all(event.score is not None and event.score <= report.threshold for event in same)
    assert all(event.score is not None and event.score > report.threshold for event in other)


def test_a_second_condition_leaves_the_first_as_it_was_and_the_same_name_replaces_it(
    store: SiteStore, bundle: Bundle
) -> None:
    first = enroll(store, bundle, clips())
    before = store.load().conditions[0]
    second = enroll(store, bundle, clips(hertz=3000.0), name="rpm2400")
    assert store.load().conditions[0] == before
    assert set(second.distances) == {"rpm1200"}
    third = enroll(store, bundle, clips(4), name="rpm1200")
    assert (first.replaced, second.replaced, third.replaced) == (False, False, True)
    assert [report.revision for report in (first, second, third)] == [1, 2, 3]
    assert {c.name: len(c.clips) for c in store.load().conditions} == {"rpm1200": 4, "rpm2400": 3}


def test_a_stopped_machine_is_idle_after_enrollment(store: SiteStore, bundle: Bundle) -> None:
    enroll(store, bundle, clips())
    stopped = judged(store, bundle, noise(10.0, seed=5, level=0.005))  # 20 dB softer
    assert {event.state for event in stopped} == {WindowState.IDLE}


@pytest.mark.parametrize(
    ("sound", "name", "error", "says"),
    [
        ([], "rpm1200", EnrollmentError, "at least 3"),
        (clips(2), "rpm1200", EnrollmentError, "at least 3"),
        ([*clips(2), clips(1)[0]], "rpm1200", EnrollmentError, "exactly like clip-0.wav"),
        ([*clips(2), RecordedClip("s.wav", np.zeros(160_000, np.float32))], "rpm1200", EnrollmentError, "s.wav is sil"),
        ([*clips(2), RecordedClip("short.wav", noise(1.0))], "rpm1200", SourceError, "short.wav is too short"),
        (clips(), "rpm 1200", EnrollmentError, "letters, digits"),
        (clips(), "a/b", EnrollmentError, "letters, digits"),
    ],
)
def test_what_cannot_be_enrolled_is_refused_and_changes_nothing(
    store: SiteStore,
    bundle: Bundle,
    sound: list[RecordedClip],
    name: str,
    error: type[AsdEdgeError],
    says: str,
) -> None:
    enroll(store, bundle, clips(), name="before")
    before = store.path.read_bytes()
    with pytest.raises(error, match=says):
        enroll(store, bundle, sound, name=name)
    assert store.path.read_bytes() == before


def test_a_second_enrollment_at_the_same_time_is_told_to_wait(store: SiteStore, bundle: Bundle) -> None:
    other = SiteStore(store.path.parent.parent, "fan-7")
    with other.exclusive(), pytest.raises(StateError, match="another enrollment is running"):
        enroll(store, bundle, clips())
    assert store.load().conditions == ()


def test_parts_of_one_recording_are_refused(store: SiteStore, bundle: Bundle) -> None:
    hum = tone(20.0, 500.0)
    parts = [RecordedClip(f"{i}.wav", hum[i * 32 : i * 32 + 160_000].copy()) for i in range(3)]  # whole periods apart
    with pytest.raises(EnrollmentError, match="parts of one recording"):
        enroll(store, bundle, parts)


def test_a_dead_microphone_with_an_offset_is_silent(store: SiteStore, bundle: Bundle) -> None:
    dead = [RecordedClip(f"{i}.wav", np.full(160_000 + i, 0.001, np.float32)) for i in range(3)]
    with pytest.raises(EnrollmentError, match="is silent"):
        enroll(store, bundle, dead)


def test_conditions_of_another_embedding_are_forgotten_and_named(store: SiteStore, tmp_path: Path) -> None:
    enroll(store, make_tiny_bundle(tmp_path / "a.asd"), clips(), name="old")
    other = make_tiny_bundle(tmp_path / "b.asd", segment=SegmentFields(frames=64, step=16))
    report = enroll(store, other, clips(), name="new")
    assert report.dropped == ["old"]
    assert [condition.name for condition in store.load().conditions] == ["new"]


def mixture() -> list[RecordedClip]:
    """Two clips of one sound and one of another."""
    other = RecordedClip("other.wav", tone(10.0, 6000.0, level=0.3) + noise(10.0, seed=7, level=0.001))
    return [*clips(2), other]


def test_clips_that_do_not_sound_alike_are_refused_and_named(store: SiteStore, bundle: Bundle) -> None:
    with pytest.raises(EnrollmentError, match=r"(?s)clip-0.wav and clip-1.wav; other.wav differ.*--mixed"):
        enroll(store, bundle, mixture())
    assert store.load().conditions == ()


def test_mixed_clips_get_a_centre_for_each_kind_of_sound(store: SiteStore, bundle: Bundle) -> None:
    sound = mixture()
    report = enroll_clips(store, bundle, machine="fan-7", condition="both", clips=sound, mixed=True)
    assert report.groups == [["clip-0.wav", "clip-1.wav"], ["other.wav"]]
    (condition,) = store.load().conditions
    assert len(condition.fitted["references"]) == 2
    for clip in (clips(4)[3].samples, sound[2].samples):
        assert all(e.score is not None and e.score <= report.threshold for e in judged(store, bundle, clip))
    strange = noise(10.0, seed=9) + tone(10.0, 3500.0, level=0.5)
    assert all(e.score is not None and e.score > report.threshold for e in judged(store, bundle, strange))


@pytest.mark.parametrize("kind", BACKENDS)
@pytest.mark.parametrize("factory", [("fan", "00"), None])
def test_a_condition_can_be_enrolled_with_every_backend(
    tmp_path: Path, kind: str, factory: tuple[str, str] | None
) -> None:
    store, bundle = (
        SiteStore(tmp_path / "state", "fan-7"),
        make_fan_bundle(tmp_path / "b.asd", clips=3, backend=BACKENDS[kind]),
    )
    enroll_clips(store, bundle, machine="fan-7", condition="rpm1200", clips=clips(), factory=factory)
    known = condition_set(bundle, factory, store.load())
    assert known is not None
    assert (known.conditions[-1].name, len(known.conditions)) == ("rpm1200", 1 if factory is None else 2)
    detector = Detector("fan-7", SegmentStreams(bundle.pipeline()), known, DecisionSpec())
    same = [e for e in detector.process(Block(clips(9)[8].samples, 0, 0.0)) if isinstance(e, WindowScore)]
    detector.reset()
    hum = noise(10.0, seed=9) + tone(10.0, 4500.0, level=0.3)
    other = [e for e in detector.process(Block(hum, 0, 0.0)) if isinstance(e, WindowScore)]
    assert {event.condition for event in same} == {"rpm1200"}
    assert all(event.score is not None and event.score <= event.threshold for event in same)
    assert all(event.score is not None and event.score > event.threshold for event in other)
