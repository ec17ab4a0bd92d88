"""Segments that come with the spectrum of their samples, and segments at one level: against scipy and the front end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import scipy.fft
from numpy.typing import NDArray

from asd_edge.dsp.front_end import FrontEnd, FrontEndSpec
from asd_edge.dsp.segments import SegmentSpec
from asd_edge.pipeline import ChannelState, Pipeline, SegmentStream, SegmentStreams
from asd_edge.scoring.aggregation import EmbeddedSegments, WindowSpec

HOP, STEP, FRAMES = 24, 3, 8
SAMPLES = (FRAMES - 1) * HOP + 64
BINS = SAMPLES // 2
FRONT_END = FrontEndSpec(window=64, hop=HOP, mels=8, stop_hz=3000.0, pass_hz=5000.0)
SEGMENT = SegmentSpec(frames=FRAMES, step=STEP, spectrum=True)

# A matrix product over few rows may add in another order than one over many (tests/contracts/test_stage.py).
PRODUCT_DB = 1e-4
# The front end takes spectra and logarithms in single precision, so what a factor changes is rounded: a few 2⁻²⁴
# of 100 dB.
SINGLE_DB = 1e-4
SINGLE = 5e-6  # of the largest magnitude


@dataclass(frozen=True)
class AsGiven:
    """An embedder that gives its inputs back: all frames, then the spectrum if there is one."""

    dims: int

    def embed(self, features: NDArray[np.float32], spectra: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        rows = features.reshape(len(features), -1)
        return rows if spectra is None else np.concatenate([rows, spectra], axis=1)


def pipeline(**changes: Any) -> Pipeline:
    segment = replace(SEGMENT, **changes)
    return Pipeline(FRONT_END, segment, WindowSpec(4), "mean", AsGiven(FRAMES * FRONT_END.bands + BINS))


def sound(count: int, seed: int = 1) -> NDArray[np.float32]:
    return (0.1 * np.random.default_rng(seed).standard_normal(count)).astype(np.float32)


def spectra_of(given: EmbeddedSegments) -> NDArray[np.float32]:
    return given.embeddings[:, FRAMES * FRONT_END.bands :]


def frames_of(given: EmbeddedSegments) -> NDArray[np.float32]:
    return given.embeddings[:, : FRAMES * FRONT_END.bands].reshape(len(given), FRAMES, -1)


def test_a_segment_comes_with_the_spectrum_of_exactly_its_samples() -> None:
    samples = sound(2000)
    given = SegmentStream(pipeline()).push(samples)
    starts = given.first_frame * HOP
    assert starts.tolist() == list(range(0, 2000 - SAMPLES + 1, STEP * HOP))
    for start, found in zip(starts, spectra_of(given), strict=True):
        expected = np.abs(scipy.fft.rfft(samples[start : start + SAMPLES].astype(np.float64)))[:BINS]
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-12)  # double precision, rounded once


def test_channels_in_any_company_get_what_they_get_alone() -> None:
    streams = SegmentStreams(pipeline())
    channels = [sound(3000, seed) for seed in (1, 2, 3)]
    sizes = [[0, 700, 1, 2299], [3000, 0, 0, 0], [10, 490, 1500, 1000]]
    cuts = [np.split(samples, np.cumsum(size)[:-1]) for samples, size in zip(channels, sizes, strict=True)]
    states = [streams.initial_state() for _ in channels]
    rounds = [streams.advance(states, blocks) for blocks in zip(*cuts, strict=True)]
    for i, samples in enumerate(channels):
        found = rounds[0][i]
        for later in rounds[1:]:
            found = found.joined(later[i])
        alone = SegmentStream(pipeline()).push(samples)
        assert len(alone) > 30
        np.testing.assert_array_equal(found.first_frame, alone.first_frame)
        np.testing.assert_array_equal(spectra_of(found), spectra_of(alone))
        np.testing.assert_allclose(frames_of(found), frames_of(alone), rtol=0.0, atol=PRODUCT_DB)


def test_a_channel_that_restarts_or_gives_no_numbers_touches_no_other_and_begins_anew() -> None:
    streams = SegmentStreams(pipeline())
    broken, steady = streams.initial_state(), streams.initial_state()
    blocks = np.split(sound(1200), 4)
    found = [streams.advance([steady, broken], [block, np.full_like(block, np.nan)])[0] for block in blocks[:2]]
    anew: ChannelState = streams.initial_state()  # as a detector does after a gap
    late = [streams.advance([steady, anew], [block, block]) for block in blocks[2:]]
    alone = SegmentStream(pipeline()).push(sound(1200))
    np.testing.assert_array_equal(
        np.concatenate([spectra_of(g) for g in (*found, *(pair[0] for pair in late))]), spectra_of(alone)
    )
    begun = SegmentStream(pipeline()).push(np.concatenate(blocks[2:]))
    np.testing.assert_array_equal(np.concatenate([spectra_of(pair[1]) for pair in late]), spectra_of(begun))


def test_a_block_that_is_refused_changes_no_ring() -> None:
    streams = SegmentStreams(pipeline())
    states = [streams.initial_state(), streams.initial_state()]
    with pytest.raises(ValueError, match="one dimension"):
        streams.advance(states, [sound(300), np.zeros((300, 2), np.float32)])
    assert [state.spectrum.heard for state in states if state.spectrum is not None] == [0, 0]


def deviation(samples: NDArray[np.float32], given: EmbeddedSegments, j: int) -> float:
    """Square root of segment j's power, which the level is measured by."""
    assert given.power[j] == pytest.approx(samples.var(), rel=0.35)  # by the window's weights, so only about
    return float(np.sqrt(given.power[j]))


@pytest.mark.parametrize("feature", ["log_mel", "magnitude"])
def test_a_standardised_segment_is_that_of_the_sound_divided_by_its_deviation(feature: Any) -> None:
    front_end = replace(FRONT_END, feature=feature)
    embedder = AsGiven(FRAMES * front_end.bands + BINS)
    subject = Pipeline(front_end, replace(SEGMENT, level="standardised"), WindowSpec(4), "mean", embedder)
    samples = sound(SAMPLES) + np.float32(0.25)
    given = SegmentStream(subject).push(samples)
    divided = samples.astype(np.float64) / deviation(samples, given, 0)
    expected = FrontEnd(front_end).push(divided.astype(np.float32)).features.ravel()
    spectrum = np.abs(scipy.fft.rfft(divided))[:BINS]
    found, found_spectrum = np.split(given.embeddings[0], [FRAMES * front_end.bands])
    scale = SINGLE_DB if feature == "log_mel" else SINGLE * expected.max()
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=scale)
    np.testing.assert_allclose(found_spectrum, spectrum, rtol=1e-6)


def test_loud_and_soft_are_one_when_standardised_and_apart_as_they_are() -> None:
    samples = sound(1000)
    for level, apart in (("as_is", 20.0), ("standardised", 0.0)):
        subject = pipeline(level=level, spectrum=False)
        loud, soft = (SegmentStream(subject).push(factor * samples) for factor in (np.float32(1.0), np.float32(0.1)))
        np.testing.assert_allclose(loud.embeddings - soft.embeddings, apart, atol=SINGLE_DB)
        assert soft.power[0] == pytest.approx(0.01 * loud.power[0])  # the weights and the idle floor see the level


def test_silence_has_no_deviation_and_stays_at_the_floor() -> None:
    given = SegmentStream(pipeline(level="standardised")).push(np.zeros(1000, np.float32))
    np.testing.assert_allclose(frames_of(given), 10.0 * np.log10(FRONT_END.log_floor))
    np.testing.assert_array_equal(spectra_of(given), 0.0)
