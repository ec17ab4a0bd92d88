"""What becomes a clip: the sound as it was heard, a picture that other readers can decode, and the scores."""

from __future__ import annotations

import csv
import io
import string
import struct
import zlib

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from asd_edge.daemon.ring import SoundRing
from asd_edge.events import AlarmChange, WindowScore, WindowState
from asd_edge.evidence import lettering
from asd_edge.evidence.picture import (
    BOTTOM,
    HOP,
    LEFT,
    LOWEST_HZ,
    RIGHT,
    ROWS,
    WINDOW,
    _bands,
    row_of,
    spectrogram_png,
    top_of,
)
from asd_edge.evidence.png import png
from asd_edge.evidence.recorded import PICTURE, SOUND, TRACE
from asd_edge.evidence.recording import Recording
from asd_edge.sources.block import Block
from tests.edge.required import required_module

RATE = 1_000
TOP = top_of([], [])
BORN = 1_767_225_600.0  # UTC seconds of sample 0


def window(stop: int, score: float = 0.2) -> WindowScore:
    time = BORN + stop / RATE
    return WindowScore("fan", stop - 800, stop, time, WindowState.SCORED, -40.0, score, 0.5, "rpm1200")


def alarm(at: int, *, since: int) -> AlarmChange:
    return AlarmChange("fan", BORN + at / RATE, True, BORN + since / RATE, 0.9, 0.5, "rpm1200")


def sound(size: int) -> NDArray[np.float32]:
    return (np.random.default_rng(1).integers(-20_000, 20_000, size) / 32_768.0).astype(np.float32)


class Microphone:
    """A real ring, fed by hand."""

    def __init__(self, seconds: float = 60.0) -> None:
        self.ring = SoundRing(RATE, seconds)
        self.samples = sound(120 * RATE)
        self.heard = 0

    def hear(self, until: int, *, lost: int = 0) -> None:
        self.heard += lost
        for start in range(self.heard, until, 333):
            stop = min(until, start + 333)
            self.ring.push(Block(self.samples[start:stop], start, BORN + start / RATE))
        self.heard = until

    def was(self, start: int, stop: int) -> NDArray[np.int16]:
        return np.rint(self.samples[start:stop] * 32_768).astype(np.int16)


def recording(at: int = 42 * RATE, since: int = 30 * RATE) -> Recording:
    return Recording(alarm(at, since=since), window(at), rate=RATE, pre_s=20.0, post_s=10.0, now=0.0)


def test_a_recording_reaches_from_before_the_anomaly_to_after_the_alarm() -> None:
    microphone, recorder = Microphone(), recording()
    microphone.hear(43 * RATE)
    assert not recorder.listen(microphone.ring, judged=42 * RATE, now=1.0)
    microphone.hear(52 * RATE)
    assert not recorder.listen(microphone.ring, judged=51 * RATE, now=2.0)  # scores of the last second are to come
    microphone.hear(70 * RATE)
    assert recorder.listen(microphone.ring, judged=52 * RATE, now=3.0)
    windows = [window(stop * RATE) for stop in range(5, 60)]
    recorded = recorder.recorded(windows)
    assert recorded is not None
    assert recorded.start == 10 * RATE
    np.testing.assert_array_equal(recorded.samples, microphone.was(10 * RATE, 52 * RATE))
    assert [w.stop for w in recorded.windows] == [stop * RATE for stop in range(11, 53)]
    assert recorded.first_time == pytest.approx(BORN + 10.0)


def test_a_recording_begins_with_what_the_ring_still_holds() -> None:
    microphone, recorder = Microphone(seconds=15.0), recording()
    microphone.hear(43 * RATE)
    recorder.listen(microphone.ring, judged=0, now=1.0)
    recorded = recorder.recorded([])
    assert recorded is not None
    assert recorded.start == 28 * RATE
    np.testing.assert_array_equal(recorded.samples, microphone.was(28 * RATE, 43 * RATE))


def test_a_microphone_that_dies_after_the_alarm_takes_nothing_of_before_away() -> None:
    microphone, recorder = Microphone(), recording()
    microphone.hear(45 * RATE)
    assert not recorder.listen(microphone.ring, judged=42 * RATE, now=1.0)
    microphone.ring.clear()
    assert not recorder.listen(microphone.ring, judged=42 * RATE, now=5.0)
    assert recorder.listen(microphone.ring, judged=42 * RATE, now=6.1)  # nobody waits for ever
    recorded = recorder.recorded([])
    assert recorded is not None
    np.testing.assert_array_equal(recorded.samples, microphone.was(10 * RATE, 45 * RATE))


def test_a_gap_ends_a_recording_and_is_never_inside() -> None:
    microphone, recorder = Microphone(), recording()
    microphone.hear(45 * RATE)
    assert not recorder.listen(microphone.ring, judged=42 * RATE, now=1.0)
    microphone.hear(50 * RATE, lost=500)
    assert recorder.listen(microphone.ring, judged=42 * RATE, now=1.5)
    recorded = recorder.recorded([])
    assert recorded is not None
    np.testing.assert_array_equal(recorded.samples, microphone.was(10 * RATE, 45 * RATE))


def test_without_any_sound_there_is_nothing_recorded() -> None:
    recorder = recording()
    assert recorder.listen(SoundRing(RATE, 1.0), judged=0, now=5.1)
    assert recorder.recorded([window(42 * RATE)]) is None


def test_the_files_hold_the_sound_bit_for_bit_and_the_scores() -> None:
    microphone, recorder = Microphone(), recording()
    microphone.hear(52 * RATE)
    assert recorder.listen(microphone.ring, judged=52 * RATE, now=1.0)
    idle = WindowScore("fan", 0, 13 * RATE, BORN + 13.0, WindowState.IDLE, -80.0)
    recorded = recorder.recorded([window(12 * RATE, 0.25), idle, window(42 * RATE, 0.9)])
    assert recorded is not None
    files = recorded.files()
    assert set(files) == {SOUND, PICTURE, TRACE}
    read, rate = soundfile.read(io.BytesIO(files[SOUND]), dtype="int16")
    assert rate == RATE
    np.testing.assert_array_equal(read, microphone.was(10 * RATE, 52 * RATE))
    rows = list(csv.DictReader(io.StringIO(files[TRACE].decode())))
    assert [(row["at_s"], row["state"], row["score"], row["threshold"], row["condition"]) for row in rows] == [
        ("2.000", "scored", "0.25", "0.5", "rpm1200"),
        ("3.000", "idle", "", "", ""),
        ("32.000", "scored", "0.9", "0.5", "rpm1200"),
    ]
    assert rows[0]["time"] == "2026-01-01T00:00:12.000Z"


def pixels(data: bytes) -> NDArray[np.uint8]:
    """Decode an indexed PNG by the words of its specification, checksums included; uint8 [height, width, 3]."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size : at + 12 + size]) == (zlib.crc32(kind + content),)
        chunks[kind] = content
        at += 12 + size
    assert list(chunks) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    width, height, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert rest == [8, 3, 0, 0, 0]
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + width)
    assert not rows[:, 0].any()  # no filter
    return np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)[rows[:, 1:]]


def test_a_picture_is_a_png_with_these_pixels() -> None:
    palette = np.arange(768, dtype=np.uint8).reshape(256, 3)
    wanted = np.random.default_rng(2).integers(0, 256, (7, 5)).astype(np.uint8)
    np.testing.assert_array_equal(pixels(png(wanted, palette)), palette[wanted])


def test_another_reader_sees_the_same_picture() -> None:
    required_module("matplotlib", "dev")
    import matplotlib.image

    picture = spectrogram_png((sound(8_000) * 32_768).astype(np.int16), 8_000, marks=[(0.5, "alarm")])
    seen = matplotlib.image.imread(io.BytesIO(picture), format="png")  # float 0..1, RGB or RGBA
    np.testing.assert_array_equal(np.rint(seen[..., :3] * 255), pixels(picture))


def brightness(picture: NDArray[np.uint8]) -> NDArray[np.int64]:
    return picture.astype(np.int64).sum(axis=2)


def test_a_tone_is_a_bright_line_at_its_frequency_from_where_it_begins() -> None:
    rate, hertz = 16_000, 3_000.0
    time = np.arange(10 * rate) / rate
    wave = np.where(time < 6.0, 0.0, 0.1 * np.sin(2 * np.pi * hertz * time))
    picture = brightness(pixels(spectrogram_png((wave * 32_768).astype(np.int16), rate)))
    columns = (10 * rate - WINDOW) // HOP + 1
    assert picture.shape == (TOP + ROWS + BOTTOM, LEFT + columns + RIGHT)
    inside = picture[TOP : TOP + ROWS, LEFT : LEFT + columns]
    row = int(inside[:, -1].argmax())
    assert row == pytest.approx(ROWS - 1 - row_of(hertz, rate), abs=1)  # up is high
    begins = int(np.flatnonzero(inside[row] > 600)[0])
    assert begins == pytest.approx(6.0 * rate / HOP, abs=WINDOW / HOP)
    assert inside[:, : begins - 2].max() < 100  # silence is dark


def test_digital_silence_is_dark() -> None:
    picture = brightness(pixels(spectrogram_png(np.zeros(2 * RATE, np.int16), RATE)))
    assert picture[TOP : TOP + ROWS, LEFT:-RIGHT].max() < 100


@pytest.mark.parametrize("size", [1, WINDOW, 40 * 60 * 1_000])
def test_any_length_of_sound_gives_a_picture_of_bounded_size(size: int) -> None:
    marks = [(0.0, "there"), (1e9, "too late"), (-1.0, "too early")]
    picture = pixels(spectrogram_png((sound(size) * 32_768).astype(np.int16), RATE, marks=marks))
    assert picture.shape[0] == top_of([], marks) + ROWS + BOTTOM
    assert LEFT + 1 + RIGHT <= picture.shape[1] <= LEFT + 1_600 + RIGHT


def test_the_axis_is_logarithmic_and_ends_at_half_the_rate() -> None:
    octave = row_of(200.0, 16_000) - row_of(100.0, 16_000)
    assert [row_of(2.0 * f, 16_000) - row_of(f, 16_000) for f in (50.0, 1_000.0, 4_000.0)] == pytest.approx(
        [octave] * 3
    )
    assert row_of(8_000.0, 16_000) == pytest.approx(ROWS)


def test_no_power_is_lost_between_the_bins_and_the_rows() -> None:
    """White noise has as much in each bin: rows take of it as wide as they are, from 30 Hz to half the rate."""
    wide = _bands(16_000).sum(axis=0)
    assert wide.sum() == pytest.approx((8_000.0 - LOWEST_HZ) * WINDOW / 16_000)
    assert wide[1:] / wide[:-1] == pytest.approx(np.full(ROWS - 1, wide[1] / wide[0]))  # of constant relative width


def test_words_can_be_read_and_every_letter_is_another() -> None:
    def drawn(text: str) -> NDArray[np.uint8]:
        canvas = np.zeros((lettering.HEIGHT, lettering.WIDTH * len(text)), np.uint8)
        lettering.write(canvas, text, 0, 0, 1)
        return canvas

    art = ["".join(" #"[dot] for dot in row[::2]).rstrip() for row in drawn("Hz")[::2]]
    assert art == ["#   #", "#   #", "#   # #####", "#####    #", "#   #   #", "#   #  #", "#   # #####", ""]
    printable = string.ascii_letters + string.digits + "?,-./:()_ "
    assert len({drawn(letter).tobytes() for letter in printable}) == len(printable)
    np.testing.assert_array_equal(drawn("é"), drawn("?"))


def test_title_and_marks_stand_above_the_sound_and_change_nothing_of_it() -> None:
    samples = (sound(20 * RATE) * 32_768).astype(np.int16)
    title, marks = ["fan-7: alarm", "x" * 60], [(5.0, "over the threshold"), (19.0, "alarm")]
    plain, told = (
        pixels(spectrogram_png(samples, RATE)),
        pixels(spectrogram_png(samples, RATE, title=title, marks=marks)),
    )
    top, width = top_of(title, marks), plain.shape[1]
    assert told.shape[1] >= lettering.WIDTH * 60  # wide enough for its title
    changed = np.flatnonzero((told[top : top + ROWS, :width] != plain[TOP : TOP + ROWS]).any(axis=(0, 2)))
    assert len(changed) == len(marks)
    assert (told[:top] != 255).any()
