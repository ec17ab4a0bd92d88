"""Sound around the begin of an alarm, in memory, and what becomes of it in the files of a clip."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

import numpy as np
import soundfile
from numpy.typing import NDArray

from asd_edge.events import AlarmChange, WindowScore, utc
from asd_edge.evidence.picture import spectrogram_png

SOUND, PICTURE, TRACE = "sound.flac", "spectrogram.png", "scores.csv"
_COLUMNS = ("at_s", "time", "state", "level_dbfs", "score", "threshold", "condition")


@dataclass(frozen=True)
class Recorded:
    """Sound around the begin of an alarm.

    `samples`: int16 [n] at `rate`, the first with the absolute index `start`.
    `alarm_at`, `since_at`: absolute sample indices at which the alarm began, and the score first went over the
    threshold.
    `windows`: what was judged meanwhile, in order.
    """

    alarm: AlarmChange
    samples: NDArray[np.int16]
    rate: int
    start: int
    since_at: int
    alarm_at: int
    windows: tuple[WindowScore, ...]

    def files(self) -> dict[str, bytes]:
        """Return the files of the clip but for its manifest, by name."""
        return {SOUND: flac(self.samples, self.rate), PICTURE: self._picture(), TRACE: self._trace()}

    @property
    def first_time(self) -> float:
        """UTC seconds at which the first sample was captured."""
        return self.alarm.time - self._seconds(self.alarm_at)

    def _seconds(self, sample: int) -> float:
        return (sample - self.start) / self.rate

    def _picture(self) -> bytes:
        alarm = self.alarm
        title = [
            f"{alarm.machine}: alarm {utc(alarm.time)[:19].replace('T', ' ')} UTC",
            f"score {alarm.score:.3g}, threshold {alarm.threshold:.3g} ({alarm.condition})",
        ]
        marks = [(self._seconds(self.since_at), "over the threshold"), (self._seconds(self.alarm_at), "alarm")]
        return spectrogram_png(self.samples, self.rate, title=title, marks=marks)

    def _trace(self) -> bytes:
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(_COLUMNS)
        for window in self.windows:
            at = f"{self._seconds(window.stop):.3f}"  # a window is judged at its end
            said = (window.state.value, f"{window.level_dbfs:.2f}", window.score, window.threshold, window.condition)
            rows.writerow((at, utc(window.time), *said))
        return text.getvalue().encode()


def flac(samples: NDArray[np.int16], rate: int) -> bytes:
    """Return int16 samples [n] as a FLAC file: what was heard, bit for bit, in about half the room of a WAV file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()
