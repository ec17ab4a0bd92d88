"""The history of what was heard: what is written is read, whatever happens to writer, file and disk."""

from __future__ import annotations

import re
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asd_edge.detector import Detector
from asd_edge.errors import StateError
from asd_edge.events import WindowScore
from asd_edge.history.format import HEADER_BYTES, MOST_BYTES, HistoryLayout, Stretch
from asd_edge.history.reader import read_history
from asd_edge.history.writer import MOST_WAITING, MOST_WAITING_BYTES, HistoryWriter
from asd_edge.pipeline import SegmentStreams
from asd_edge.scoring.aggregation import EmbeddedSegments, Windows, score_window
from asd_edge.scoring.backends.reconstruction import Reconstruction
from asd_edge.scoring.decision import DecisionSpec
from asd_edge.sources.block import Block
from tests.edge.sound import RATE, WINDOW, conditions_of, noise, pipeline

DIMS = 16
KIND = "a" * 64
LAYOUT = HistoryLayout(KIND, DIMS, capacity=100, rate=16_000, hop=512)
STEP = 32  # frames from one segment to the next


def heard(first: int, count: int) -> EmbeddedSegments:
    """Segments number `first` and following of a stream; each is known by its number."""
    number = np.arange(first, first + count)
    embeddings = np.array([np.random.default_rng(n).standard_normal(DIMS) for n in number], np.float32)
    return EmbeddedSegments(
        number * STEP, embeddings.reshape(count, DIMS), number.astype(np.float32), (number / 2).astype(np.float32)
    )


def append(writer: HistoryWriter, first: int, count: int, *, origin: int = 0) -> None:
    writer.append(origin, heard(first, count), 1000.0 + np.arange(first, first + count))


def numbers(stretch: Stretch) -> list[int]:
    """Return the numbers of its segments, after a look at whether they are what `heard` gave."""
    number = stretch.segments.first_frame // STEP
    told = heard(int(number[0]), len(number))
    np.testing.assert_array_equal(stretch.segments.first_frame, told.first_frame)
    np.testing.assert_array_equal(stretch.segments.power, told.power)
    np.testing.assert_array_equal(stretch.segments.high_power, told.high_power)
    # Relative to 11 bits, or to the largest number where float16 has no more exponent.
    np.testing.assert_allclose(stretch.segments.embeddings, told.embeddings, rtol=2.0**-11, atol=1e-6)
    np.testing.assert_array_equal(stretch.times, 1000.0 + number)
    return list(number)


def read(path: Path, since: float | None = None) -> list[list[int]]:
    return [numbers(stretch) for stretch in read_history(path, KIND, since)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history" / "fan-1.bin"


@pytest.fixture
def writer(path: Path) -> Iterator[HistoryWriter]:
    made = HistoryWriter(path, LAYOUT)
    yield made
    made.close()


def test_nothing_was_heard_before_there_is_a_file(path: Path) -> None:
    assert read_history(path, KIND) == []


def test_what_is_flushed_is_read_with_its_samples_and_times(path: Path, writer: HistoryWriter) -> None:
    append(writer, 0, 3, origin=777)
    append(writer, 3, 0, origin=777)
    assert read_history(path, KIND) == []
    writer.flush()
    append(writer, 3, 4, origin=777)
    writer.flush()
    (stretch,) = read_history(path, KIND)
    assert numbers(stretch) == [0, 1, 2, 3, 4, 5, 6]
    np.testing.assert_array_equal(stretch.first_sample, 777 + np.arange(7) * STEP * 512)
    assert read(path, since=1004.0) == [[4, 5, 6]]
    assert read(path, since=1007.0) == []


@pytest.mark.parametrize("length", [1.0, 1e-7, 1e6])
def test_a_stored_embedding_is_as_far_from_a_centre_as_it_was(path: Path, length: float) -> None:
    # The eleven bits of float16 move each number by 2⁻¹¹ of it at most, so the vector by no more than that share of
    # its length, and its cosine distance to anything by 2⁻¹¹ sin(angle); 1e-6 is for numbers that nearly vanish.
    random = np.random.default_rng(5)
    embeddings = (length * random.standard_normal((90, 128))).astype(np.float32)
    centre = length * random.standard_normal(128) + 2.0 * embeddings[0].astype(np.float64)
    zeros = np.zeros(90, np.float32)
    writer = HistoryWriter(path, replace(LAYOUT, dims=128))
    writer.append(0, EmbeddedSegments(np.arange(90), embeddings, zeros, zeros), np.zeros(90))
    writer.close()
    (stretch,) = read_history(path, KIND)

    def cosines(vectors: np.ndarray) -> np.ndarray:
        wide = vectors.astype(np.float64)
        return wide @ centre / np.linalg.norm(wide, axis=1) / np.linalg.norm(centre)

    before, after = cosines(embeddings), cosines(stretch.segments.embeddings)
    assert np.all(np.abs(after - before) <= 2.0**-11 * np.sqrt(1.0 - before**2) + 1e-6)
    assert np.std(after - before) < 5e-5  # errors of 128 numbers mostly cancel


def test_residuals_keep_their_mahalanobis_distance_to_a_thousandth(path: Path) -> None:
    """Of 8384 numbers the rounding to 11 bits mostly cancels; the mean's are far smaller than the moments'."""
    random = np.random.default_rng(6)
    bands, (i, j) = np.arange(128), np.triu_indices(128)
    factor = np.linalg.cholesky(25.0 * 0.9 ** np.abs(np.subtract.outer(bands, bands)))  # dB², neighbours alike
    residuals = 0.2 + random.standard_normal((20, 300, 128)) @ factor.T
    moments = np.einsum("sni,snj->sij", residuals, residuals, optimize=True) / 300
    embeddings = np.concatenate([residuals.mean(axis=1), moments[:, i, j]], axis=1).astype(np.float32)
    zeros = np.zeros(20, np.float32)
    writer = HistoryWriter(path, replace(LAYOUT, dims=8384))
    writer.append(0, EmbeddedSegments(np.arange(20), embeddings, zeros, zeros), np.zeros(20))
    writer.close()
    (stretch,) = read_history(path, KIND)
    for backend in (Reconstruction(reading="mahalanobis"), Reconstruction(reading="mahalanobis_of_mean")):
        score = backend.scorer([backend.fit({"source": [embeddings]})])
        np.testing.assert_allclose(score(stretch.segments.embeddings), score(embeddings), rtol=1e-3)


def test_conditions_score_it_again_as_the_detector_did(path: Path) -> None:
    layout = HistoryLayout(KIND, 128, 1000, RATE, 512)
    writer = HistoryWriter(path, layout)

    def keep(origin: int, zero_time: float, segments: EmbeddedSegments) -> None:
        ends = origin + segments.first_frame * 512 + pipeline().segment_samples
        writer.append(origin, segments, zero_time + ends / RATE)

    known = conditions_of(noise(4.0), threshold=0.5)
    detector = Detector("fan-7", SegmentStreams(pipeline()), known, DecisionSpec(), keep)
    events = []
    for start in (5, 5 + 3 * RATE, 100 * RATE):  # the third block comes after a gap
        events += detector.process(Block(noise(3.0, seed=start), start, 1000.0 + start / RATE))
    writer.close()
    stretches = read_history(path, KIND)
    assert len(stretches) == 2
    scores = [event for event in events if isinstance(event, WindowScore)]
    windows = [(stretch, window) for stretch in stretches for window in Windows(WINDOW).push(stretch.segments)]
    assert len(windows) == len(scores) > 10
    for event, (stretch, window) in zip(scores, windows, strict=True):
        scored = score_window(window, known, "mean")
        assert scored is not None
        assert scored.score == pytest.approx(event.score, abs=2.0**-11)
        (at,) = np.flatnonzero(stretch.segments.first_frame == window.first_frame[0])
        assert stretch.first_sample[at] == event.start
        assert stretch.times[at + WINDOW.segments - 1] == event.time


def test_the_oldest_makes_room(path: Path, writer: HistoryWriter) -> None:
    for first in range(0, 250, 7):
        append(writer, first, min(7, 250 - first))
        writer.flush()
    assert read(path) == [list(range(150, 250))]
    assert path.stat().st_size == LAYOUT.size
    append(writer, 250, 330)
    writer.flush()
    assert read(path) == [list(range(480, 580))]


def test_no_stretch_spans_a_gap_or_a_restart(path: Path, writer: HistoryWriter) -> None:
    append(writer, 0, 3)
    append(writer, 0, 2, origin=200_000)  # the detector began anew after a gap
    append(writer, 2, 2, origin=200_000)
    writer.close()
    again = HistoryWriter(path, LAYOUT)
    append(again, 4, 2, origin=200_000)  # looks as if nothing had been between
    again.close()
    assert read(path) == [[0, 1, 2], [0, 1, 2, 3], [4, 5]]


@pytest.mark.parametrize("written", [1, 60, -1])
def test_a_torn_record_is_left_out(path: Path, writer: HistoryWriter, written: int) -> None:
    append(writer, 0, 9)
    writer.close()
    other = HistoryWriter(path.with_name("other.bin"), LAYOUT)
    append(other, 50, 9)
    other.close()
    begin, size = LAYOUT.place(5), LAYOUT.record.itemsize
    torn = other.path.read_bytes()[begin : begin + size][:written]
    with path.open("r+b") as file:
        file.seek(begin)
        file.write(torn)
    assert read(path) == [[0, 1, 2, 3], [5, 6, 7, 8]]


def test_after_a_torn_newest_record_the_one_before_is_gone_on_from(path: Path, writer: HistoryWriter) -> None:
    append(writer, 0, 5)
    writer.close()
    with path.open("r+b") as file:
        file.seek(LAYOUT.place(5) + 8)
        file.write(b"\xff" * 8)  # its number, as large as can be
    again = HistoryWriter(path, LAYOUT)
    append(again, 7, 2)
    again.close()
    assert read(path) == [[0, 1, 2, 3], [7, 8]]


KEEPS_WRITING = """
import sys
from pathlib import Path
from tests.edge.test_history import LAYOUT, HistoryWriter, append
writer = HistoryWriter(Path(sys.argv[1]), LAYOUT)
for number in range(10**9):
    append(writer, number, 1)
    writer.flush()
    if number == 150:
        print("going", flush=True)
"""


def test_of_a_writer_that_is_killed_whole_records_remain_and_the_next_goes_on(path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", KEEPS_WRITING, str(path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert child.stdout is not None
    with child:
        assert child.stdout.readline() == b"going\n"
        child.kill()
    assert child.returncode == -signal.SIGKILL
    (found,) = read(path)
    assert found == list(range(found[0], found[-1] + 1))
    assert len(found) >= LAYOUT.capacity - 1  # all but the one that may have been torn
    again = HistoryWriter(path, LAYOUT)
    append(again, 0, 2)
    again.close()
    assert read(path) == [found[-(LAYOUT.capacity - 2) :], [0, 1]]


def test_it_can_be_read_while_it_is_written(path: Path, writer: HistoryWriter) -> None:
    append(writer, 0, 1)
    writer.flush()
    stopping = threading.Event()

    def write() -> None:
        number = 1
        while not stopping.is_set():
            append(writer, number, 3)
            writer.flush()
            number += 3

    thread = threading.Thread(target=write)
    thread.start()
    try:
        newest = -1
        looks = 0
        while looks < 20 or newest < 100:
            looks += 1
            found = read(path)  # looks at every content
            together = [number for stretch in found for number in stretch]
            assert together == sorted(set(together))
            assert together[-1] >= newest
            newest = together[-1]
    finally:
        stopping.set()
        thread.join()


@pytest.mark.parametrize(
    "other",
    [replace(LAYOUT, embedding_id="b" * 64), replace(LAYOUT, capacity=50), replace(LAYOUT, dims=8)],
    ids=["kind", "hours", "dims"],
)
def test_a_history_of_another_layout_is_set_aside(
    path: Path, writer: HistoryWriter, other: HistoryLayout, caplog: pytest.LogCaptureFixture
) -> None:
    append(writer, 0, 3)
    writer.close()
    old = path.read_bytes()
    after = HistoryWriter(path, other)
    segments = heard(0, 2)
    after.append(0, replace(segments, embeddings=segments.embeddings[:, : other.dims]), np.zeros(2))
    after.close()
    assert path.with_suffix(".old").read_bytes() == old
    assert [len(stretch.segments) for stretch in read_history(path, other.embedding_id)] == [2]
    assert "begins anew" in caplog.text
    assert f"it holds 100 segments of {DIMS} numbers, of the embedding {KIND[:12]}, at" in caplog.text


def damage(path: Path, kind: str) -> None:
    data = bytearray(path.read_bytes())
    if kind == "version":
        data[8] += 1
    elif kind == "header":
        data[28] ^= 1  # of the hop
    elif kind == "shortened":
        del data[-1:]
    elif kind == "stub":
        del data[HEADER_BYTES - 1 :]
    elif kind == "other":
        data[:] = b"not a history at all" * 100
    path.write_bytes(data)


@pytest.mark.parametrize("kind", ["version", "header", "shortened", "stub", "other"])
def test_a_damaged_history_is_set_aside_and_said_to_be_no_history(path: Path, writer: HistoryWriter, kind: str) -> None:
    append(writer, 0, 3)
    writer.close()
    damage(path, kind)
    with pytest.raises(StateError, match="Cannot use the history"):
        read_history(path, KIND)
    append(writer, 3, 2)
    writer.close()
    assert read(path) == [[3, 4]]
    assert path.with_suffix(".old").exists()


def test_another_kind_of_embedding_is_not_read(path: Path, writer: HistoryWriter) -> None:
    append(writer, 0, 3)
    writer.close()
    with pytest.raises(StateError, match=r"b{12},"):
        read_history(path, "b" * 64)


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """A real refusal of the kernel to write, for root too: EFBIG instead of a full disk's ENOSPC."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_without_room_leaves_nothing_half_made_and_is_tried_again(path: Path, writer: HistoryWriter) -> None:
    append(writer, 0, 3)
    with no_file_beyond(LAYOUT.size - 1):
        for _ in range(2):
            with pytest.raises(StateError, match=r"remedy: .*history_h"):
                writer.flush()
        append(writer, 3, 2)
    assert list(path.parent.iterdir()) == []
    writer.flush()
    assert read(path) == [[0, 1, 2, 3, 4]]


def test_a_disk_that_fills_up_later_does_not_matter(path: Path, writer: HistoryWriter) -> None:
    append(writer, 0, 1)
    writer.flush()
    assert path.stat().st_blocks * 512 >= LAYOUT.size  # the room is there already
    append(writer, 1, 30)
    with no_file_beyond(LAYOUT.size):  # it never grows
        writer.flush()
    assert read(path) == [list(range(31))]


def test_a_record_that_cannot_be_written_whole_is_written_again(path: Path, writer: HistoryWriter) -> None:
    append(writer, 0, 1)
    writer.flush()
    append(writer, 1, 4)
    with no_file_beyond(LAYOUT.place(5) + 50), pytest.raises(StateError):  # the fifth is cut, without an error
        writer.flush()
    assert read(path) == [[0, 1, 2, 3]]
    append(writer, 5, 1)
    writer.flush()
    assert read(path) == [[0, 1, 2, 3, 4, 5]]


def test_a_folder_that_cannot_be_written_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    writer = HistoryWriter(tmp_path / "file" / "fan-1.bin", LAYOUT)
    append(writer, 0, 1)
    with pytest.raises(StateError, match=r"Not a directory|File exists"):
        writer.flush()
    assert writer.waiting == 1


def test_what_waits_for_a_disk_is_bounded_and_the_loss_is_a_gap(path: Path) -> None:
    large = HistoryWriter(path, replace(LAYOUT, capacity=2 * MOST_WAITING))
    for first in range(0, MOST_WAITING + 1000, 1000):
        append(large, first, 1000)
        if first == 0:
            large.flush()
    assert large.waiting <= MOST_WAITING
    large.close()
    first, second = read(path)
    assert first == list(range(1000))
    assert second[0] > 1000
    assert second == list(range(second[0], 6000))


def test_a_file_that_somebody_removed_is_made_again(path: Path, writer: HistoryWriter) -> None:
    append(writer, 0, 2)
    writer.flush()
    path.unlink()
    append(writer, 2, 2)
    writer.flush()
    assert read(path) == [[2, 3]]


def test_what_a_killed_writer_left_beside_the_file_is_removed(path: Path, writer: HistoryWriter) -> None:
    path.parent.mkdir()
    leftover = path.parent / ".fan-1.bin.abc.tmp"
    other = path.parent / ".fan-2.bin.abc.tmp"
    for file in (leftover, other):
        file.touch()
    append(writer, 0, 1)
    writer.flush()
    assert not leftover.exists()
    assert other.exists()  # another machine's, perhaps in the middle of being written


def test_an_hour_of_the_default_bundle_is_a_megabyte() -> None:
    segments = 3600 * 16_000 / (32 * 512)  # one every 32 frames
    assert 1.0e6 < segments * replace(LAYOUT, dims=128).record.itemsize < 1.2e6


def test_long_embeddings_have_fewer_hours_and_wait_in_less_memory(path: Path) -> None:
    long, short = (HistoryLayout.of_hours(KIND, dims, 336.0, rate=16_000, hop=512, step=32) for dims in (8384, 128))
    assert short.capacity == round(336.0 * 3600.0 / 1.024)  # what was asked for, the most that may be
    assert long.size <= MOST_BYTES < long.size + long.record.itemsize
    zeros = np.zeros(100, np.float32)
    large = EmbeddedSegments(np.arange(100), np.ones((100, 8384), np.float32), zeros, zeros)
    writer = HistoryWriter(path, long)
    for _ in range(4):
        writer.append(0, large, np.zeros(100))
    assert 0 < writer.waiting * long.record.itemsize <= MOST_WAITING_BYTES


def test_a_record_is_as_the_document_says() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "state.md").read_text()
    table = re.findall(r"^\| `(\w+)` \| `(<\w\d)`( × dims)? \|", text, re.M)
    shape = {"": (), " × dims": (DIMS,)}
    assert np.dtype([(name, kind, shape[each]) for name, kind, each in table]) == LAYOUT.record
    assert f"a header of {HEADER_BYTES} bytes" in text
