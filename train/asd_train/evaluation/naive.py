"""The baseline every system has to beat: mean and deviation of the log-mel, nearest training clip."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asd_edge.dsp.front_end import FrontEndSpec

from ..data.clip import Clip
from ..features.read import read_features
from ..progress import Progress
from .scored import ScoredClip

QUANTILE = 0.9  # of the training clips' own scores lie below the alarm threshold, as DCASE's baseline has it
_CONSTANT = 1e-6  # dB; a number that never varied in training says nothing by varying less than this


@dataclass(frozen=True)
class NaiveBaseline:
    """Training clips as points; the score of a clip is its distance to the nearest of them.

    s(x) = min_i ‖(f(x) − f(x_i)) / σ‖, f = mean and standard deviation over time of each band, σ their
    standard deviations over the training clips. (A z-score's mean cancels in the difference.)

    Attributes:
        points: the training clips, in units of sigma  # [clips, 2 bands].
        sigma: the spread of each statistic  # [2 bands].
    """

    points: NDArray[np.float64]
    sigma: NDArray[np.float64]

    @classmethod
    def fit(cls, statistics: NDArray[np.float64]) -> NaiveBaseline:
        """Learn from the statistics of normal training clips  # [clips, 2 bands].

        Raises:
            ValueError: fewer than two clips.
        """
        if len(statistics) < 2:
            raise ValueError(f"a spread needs at least two clips, got {len(statistics)}")
        sigma = np.maximum(statistics.std(axis=0), _CONSTANT)
        return cls(statistics / sigma, sigma)

    def score(self, statistics: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the score of each clip, higher is more anomalous  # [clips, 2 bands] -> [clips]."""
        return np.asarray(self._distances(statistics / self.sigma).min(axis=1), np.float64)

    def threshold(self) -> float:
        """Return the `QUANTILE` of the training clips' scores, each without itself."""
        distances = self._distances(self.points)
        np.fill_diagonal(distances, np.inf)
        return float(np.quantile(distances.min(axis=1), QUANTILE))

    def _distances(self, scaled: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([np.linalg.norm(self.points - point, axis=1) for point in scaled])


def naive_scores(
    clips: Sequence[Clip], *, channel: int | None = None, progress: Progress | None = None
) -> list[ScoredClip]:
    """Score every test clip against the training normals, of both domains, of its own machine and section.

    This baseline has no windows: a clip alarms as a whole.

    Raises:
        SourceError: a clip cannot be read.
        ValueError: a machine and section with fewer than two training normals.
    """
    units: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        units[clip.unit].append(clip)
    progress = progress or Progress(enabled=False)
    return [scored for unit in units.values() for scored in _score_unit(unit, channel, progress)]


def _score_unit(clips: Sequence[Clip], channel: int | None, progress: Progress) -> list[ScoredClip]:
    train = [clip for clip in clips if clip.split == "train" and clip.anomalous is False]
    test = [clip for clip in clips if clip.split == "test"]
    features = read_features([*train, *test], FrontEndSpec(), channel=channel, progress=progress)
    statistics = np.stack([log_mel_statistics(frames) for frames in features])
    baseline = NaiveBaseline.fit(statistics[: len(train)])
    threshold = baseline.threshold()
    scores = baseline.score(statistics[len(train) :])
    return [
        ScoredClip(clip, float(s), int(s > threshold), threshold=threshold)
        for clip, s in zip(test, scores, strict=True)
    ]


def log_mel_statistics(frames: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return mean and standard deviation over time of each band  # [frames, bands] -> [2 bands]."""
    wide = frames.astype(np.float64)
    return np.concatenate([wide.mean(axis=0), wide.std(axis=0)])
