"""The official figures from scores small enough to work out by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from asd_edge.bundle.archive import load_bundle
from asd_edge.errors import DataError
from asd_edge.offline import embed_clip
from asd_edge.scoring.aggregation import score_window
from asd_edge.scoring.conditions import ConditionSet
from asd_edge.sources.file import read_clip
from asd_train.data.clip import Clip
from asd_train.evaluation.evaluate import evaluate
from asd_train.evaluation.metrics import pauc
from asd_train.evaluation.runs import evaluate_bundle
from asd_train.evaluation.scored import ScoredClip, score_clips
from asd_train.progress import Progress
from tests.edge.sound import RATE, conditions_of, noise, pipeline, tone
from tests.train.clips import clip


def scored(score: float, domain: str, *, anomalous: bool, alarms: bool = False, machine: str = "fan") -> ScoredClip:
    return ScoredClip(clip(0, machine=machine, domain=domain, split="test", anomalous=anomalous), score, alarms)


TEST_SET = [
    scored(0.1, "source", anomalous=False),
    scored(0.4, "source", anomalous=False, alarms=True),
    scored(0.3, "source", anomalous=True),
    scored(0.5, "source", anomalous=True, alarms=True),
    scored(0.2, "target", anomalous=False),
    scored(0.6, "target", anomalous=False, alarms=True),
    scored(0.7, "target", anomalous=False, alarms=True),
    scored(0.45, "target", anomalous=True, alarms=True),
]


def test_within_domain_and_official_figures_use_the_right_clips() -> None:
    (machine,) = evaluate(TEST_SET).machines
    assert machine.source.auc == pytest.approx(3 / 4)  # .3>.1, .5>.1, .5>.4 of four pairs
    assert machine.target.auc == pytest.approx(1 / 3)
    assert machine.auc_source == pytest.approx(5 / 6)  # source normals against .3, .5, .45
    assert machine.auc_target == pytest.approx(3 / 9)
    assert machine.pauc == pytest.approx(pauc([0.1, 0.4, 0.2, 0.6, 0.7], [0.3, 0.5, 0.45]))
    assert machine.official == pytest.approx(3 / (6 / 5 + 3 + 1 / machine.pauc))


def test_across_domains_the_anomalies_of_both_stand_against_the_normals_of_one() -> None:
    (machine,) = evaluate([*TEST_SET, scored(0.65, "source", anomalous=True)]).machines
    assert machine.auc_source == pytest.approx(7 / 8)  # .3, .5, .45, .65 beat 1, 2, 2, 2 of .1, .4
    assert machine.auc_target == pytest.approx(5 / 12)  # and 1, 1, 1, 2 of .2, .6, .7
    assert machine.target.auc == pytest.approx(1 / 3)  # .45 alone beats one of them
    assert machine.auc == pytest.approx(12 / 20)


def test_false_alarms_are_a_share_of_the_domains_normals() -> None:
    (machine,) = evaluate(TEST_SET).machines
    assert machine.source.false_alarm_rate == pytest.approx(1 / 2)
    assert machine.target.false_alarm_rate == pytest.approx(2 / 3)


def test_detections_are_a_share_of_the_domains_anomalies_and_f1_weighs_both() -> None:
    (machine,) = evaluate(TEST_SET).machines
    assert machine.source.detection_rate == pytest.approx(1 / 2)
    assert machine.target.detection_rate == pytest.approx(1.0)
    assert machine.source.f1 == pytest.approx(2 / (2 + 1 + 1))  # one hit, one false alarm, one miss
    assert machine.target.f1 == pytest.approx(2 / (2 + 2 + 0))


def test_a_long_clip_alarms_when_one_of_its_windows_does_and_keeps_the_score_of_the_whole(tmp_path: Path) -> None:
    normal, fault = noise(8.0), noise(2.0) + tone(2.0, 3000.0, level=0.2)
    known = conditions_of(normal, threshold=0.5)  # normal windows score about 0.33, those of the fault 0.73
    clips = [written(tmp_path, 0, np.concatenate([normal, fault])), written(tmp_path, 1, normal)]
    some, none = score_clips(pipeline(), {"fan/00": known}, clips, channel=None, progress=Progress(enabled=False))
    whole = score_window(embed_clip(pipeline(), read_clip(some.clip.path, rate=RATE), name="").segments, known, "mean")
    assert whole is not None
    assert some.score == whole.score < 0.5
    assert (some.alarms, none.alarms) == (1, 0)


def written(folder: Path, number: int, sound: NDArray[np.float32]) -> Clip:
    path = folder / f"{number}.wav"
    soundfile.write(path, sound, RATE)
    return replace(clip(number, split="test"), path=path)


def test_clips_without_a_known_label_are_neither_normal_nor_anomalous() -> None:
    hidden = [ScoredClip(replace(item.clip, anomalous=None), 9.0, alarms=True) for item in TEST_SET]
    assert evaluate([*TEST_SET, *hidden]).to_json() == evaluate(TEST_SET).to_json()
    assert evaluate(hidden).machines == ()


def test_a_test_set_without_any_label_is_refused_before_it_is_heard() -> None:
    hidden = clip(0, machine="gearbox", split="test", anomalous=None)
    with pytest.raises(DataError, match=r"(?s)nothing to evaluate.*--ground-truth"):
        evaluate_bundle(load_bundle("default"), [clip(1), hidden], progress=Progress(enabled=False))


def test_alarms_are_unbroken_stretches_of_windows_and_false_alarms_are_counted_an_hour(tmp_path: Path) -> None:
    fault = noise(2.0) + tone(2.0, 3000.0, level=0.2)
    sound = np.concatenate([fault, noise(6.0), fault, noise(6.0)])
    known = conditions_of(noise(8.0), threshold=0.5)
    scored = score_clips(
        pipeline(), {"fan/00": known}, [written(tmp_path, 0, sound)], channel=None, progress=Progress(enabled=False)
    )
    assert scored[0].alarms == 2
    assert scored[0].threshold == 0.5
    assert 15.0 < scored[0].seconds <= 16.0  # but for a last segment that lacks its end
    (machine,) = evaluate(scored).machines
    assert machine.source.false_alarms_per_hour == pytest.approx(2 * 3600 / scored[0].seconds)
    assert machine.source.false_alarm_rate == 1.0


def two_conditions() -> ConditionSet:
    """A source condition of noise, a target condition of noise with a tone."""
    one, other = conditions_of(noise(8.0), threshold=0.5), conditions_of(_toned(8.0), threshold=0.7)
    named = [replace(c.conditions[0], name=name) for c, name in ((one, "source"), (other, "factory/target"))]
    return replace(one, conditions=tuple(named))


def _toned(seconds: float) -> NDArray[np.float32]:
    return noise(seconds) + tone(seconds, 3000.0, level=0.2)


def test_a_known_domain_is_judged_by_its_own_condition_alone(tmp_path: Path) -> None:
    clips = [
        replace(written(tmp_path, 0, _toned(4.0)), domain="source"),
        replace(written(tmp_path, 1, _toned(4.0)), domain="target"),
    ]
    silent = Progress(enabled=False)
    nearest = score_clips(pipeline(), {"fan/00": two_conditions()}, clips, channel=None, progress=silent)
    known = score_clips(pipeline(), {"fan/00": two_conditions()}, clips, channel=None, domains="known", progress=silent)
    assert nearest[0].score == nearest[1].score == known[1].score < 0.1
    assert [s.threshold for s in nearest] == [0.7, 0.7]
    # the same sound in the source domain is an anomaly to the source condition
    assert (known[0].score > 0.5, known[0].alarms, known[0].threshold) == (True, 1, 0.5)


def test_a_known_domain_without_a_condition_is_refused(tmp_path: Path) -> None:
    known = replace(two_conditions(), conditions=two_conditions().conditions[:1])
    clips = [replace(written(tmp_path, 0, noise(4.0)), domain="target")]
    with pytest.raises(DataError, match=r"(?s)fan/00 has no condition.*the conditions source.*--domains nearest"):
        score_clips(
            pipeline(), {"fan/00": known}, clips, channel=None, domains="known", progress=Progress(enabled=False)
        )


def test_the_official_score_is_the_harmonic_mean_over_three_figures_of_every_machine() -> None:
    both = evaluate([*TEST_SET, *(ScoredClip(_moved(s), s.score, s.alarms) for s in TEST_SET)])
    assert [machine.machine for machine in both.machines] == ["fan", "pump"]
    assert both.official == pytest.approx(both.machines[0].official)


def _moved(item: ScoredClip) -> Clip:
    c = item.clip
    return clip(0, machine="pump", domain=c.domain, split="test", anomalous=c.anomalous)


def test_a_missing_domain_is_null_in_json_and_left_out_of_the_mean() -> None:
    result = evaluate([item for item in TEST_SET if item.clip.domain == "source"])
    (machine,) = result.machines
    assert math.isnan(machine.auc_target)
    assert machine.official == pytest.approx(2 / (1 / machine.auc_source + 1 / machine.pauc))
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert document["machines"][0]["auc_target"] is None


def test_data_without_test_clips_of_a_known_machine_is_an_error() -> None:
    bundle = load_bundle("default")
    with pytest.raises(DataError, match=r"(?s)nothing to score.*fan/00"):
        evaluate_bundle(bundle, [clip(0, machine="lathe", split="test")], progress=Progress(enabled=False))
