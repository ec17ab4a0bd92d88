"""A corpus: what a network learns from, as one array from which batches of crops are cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_RESIDENT = 0.5  # of the GPU's free memory that a corpus may take; the rest is for the network and its batches
_CHUNK = 1 << 14  # rows of a sum at a time


class Statistics(NamedTuple):
    """Of each band over all frames: `mean` and `deviation`, float32 [bands]."""

    mean: Tensor
    deviation: Tensor


class Corpus:
    """The rows of many clips: frames of features, or samples.

    The rows are mapped from the disk, where they may be more than memory holds, or lie on the GPU: batches are the
    same. Clips keep the order they were given in.

    Args:
        rows: of all clips, float32 [total, *shape]; shape is (bands,) for frames and () for samples.
        firsts: row at which each clip begins, int64 [clips].
        lengths: rows of each clip, int64 [clips].
        device: where batches are handed out.
    """

    def __init__(
        self, rows: Tensor, firsts: NDArray[np.int64], lengths: NDArray[np.int64], device: torch.device
    ) -> None:
        self.rows = rows
        self.firsts = firsts
        self.lengths = lengths
        self.device = device

    @classmethod
    def of_rows(cls, rows: NDArray[np.float32], lengths: Sequence[int]) -> Corpus:
        """Return the corpus of clips that lie one after the other in `rows`, on the CPU."""
        counts = np.asarray(lengths, np.int64)
        return cls(torch.from_numpy(rows), np.cumsum(counts) - counts, counts, torch.device("cpu"))

    @classmethod
    def of_clips(cls, clips: Sequence[NDArray[np.float32]]) -> Corpus:
        """Return the corpus of a few clips in memory, [length, *shape] each."""
        return cls.of_rows(np.concatenate(clips), [len(clip) for clip in clips])

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def resident(self) -> bool:
        """Whether the rows lie where batches are handed out, so that none of them is copied there."""
        return self.rows.device == self.device

    def subset(self, clips: NDArray[np.int64]) -> Corpus:
        """Return these clips alone, in this order, int64 [n]; their rows are not copied."""
        return Corpus(self.rows, self.firsts[clips], self.lengths[clips], self.device)

    def clip(self, index: int) -> Tensor:
        """Return all rows of one clip, [length, *shape], where they lie."""
        first = int(self.firsts[index])
        return self.rows[first : first + int(self.lengths[index])]

    def to(self, device: torch.device) -> Corpus:
        """Return the corpus that hands out its batches on `device`.

        The rows move there if they take at most half of a GPU's free memory; else each batch is copied when it is cut.
        """
        if device.type != "cuda":
            return Corpus(self.rows, self.firsts, self.lengths, device)
        size = self.rows.element_size() * self.rows[:1].numel() * int(self.lengths.sum())
        if size > _RESIDENT * torch.cuda.mem_get_info(device)[0]:
            return Corpus(self.rows, self.firsts, self.lengths, device)
        rows = torch.empty((int(self.lengths.sum()), *self.rows.shape[1:]), device=device)
        firsts = np.cumsum(self.lengths) - self.lengths
        for index, first in enumerate(firsts.tolist()):  # of a subset only its own clips
            rows[first : first + int(self.lengths[index])] = self.clip(index)
        return Corpus(rows, firsts, self.lengths, rows.device)

    def cut(self, clips: NDArray[np.int64], starts: NDArray[np.int64], length: int) -> Tensor:
        """Cut `length` rows from each clip, from its row `starts` on.

        Args:
            clips: int64 [batch], any order, also repeatedly.
            starts: int64 [batch].
            length: rows of a crop, at least 1.

        Returns:
            float32 [batch, length, *shape] on the device of this corpus.

        Raises:
            ValueError: a crop that is not within its clip.
        """
        outside = (starts < 0) | (starts + length > self.lengths[clips]) | (length < 1)
        if outside.any():
            clip, start = clips[outside][0], starts[outside][0]
            raise ValueError(f"no rows {start} to {start + length} in clip {clip}, which has {self.lengths[clip]}")
        if len(clips) == 0:
            return torch.empty((0, length, *self.rows.shape[1:]), device=self.device)
        # All crops that there could be, as a view in which neighbours overlap.
        crops = self.rows.as_strided(
            (len(self.rows) - length + 1, length, *self.rows.shape[1:]),
            (self.rows.stride(0), *self.rows.stride()),
        )
        indices = torch.from_numpy(self.firsts[clips] + starts).to(self.rows.device)
        if self.resident:
            return crops.index_select(0, indices)
        pinned = torch.empty((len(clips), *crops.shape[1:]), pin_memory=self.device.type == "cuda")
        return torch.index_select(crops, 0, indices, out=pinned).to(self.device, non_blocking=True)

    def statistics(self) -> Statistics:
        """Return mean and standard deviation of each band over all frames of these clips.

        Computed clip by clip in double precision: of a mapped corpus only a few frames are in memory at a time.

        Raises:
            ValueError: no frames at all.
        """
        rows = (self.clip(index) for index in range(len(self)))
        return statistics_of(clip[start : start + _CHUNK] for clip in rows for start in range(0, len(clip), _CHUNK))


def statistics_of(parts: Iterable[Tensor]) -> Statistics:
    """Return mean and standard deviation of each band over frames that come in parts, [frames, bands] each.

    Raises:
        ValueError: no frames at all.
    """
    count, total, squares = 0, torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    for part in parts:
        values = part.double()
        count += len(values)
        total = total.to(values.device) + values.sum(dim=0)
        squares = squares.to(values.device) + values.square().sum(dim=0)
    if count == 0:
        raise ValueError("no frames have no mean")
    mean = total / count
    deviation = (squares / count - mean.square()).clamp_min(0.0).sqrt()
    return Statistics(mean.float().cpu(), deviation.float().cpu())
