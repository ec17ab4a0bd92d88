"""Which normals graphs are fed with, and how much of it is kept."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np

from asd_export.heard import FeedSample, learned, spread
from asd_train.data.clip import Clip


def clip(machine: str, domain: Literal["source", "target"], number: int) -> Clip:
    path = Path(f"section_00_{domain}_train_normal_{number:04d}.wav")
    return Clip(path, machine, "00", domain, "train", anomalous=False, attributes="")


CLIPS = [
    clip(machine, domain, i)
    for machine in ("fan", "pump", "valve")
    for domain, count in (("source", 90), ("target", 10))
    for i in range(count)
]
HELD_OUT = [clip.key for clip in CLIPS if clip.domain == "source" and clip.path.stem.endswith(("0", "5"))]


def test_ranges_come_from_what_was_learned_of_both_domains_of_every_machine() -> None:
    chosen = learned(CLIPS, HELD_OUT, 24)
    assert Counter((each.machine, each.domain) for each in chosen) == {
        (machine, domain): 4 for machine in ("fan", "pump", "valve") for domain in ("source", "target")
    }
    assert not {each.key for each in chosen} & set(HELD_OUT)
    assert learned(CLIPS[::-1], HELD_OUT, 24) == chosen
    assert len(learned(CLIPS, HELD_OUT, 1000)) == len(CLIPS) - len(HELD_OUT)


def test_golden_sound_is_held_out() -> None:
    chosen = spread(CLIPS, HELD_OUT, 4)
    assert [each.machine for each in chosen] == ["fan", "pump", "valve", "fan"]
    assert {each.key for each in chosen} <= set(HELD_OUT)


def test_few_feeds_are_all_kept_in_order_and_of_many_each_as_likely_as_any() -> None:
    few = FeedSample(8)
    for i in range(8):
        few.offer(["x"], [np.full(3, i)])
    assert [feed["x"][0] for feed in few.kept] == list(range(8))
    many, x = FeedSample(200), np.zeros(3)
    for i in range(2000):
        x[:] = i  # kept feeds are copies: the graph's memory is used again
        many.offer(["x"], [x])
    found = np.array([feed["x"][0] for feed in many.kept])
    assert len(set(found)) == 200
    assert abs(found.mean() - 999.5) < 3.0 * 2000 / np.sqrt(12 * 200)  # three deviations of a mean of uniform numbers
