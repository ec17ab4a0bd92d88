"""What an epoch learns from: which crops, in which order, with which labels, mixed with whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.clip import Clip
from ..features.corpus import Corpus
from ..labels import LabelSet
from ..mixup import draw_mixing
from ..objectives.objective import Batch
from ..recipe.training import Labels, Training
from .inputs import Inputs

Plan = NDArray[np.int64]
"""Crops in the order in which they are learned from: (clip, first row), int64 [crops, 2]."""


@dataclass(frozen=True)
class Share:
    """Which part of every batch this process takes: number `rank` of `world`."""

    rank: int = 0
    world: int = 1


WHOLE = Share()


class Batches:
    """Cuts crops from a corpus and labels them; an epoch is the same whatever came before, as a resume needs it.

    Args:
        clips: those of the corpus, in its order.
        corpus: their features or samples; every clip is at least a crop long.
        inputs: what becomes of a cut.
        labels: label sets of the clips, by what makes a class.
        training: the recipe's table.
        seed: of order, places and mixing.
        against: machine type that is to be told from all others: half of every batch is of it.
        share: of this process.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        corpus: Corpus,
        inputs: Inputs,
        labels: Mapping[Labels, LabelSet],
        training: Training,
        *,
        seed: Sequence[int],
        against: str | None = None,
        share: Share = WHOLE,
    ) -> None:
        self._corpus, self._inputs, self._labels, self._training = corpus, inputs, labels, training
        self._seed, self._share = tuple(seed), share
        _, self._machines = np.unique([clip.machine for clip in clips], return_inverse=True)
        self._own = None if against is None else np.array([clip.machine == against for clip in clips])

    def count(self) -> int:
        """Return how many batches an epoch has."""
        return len(self._cut_up(self._plan(np.random.default_rng(0))))

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield the batches of epoch `number` (from 0); of each this process's share."""
        plan = self._plan(np.random.default_rng([*self._seed, number]))
        for index, crops in enumerate(self._cut_up(plan)):
            generator = np.random.default_rng([*self._seed, number, index, self._share.rank])
            yield self._batch(crops[self._share.rank :: self._share.world], generator)

    def _batch(self, crops: Plan, generator: np.random.Generator) -> Batch:
        clips = crops[:, 0]
        machines = self._machines[clips]
        mixing = draw_mixing(machines, self._training.mixup, generator)
        made = self._inputs(self._corpus.cut(clips, crops[:, 1], self._inputs.length), mixing)
        targets: dict[str, Tensor] = {name: labels.targets(clips) for name, labels in self._labels.items()}
        if mixing is not None:
            targets = {name: mixing.of(target) for name, target in targets.items()}
        return Batch(made.features, made.spectrum, targets, torch.from_numpy(machines), made.mixing)

    def _plan(self, generator: np.random.Generator) -> Plan:
        crops = generator.permutation(self._crops(generator))
        if self._own is None:
            return crops
        of_own = self._own[crops[:, 0]]
        own, others = np.asarray(crops[of_own]), np.asarray(crops[~of_own])
        if len(others) == 0:
            return own
        alternating = np.stack([own, others[np.arange(len(own)) % len(others)]], axis=1)
        return np.asarray(alternating.reshape(-1, 2))

    def _crops(self, generator: np.random.Generator) -> Plan:
        """Return the crops of an epoch clip by clip: one at a random place, or one at every step."""
        hop, every = self._inputs.hop, self._training.crops.every
        places = (self._corpus.lengths - self._inputs.length) // hop + 1  # [clips]
        if every == 0:
            return np.asarray(np.stack([np.arange(len(places)), hop * generator.integers(0, places)], axis=1))
        starts = [hop * np.arange(0, count, every) for count in places]
        clips = np.repeat(np.arange(len(places)), [len(each) for each in starts])
        return np.asarray(np.stack([clips, np.concatenate(starts)], axis=1))

    def _cut_up(self, crops: Plan) -> list[Plan]:
        """Cut into batches of which every process has an equal share.

        Of the last one what does not divide is left out, and all of it where a share would be a single crop, for batch
        norm has nothing to average there.
        """
        size, world = self._training.batch, self._share.world
        batches = [crops[i : i + size] for i in range(0, len(crops), size)]
        return [batch[: len(batch) // world * world] for batch in batches if len(batch) // world > 1]
