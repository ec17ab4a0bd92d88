"""Attributes for clips that have none: clips of one machine that sound alike are taken for one operating condition."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..data.clip import Clip
from .corpus import Corpus

Spectra = NDArray[np.float32]  # [clips, bands]

LEAST_SILHOUETTE: Final = 0.25
"""Below it there is "no substantial structure" (Kaufman and Rousseeuw, Finding Groups in Data, 1990, table 4)."""

NEIGHBOURS: Final = 21
"""Bands of the running mean: 500 Hz of 320 bands to 8 kHz."""

CLIPS_A_CLUSTER: Final = 4
"""On average, at least: a label of fewer keeps none out for calibration, and tells little of how its sound varies."""


def pseudo_labels(clips: Sequence[Clip], corpus: Corpus, *, most: int, seed: int) -> dict[str, str]:
    """Return attributes for the clips of every machine, section and domain where no clip has any.

    Args:
        clips: training normals.
        corpus: their log spectra, in the same order.
        most: clusters that are tried, at most.
        seed: of the clustering.

    Returns:
        By clip key `cluster_0` and so on; nothing where the clips do not fall into clusters.
    """
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, clip in enumerate(clips):
        groups[clip.unit, clip.domain].append(i)
    found: dict[str, str] = {}
    for members in groups.values():
        if any(clips[i].attributes for i in members):
            continue
        spectra = np.stack([corpus.clip(i).mean(dim=0).numpy() for i in members])
        numbers = clusters(spectra, most=most, seed=seed)
        if numbers.any():
            found |= {clips[i].key: f"cluster_{number}" for i, number in zip(members, numbers, strict=True)}
    return found


def labelled(clips: Iterable[Clip], labels: Mapping[str, str]) -> list[Clip]:
    """Return the clips, those of the training with the attributes that were found for them."""
    return [replace(c, attributes=labels[c.key]) if c.split == "train" and c.key in labels else c for c in clips]


# k-means of the detail of the mean log spectra: how far each band stands out among its neighbours. Level, background
# and place of the microphone change from clip to clip and move neighbours alike; lines and resonances tell conditions.
# Of all numbers of clusters the one with the largest mean silhouette (Rousseeuw, J. Comput. Appl. Math. 20, 1987).
def clusters(spectra: Spectra, *, most: int, seed: int) -> NDArray[np.int64]:
    """Return the cluster of each clip, all 0 where no number of clusters up to `most` divides them clearly."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    details = np.stack([spectrum - _smooth(spectrum) for spectrum in spectra])
    best, chosen = LEAST_SILHOUETTE, np.zeros(len(spectra), dtype=np.int64)
    for count in range(2, min(most, len(spectra) // CLIPS_A_CLUSTER) + 1):
        numbers = KMeans(count, n_init=10, random_state=seed).fit_predict(details)
        if len(np.unique(numbers)) > 1 and (clearness := float(silhouette_score(details, numbers))) > best:
            best, chosen = clearness, numbers.astype(np.int64)
    return chosen


def _smooth(spectrum: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the running mean over bands; at the edges of those that are there."""
    ones = np.ones(min(NEIGHBOURS, len(spectrum)))
    return np.asarray(np.convolve(spectrum, ones, "same") / np.convolve(np.ones(len(spectrum)), ones, "same"))
