"""Windows of frames minus what stays the same in them."""

from __future__ import annotations

import numpy as np

from asd_edge.dsp.front_end import Frames
from asd_edge.dsp.segments import Segmenter, SegmenterState, Segments, SegmentSpec

# What ten seconds give with frames of 1024 samples every 512 and no padding; the next window 0.992 s later.
CLIP_FRAMES = SegmentSpec(frames=311, step=31)


class MeanNormaliser(Segmenter):
    """Frames of `bands` features in, overlapping windows out, each minus its own temporal mean per band.

    The windows are `Segments`: `features` float32 [windows, frames, bands], `first_frame`, and the powers of the
    frames as they came. The mean is taken anew from every window, so that it cannot drift.
    """

    def __init__(self, spec: SegmentSpec = CLIP_FRAMES, bands: int = 513) -> None:
        super().__init__(spec, bands)

    # Y_{t,k} = |X_{t,k}| − 1/F · Σ_{s<F} |X_{s,k}| over the F frames of the window: temporal mean normalisation
    # (Wilkinghoff, ICASSP 2023, input of table 1). Sum and difference in double precision, rounded once.
    def advance(self, state: SegmenterState, taken: Frames) -> Segments:
        """Take the next frames of one channel, any number of them; return the windows they complete, as `push` does.

        Raises:
            ValueError: frames of another width, or frames that do not follow those before.
        """
        windows = super().advance(state, taken)
        for features in windows.features:
            features -= features.mean(axis=0, dtype=np.float64)
        return windows
