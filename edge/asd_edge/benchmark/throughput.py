"""The cost of a second of sound: a window recomputed for every score, and the network running with the sound."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_edge.dsp.front_end import FrontEnd
from asd_edge.dsp.segments import SegmentSpec
from asd_edge.engines.embedder import StreamEmbedder
from asd_edge.pipeline import Pipeline, SegmentStreams
from asd_edge.timing import Time, in_turns

WINDOW_S = 10.0
Embed = Callable[[NDArray[np.float32]], object]
"""A network on one window: float32 [1, frames, bands] -> its embedding."""
Score = Callable[[], object]
"""One score, from sound on."""


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds for a second of one channel's sound, and their spread."""

    seconds: float
    deviation: float

    @property
    def channels(self) -> float:
        """Channels in real time on one core."""
        return 1.0 / self.seconds


def noise(seconds: float, rate: int, *, seed: int = 0) -> NDArray[np.float32]:
    """Return white noise of -26 dBFS, float32 [n]."""
    random = np.random.default_rng(seed)
    return (0.05 * random.standard_normal(round(seconds * rate))).astype(np.float32)


def window_frames(pipeline: Pipeline) -> int:
    """Frames of a window of ten seconds."""
    front_end = pipeline.front_end
    return (int(WINDOW_S * front_end.sample_rate) - front_end.window) // front_end.hop + 1


def recomputing(pipeline: Pipeline, embed: Embed) -> Score:
    """Return what a runtime does for a score that keeps nothing: front end and network over ten seconds."""
    front_end = FrontEnd(pipeline.front_end, pipeline.mel)
    samples = noise(WINDOW_S, pipeline.front_end.sample_rate)

    def score() -> object:
        features = front_end.advance([front_end.initial_state()], [samples])[0].features
        return embed(features[None])

    return score


def whole_window(embedder: StreamEmbedder) -> Embed:
    """Return a stream network run over a window from nothing: the arithmetic of a whole-window graph."""
    pasts = [past[None] for past in embedder.initial_pasts()]

    def embed(features: NDArray[np.float32]) -> object:
        heard, _ = embedder.advance(features, pasts)
        weights = np.exp(heard.logits - heard.logits.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)  # [1, frames, bands, heads]
        by_band, values = weights.transpose(0, 2, 3, 1), heard.features.transpose(0, 2, 1, 3)
        middle = values.mean(axis=2, keepdims=True)
        about = values - middle
        shift = by_band @ about
        return embedder.embed(middle + shift, by_band @ (about * about) - shift * shift)

    return embed


def whole_segments(pipeline: Pipeline) -> Score:
    """Return what a runtime that keeps nothing does for a score of a segment network: all of ten seconds anew."""
    streams, samples = SegmentStreams(pipeline), noise(WINDOW_S, pipeline.front_end.sample_rate)
    return lambda: streams.advance([streams.initial_state()], [samples])


def streaming(pipeline: Pipeline, *, channels: int, every: int) -> Score:
    """Return one advance of some channels by `every` frames, each of which completes an embedding.

    A stream network's covers ten seconds, to the nearest whole step; a segment network's is what it is.
    """
    streams = SegmentStreams(ten_seconds(pipeline, every))
    states = [streams.initial_state() for _ in range(channels)]
    hop, rate = pipeline.front_end.hop, pipeline.front_end.sample_rate
    blocks = [noise(every * hop / rate, rate, seed=channel) for channel in range(channels)]
    while not len(streams.advance(states, blocks)[0]):  # warm up and fill the window
        pass

    def advance() -> object:
        return streams.advance(states, blocks)

    return advance


def ten_seconds(pipeline: Pipeline, every: int) -> Pipeline:
    """Return a pipeline whose segments cover ten seconds, one every `every` frames; a segment network's as it is."""
    if not isinstance(pipeline.embedder, StreamEmbedder):
        return pipeline
    steps = round(window_frames(pipeline) / every)
    return replace(pipeline, segment=SegmentSpec(steps * every, every))


def compare(
    pipeline: Pipeline,
    recompute: Mapping[str, Score],
    every: Mapping[str, int],
    *,
    together: Sequence[int] = (1,),
    seconds: float,
) -> dict[str, dict[str, Cost]]:
    """Return the cost of a second of one channel's sound, all of it measured in one run.

    Args:
        pipeline: what runs with the sound.
        recompute: ways to make one score from ten seconds, by name.
        every: frames between scores, by name.
        together: by how many channels the stream is advanced.
        seconds: how long to measure.

    Returns:
        by name of `every`, the costs of each way to recompute, of "streaming" one channel, and of "streaming 16"
        together.
    """
    hop_s = pipeline.front_end.hop / pipeline.front_end.sample_rate
    things = {
        f"{name}, {channels}": streaming(pipeline, channels=channels, every=frames)
        for name, frames in every.items()
        for channels in together
    }
    times = in_turns({**recompute, **things}, seconds=seconds)
    costs = {}
    for name, frames in every.items():
        scores_a_second = 1.0 / (frames * hop_s)
        costs[name] = {way: cost_of(times[way], scores_a_second) for way in recompute}
        for channels in together:
            way = "streaming" if channels == 1 else f"streaming {channels}"
            costs[name][way] = cost_of(times[f"{name}, {channels}"], scores_a_second / channels)
    return costs


def cost_of(time: Time, times_a_second: float) -> Cost:
    """Return the cost of something that is done so many times for a second of sound."""
    return Cost(time.median * times_a_second, time.deviation * times_a_second)


def by_channels(pipeline: Pipeline, counts: tuple[int, ...], *, every: int, seconds: float) -> dict[int, Cost]:
    """Return the cost of a second of one channel's sound by how many channels are advanced together."""
    things = {str(count): streaming(pipeline, channels=count, every=every) for count in counts}
    hop_s = pipeline.front_end.hop / pipeline.front_end.sample_rate
    times = in_turns(things, seconds=seconds)
    return {count: cost_of(times[str(count)], 1.0 / (every * hop_s * count)) for count in counts}


def state_bytes(pipeline: Pipeline) -> int:
    """Return what is remembered of one channel, bytes: the most of any moment within a stream."""
    streams = SegmentStreams(pipeline)
    state = streams.initial_state()
    hop, rate = pipeline.front_end.hop, pipeline.front_end.sample_rate
    frames = 2 * pipeline.first_score_samples // hop  # the pooling's memory comes and goes within a segment
    most = 0
    for block in np.split(noise(frames * hop / rate, rate), frames):
        streams.advance([state], [block])
        owned: dict[int, int] = {}
        _weigh(state, owned)
        most = max(most, sum(owned.values()))
    return most


def _weigh(value: Any, owned: dict[int, int]) -> None:
    """Add the bytes of a state's arrays and numbers by identity: what is shared, or leads back, counts once."""
    if isinstance(value, np.ndarray):
        whole = _base(value)
        owned[id(whole)] = whole.nbytes
    elif id(value) in owned:
        return
    elif isinstance(value, (list, tuple)):
        owned[id(value)] = sys.getsizeof(value)
        for entry in value:
            _weigh(entry, owned)
    elif is_dataclass(value):
        owned[id(value)] = sys.getsizeof(value)
        for part in fields(value):
            _weigh(getattr(value, part.name), owned)
    else:
        owned[id(value)] = sys.getsizeof(value)


def _base(array: NDArray[Any]) -> NDArray[Any]:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array
