"""The contract of `Stage`, run over every streaming stage: one checker, many implementations."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from asd_edge.dsp.clip_spectrum import ClipSpectrum, ClipSpectrumSpec
from asd_edge.dsp.framing import Framing
from asd_edge.dsp.front_end import Frames, FrontEnd, FrontEndSpec
from asd_edge.dsp.level import Level
from asd_edge.dsp.resample import Resampler
from asd_edge.dsp.segments import Segmenter, SegmentSpec
from asd_edge.dsp.stage import Stage
from asd_edge.embedding.embedding import AnyEmbedding
from asd_edge.embedding.pooling import HeardFrames, SegmentPooling
from asd_edge.embedding.streamed import StreamedEmbedding
from asd_edge.engines.embedder import StreamEmbedder
from asd_edge.pipeline import Pipeline, SegmentStream
from asd_edge.scoring.aggregation import EmbeddedSegments, Windows, WindowSpec
from tests.contracts.embedding_stage import EmbeddingStage
from tests.edge.tiny_bundle import STREAMED, make_tiny_bundle
from tests.golden import tiny_stream

Columns = dict[str, NDArray[Any]]  # name → one row an output item

# A matrix product over few rows may add in another order than one over many: measured 3.8e-6 dB on log-mel and
# 1e-6 relative on linear values. Everything before the product is compared bit for bit.
PRODUCT_DB = 1e-4
PRODUCT_RELATIVE = 1e-5


@dataclass(frozen=True)
class Case:
    """How the checker makes, feeds and reads one stage."""

    make: Callable[[], Stage[Any, Any, Any]]
    items: Callable[[int, int], Any]  # (count, seed)
    cut: Callable[[Any, int, int], Any]
    poison: Callable[[Any, int], None]  # every item from an index on becomes NaN, in place
    columns: Callable[[Any], Columns]
    starts_at: Callable[[int], int]  # the item at which output j starts
    length: int
    tolerance: dict[str, float] = field(default_factory=dict)  # absolute


def noise(count: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(count).astype(np.float32)


def cut_samples(samples: NDArray[np.float32], start: int, stop: int) -> NDArray[np.float32]:
    return samples[start:stop]


def poison_samples(samples: NDArray[np.float32], start: int) -> None:
    samples[start:] = np.nan


def frames(count: int, seed: int) -> Frames:
    return Frames(0, noise(count * 5, seed).reshape(count, 5), noise(count, seed + 1) ** 2, noise(count, seed + 2) ** 2)


def cut_frames(items: Frames, start: int, stop: int) -> Frames:
    part = slice(start, stop)
    return Frames(items.first + start, items.features[part], items.power[part], items.high_power[part])


def poison_frames(items: Frames, start: int) -> None:
    for values in (items.features, items.power, items.high_power):
        values[start:] = np.nan


def numbered(first: int, columns: Columns) -> Columns:
    count = len(next(iter(columns.values())))
    return {"index": np.arange(first, first + count), **columns}


def frame_columns(given: Frames) -> Columns:
    return numbered(given.first, {"features": given.features, "power": given.power, "high_power": given.high_power})


SMALL = {"window": 64, "hop": 24, "mels": 8, "stop_hz": 3000.0, "pass_hz": 5000.0}
PRODUCTS = {"power": PRODUCT_RELATIVE, "high_power": PRODUCT_RELATIVE}  # of white noise of variance 1


def front_end(**changes: Any) -> Case:
    spec = FrontEndSpec(**(SMALL | changes))
    return Case(
        make=lambda: FrontEnd(spec),
        items=noise,
        cut=cut_samples,
        poison=poison_samples,
        columns=frame_columns,
        starts_at=lambda j: j * spec.hop,
        length=700,
        tolerance=PRODUCTS | ({"features": PRODUCT_DB} if spec.feature == "log_mel" else {}),
    )


def framing(window: int, hop: int) -> Case:
    return Case(
        make=lambda: Framing(window, hop),
        items=noise,
        cut=cut_samples,
        poison=poison_samples,
        columns=lambda given: numbered(given.first, {"samples": given.samples}),
        starts_at=lambda j: j * hop,
        length=200,
    )


def segmenter(spec: SegmentSpec) -> Case:
    return Case(
        make=lambda: Segmenter(spec, bands=5),
        items=frames,
        cut=cut_frames,
        poison=poison_frames,
        columns=lambda given: {
            "index": given.first_frame,
            "features": given.features,
            "power": given.power,
            "high_power": given.high_power,
        },
        starts_at=lambda j: j * spec.step,
        length=60,
    )


def clip_spectrum(spec: ClipSpectrumSpec) -> Case:
    return Case(
        make=lambda: ClipSpectrum(spec),
        items=noise,
        cut=cut_samples,
        poison=poison_samples,
        columns=lambda given: {"index": given.first_sample, "magnitudes": given.magnitudes},
        starts_at=lambda j: j * spec.every,
        length=200,
    )


def resampler(in_rate: int, out_rate: int) -> Case:
    return Case(
        make=lambda: Resampler(in_rate, out_rate),
        items=noise,
        cut=cut_samples,
        poison=poison_samples,
        columns=lambda given: {"samples": given},
        starts_at=lambda j: j * in_rate // out_rate,
        length=2500,
        tolerance={"samples": PRODUCT_RELATIVE},
    )


def segments(count: int, seed: int) -> EmbeddedSegments:
    rows = noise(count * 3, seed).reshape(count, 3)
    return EmbeddedSegments(np.arange(count, dtype=np.int64), rows, noise(count, seed + 1), noise(count, seed + 2))


def poison_segments(items: EmbeddedSegments, start: int) -> None:
    for values in (items.embeddings, items.power, items.high_power):
        values[start:] = np.nan


def windows(spec: WindowSpec) -> Case:
    def columns(given: list[EmbeddedSegments]) -> Columns:
        return {
            "first": np.array([window.first_frame for window in given], dtype=np.int64).reshape(-1, spec.segments),
            "rows": np.array([window.embeddings for window in given], dtype=np.float32).reshape(-1, spec.segments, 3),
            "power": np.array([window.power for window in given], dtype=np.float32).reshape(-1, spec.segments),
        }

    return Case(
        make=lambda: Windows(spec),
        items=segments,
        cut=lambda items, start, stop: items[start:stop],
        poison=poison_segments,
        columns=columns,
        starts_at=lambda j: j * spec.every,
        length=40,
    )


def heard_frames(count: int, seed: int) -> HeardFrames:
    features = np.abs(noise(count * 24, seed)).reshape(count, 3, 8)
    logits = 5.0 * noise(count * 6, seed + 1).reshape(count, 3, 2)
    return HeardFrames(0, features, logits, noise(count, seed + 2) ** 2, noise(count, seed + 3) ** 2)


def cut_heard(items: HeardFrames, start: int, stop: int) -> HeardFrames:
    part = slice(start, stop)
    return HeardFrames(
        items.first + start, items.features[part], items.logits[part], items.power[part], items.high_power[part]
    )


def poison_heard(items: HeardFrames, start: int) -> None:
    for values in (items.features, items.logits, items.power, items.high_power):
        values[start:] = np.nan


def pooling(spec: SegmentSpec) -> Case:
    names = ("mean", "variance", "power", "high_power")
    return Case(
        make=lambda: SegmentPooling(spec, (3, 2, 8)),
        items=heard_frames,
        cut=cut_heard,
        poison=poison_heard,
        columns=lambda given: {"index": given.first_frame} | {name: getattr(given, name) for name in names},
        starts_at=lambda j: j * spec.step,
        length=80,
    )


def log_mel(count: int, seed: int) -> Frames:
    features = -40.0 + 15.0 * noise(count * 128, seed).reshape(count, 128)
    return Frames(0, features, noise(count, seed + 1) ** 2, noise(count, seed + 2) ** 2)


def embedding(make: Callable[[], AnyEmbedding], warm_up: int, step: int, length: int) -> Case:
    names = ("embeddings", "power", "high_power")
    return Case(
        make=lambda: EmbeddingStage(make()),
        items=log_mel,
        cut=cut_frames,
        poison=poison_frames,
        columns=lambda given: {"index": given.first_frame} | {name: getattr(given, name) for name in names},
        starts_at=lambda j: warm_up + j * step,
        length=length,
        # A run over few frames may add in another order than one over many.
        tolerance={"embeddings": PRODUCT_RELATIVE},
    )


@cache
def tiny_pipeline(embedder: str) -> Pipeline:
    with tempfile.TemporaryDirectory() as folder:
        changes = STREAMED if embedder == "stream" else {}
        return make_tiny_bundle(Path(folder) / "tiny.asd", **changes).pipeline()


def streamed() -> AnyEmbedding:
    embedder = tiny_pipeline("stream").embedder
    assert isinstance(embedder, StreamEmbedder)
    return StreamedEmbedding(embedder, SegmentSpec(frames=12, step=4), 128)


class TwoInputs:
    """What a network of two inputs is given, as it is: the mean frame, and the spectrum in four bands."""

    dims = 12

    def embed(self, features: NDArray[np.float32], spectra: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        assert spectra is not None
        bands = spectra.reshape(len(spectra), 4, 29).mean(axis=2)
        return np.concatenate([features.mean(axis=1), bands], axis=1)


def with_spectra(level: Level) -> Case:
    front_end = FrontEndSpec(**SMALL)
    segment = SegmentSpec(frames=8, step=3, level=level, spectrum=True)  # of 232 samples, and as many bins as half
    pipeline = Pipeline(front_end, segment, WindowSpec(4), "mean", TwoInputs())
    names = ("embeddings", "power", "high_power")
    return Case(
        make=lambda: SegmentStream(pipeline),
        items=noise,
        cut=cut_samples,
        poison=poison_samples,
        columns=lambda given: {"index": given.first_frame} | {name: getattr(given, name) for name in names},
        starts_at=lambda j: j * segment.step * front_end.hop,
        length=700,
        tolerance=PRODUCTS | {"embeddings": PRODUCT_DB},
    )


CASES = {
    "framing with overlap": framing(16, 6),
    "framing without overlap": framing(7, 7),
    "framing of single samples": framing(1, 1),
    "front end, log-mel, Slaney": front_end(),
    "front end, log-mel, HTK": front_end(mel_scale="htk"),
    "front end, magnitude": front_end(feature="magnitude"),
    "front end, odd window": front_end(window=63),
    "segmenter with overlap": segmenter(SegmentSpec(frames=8, step=3)),
    "segmenter without overlap": segmenter(SegmentSpec(frames=4, step=4)),
    "clip spectrum with overlap": clip_spectrum(ClipSpectrumSpec(samples=48, every=10, bins=24)),
    "clip spectrum without overlap": clip_spectrum(ClipSpectrumSpec(samples=31, every=31, bins=16)),
    "windows with overlap": windows(WindowSpec(segments=5, every=2)),
    "windows without overlap": windows(WindowSpec(segments=4, every=4)),
    "pooling with overlap": pooling(SegmentSpec(frames=12, step=3)),
    "pooling without overlap": pooling(SegmentSpec(frames=5, step=5)),
    "network with the sound": embedding(streamed, tiny_stream.REACH, step=4, length=60),
    "network on whole segments": embedding(tiny_pipeline("segment").embedding, 0, step=32, length=260),
    "segments with their spectra": with_spectra("as_is"),
    "segments with their spectra, at one level": with_spectra("standardised"),
    "resampler 48000 to 16000": resampler(48_000, 16_000),
    "resampler 44100 to 16000": resampler(44_100, 16_000),
    "resampler 16000 to 24000": resampler(16_000, 24_000),
}

every_stage = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def run(case: Case, stage: Stage[Any, Any, Any], items: Any, cuts: list[int], *, flush: bool = True) -> Columns:
    """Push items cut at these places; return all columns, joined."""
    edges = [0, *sorted(cuts), case.length]
    given = [stage.push(case.cut(items, a, b)) for a, b in pairwise(edges)]
    if flush:
        given.append(stage.flush())
    return joined(case, given)


def joined(case: Case, given: list[Any]) -> Columns:
    parts = [case.columns(output) for output in given]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def assert_same(case: Case, found: Columns, expected: Columns) -> None:
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0.0, atol=case.tolerance.get(name, 0.0), err_msg=name)


def assert_identical(found: Columns, expected: Columns) -> None:
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def count_of(columns: Columns) -> int:
    return len(next(iter(columns.values())))


@every_stage
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_partition_gives_the_same_output(case: Case, data: st.DataObject) -> None:
    items = case.items(case.length, 1)
    cuts = data.draw(st.lists(st.integers(0, case.length), max_size=12))  # equal cuts make blocks of nothing
    assert_same(case, run(case, case.make(), items, cuts), run(case, case.make(), items, []))


@every_stage
def test_item_by_item_gives_the_same_output_and_the_checker_sees_some(case: Case) -> None:
    items = case.items(case.length, 1)
    whole = run(case, case.make(), items, [])
    assert count_of(whole) > 5
    assert_same(case, run(case, case.make(), items, list(range(case.length))), whole)


@every_stage
@pytest.mark.parametrize("end", ["reset", "flush"])
def test_a_stage_that_was_reset_or_flushed_equals_a_new_one(case: Case, end: str) -> None:
    used = case.make()
    rubbish = case.items(case.length, 2)
    case.poison(rubbish, case.length // 2)
    used.push(rubbish)
    getattr(used, end)()
    items = case.items(case.length, 1)
    cuts = [case.length // 3]
    assert_identical(run(case, used, items, cuts), run(case, case.make(), items, cuts))


@every_stage
def test_everything_remembered_is_in_the_state(case: Case) -> None:
    items, half = case.items(case.length, 1), case.length // 2
    first, second = case.make(), case.make()
    assert is_dataclass(first.initial_state())
    early = first.push(case.cut(items, 0, half))
    second.push(case.items(half, 3))  # another past, which must not matter
    second._state = first._state
    late = second.push(case.cut(items, half, case.length))
    expected = run(case, case.make(), items, [half], flush=False)
    assert_identical(joined(case, [early, late]), expected)


@every_stage
def test_declared_latency_is_the_measured_one(case: Case) -> None:
    stage, items = case.make(), case.items(case.length, 1)
    waits: list[int] = []
    for taken in range(1, case.length + 1):
        given = count_of(case.columns(stage.push(case.cut(items, taken - 1, taken))))
        waits += [taken - case.starts_at(len(waits) + j) for j in range(given)]
    assert max(waits) == stage.latency


@every_stage
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_nan_in_the_future_never_leaks_into_the_past(case: Case, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, case.length))
    clean, poisoned = case.items(case.length, 1), case.items(case.length, 1)
    case.poison(poisoned, at)
    stage = case.make()
    expected = run(case, case.make(), clean, [], flush=False)
    found = run(case, stage, poisoned, [], flush=False)
    assert count_of(found) == count_of(expected)
    complete = [j for j in range(count_of(expected)) if case.starts_at(j) + stage.latency <= at]
    past = slice(0, len(complete))
    assert_same(case, {name: v[past] for name, v in found.items()}, {name: v[past] for name, v in expected.items()})


@every_stage
def test_results_are_never_written_to_again_and_inputs_never_looked_at_again(case: Case) -> None:
    items, half = case.items(case.length, 1), case.length // 2
    stage = case.make()
    block = case.cut(case.items(case.length, 1), 0, half)
    early = case.columns(stage.push(block))
    kept = {name: values.copy() for name, values in early.items()}
    case.poison(block, 0)
    late = stage.push(case.cut(items, half, case.length))
    assert_identical(
        {name: np.concatenate([kept[name], v]) for name, v in case.columns(late).items()},
        run(case, case.make(), items, [half], flush=False),
    )
    assert_identical(early, kept)


@every_stage
def test_memory_does_not_grow_with_the_stream(case: Case) -> None:
    stage, items = case.make(), case.items(20 * case.length, 1)
    for start in range(0, 20 * case.length, case.length):
        stage.push(case.cut(items, start, start + case.length))
    item_bytes = memory_of(items) / (20 * case.length)
    assert memory_of(stage._state) <= 2 * stage.latency * item_bytes


def memory_of(value: Any) -> int:
    """Bytes of the arrays in a dataclass or array, with what their views keep alive."""
    if isinstance(value, np.ndarray):
        return int(value.nbytes if value.base is None else value.base.nbytes)
    return sum(memory_of(getattr(value, entry.name)) for entry in fields(value)) if is_dataclass(value) else 0
