"""Clips become a condition: what may speak for the threshold."""

from __future__ import annotations

import numpy as np

from asd_edge.imprint import alike, half_scores, imprint, leave_one_out_scores
from asd_edge.offline import EmbeddedClip, embed_clip, windows_of
from asd_edge.scoring.backends.nearest_centre import NearestCentre
from asd_edge.scoring.calibration import FEW_CLIPS, FEW_SHAPE
from tests.edge.sound import noise, pipeline, tone


def clip(number: int, hertz: float = 500.0) -> EmbeddedClip:
    return embed_clip(pipeline(), noise(4.0, seed=number) + tone(4.0, hertz, level=0.3), name=f"{hertz}-{number}")


def test_clips_alone_under_their_label_have_no_say_in_the_threshold() -> None:
    pair = {"pair": [clip(0), clip(1)]}
    singles = {f"single {i}": [clip(i, hertz=600.0 + 250.0 * i)] for i in range(FEW_CLIPS)}
    assert len(leave_one_out_scores(pipeline(), NearestCentre(), singles, idle_floor=0.0)) == 0
    made = imprint(pipeline(), NearestCentre(), "all", pair | singles, idle_floor=0.0, quantile=0.99)
    assert made.calibration.gamma is not None
    assert made.calibration.gamma.shape == FEW_SHAPE  # two clips do not tell a shape
    assert len(made.condition.fitted["references"]) == FEW_CLIPS + 1


def test_clips_are_grouped_by_sound_through_chains_of_likeness() -> None:
    low, high = [clip(i) for i in range(3)], [clip(i, hertz=6000.0) for i in range(2)]
    groups = alike([low[0], high[0], low[1], high[1], low[2]], idle_floor=0.0)
    assert [[c.name for c in group] for group in groups] == [[c.name for c in low], [c.name for c in high]]
    assert alike([clip(0)], idle_floor=1.0) == []  # all idle


def test_scores_are_kept_by_clip_and_each_clip_judges_the_others() -> None:
    clips = [clip(0), clip(1), clip(2, hertz=900.0)]
    by_clip = leave_one_out_scores(pipeline(), NearestCentre(), {"all": clips}, idle_floor=0.0)
    assert [len(scores) for scores in by_clip] == [len(windows_of(pipeline(), one)) for one in clips]
    assert min(by_clip[2]) > max(by_clip[0])  # the one that differs


def test_halves_of_one_clip_are_nearer_than_another_clip() -> None:
    alone = half_scores(pipeline(), NearestCentre(), clip(0), idle_floor=0.0)
    assert len(alone) >= 2
    [other, _] = leave_one_out_scores(
        pipeline(), NearestCentre(), {"all": [clip(0), clip(1, hertz=900.0)]}, idle_floor=0.0
    )
    assert 0.0 < np.mean(alone) < np.mean(other)
    assert half_scores(pipeline(), NearestCentre(), clip(0), idle_floor=1.0) == []  # all idle
