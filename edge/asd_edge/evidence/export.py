"""Clips as a data set in the layout of DCASE Task 2, which `asd-train` reads as it is (docs/data.md)."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
from numpy.typing import NDArray

from asd_edge.errors import StateError
from asd_edge.evidence.manifest import ClipManifest, Verdict
from asd_edge.evidence.recorded import SOUND, flac
from asd_edge.evidence.stored import StoredClip
from asd_edge.words import counted

PIECE_S = 10.0
"""Sound is cut into pieces of this length or a little more, as long as the clips of DCASE."""

_FORM: dict[Verdict, tuple[Literal["train", "test"], str]] = {
    "normal": ("train", "section_00_source_train_normal_{number:04d}_{attributes}.flac"),
    "anomalous": ("test", "section_00_source_test_anomaly_{number:04d}_{attributes}.flac"),
    "unknown": ("test", "section_00_{number:04d}.flac"),  # the names of an evaluation set, which hide the label
}
TAKEN = frozenset(
    {"train", "test", "source_test", "target_test", "supplemental", "normal", "anomalous", "abnormal", "anomaly"}
)
"""Folders by which asd-train knows what a data set is: a machine's folder has another name."""

_COLUMNS = ("file", "clip", "first_s", "seconds", "verdict", "note", "author")


@dataclass(frozen=True)
class Exported:
    """How many pieces became normal, anomalous and unlabelled clips, and which clips were left out and why."""

    pieces: Counter[Verdict]
    left_out: tuple[tuple[str, str], ...]


def export_clips(clips: Sequence[StoredClip], out: Path, *, unlabelled: bool) -> Exported:
    """Write a data set: normal sound to train with, anomalous sound to test with.

    All of a clip that a person called normal is normal. Of one called anomalous only the sound from `since_sample` on
    is taken: nobody has said of what was before that the machine was healthy. The condition that the sound was nearest
    to is its attribute. `clips.csv` says which clip each file is of.

    Args:
        clips: to take from; those that cannot be read are left out.
        out: folder to make, which its owner alone may read; an empty one is replaced.
        unlabelled: take clips of which nobody said what they are too, as test clips that hide it.

    Raises:
        StateError: the folder is not empty or cannot be written, or nothing is left to write.
    """
    left_out: list[tuple[str, str]] = []
    with _made_whole(out) as folder:
        data_set = _DataSet(folder)
        for clip in clips:
            if clip.manifest is not None and clip.manifest.verdict == "unknown" and not unlabelled:
                left_out.append((clip.id, "no label"))
                continue
            try:
                samples = _samples(clip)
            except StateError as error:
                left_out.append((clip.id, error.found))
                continue
            assert clip.manifest is not None  # what has samples has a manifest
            data_set.add(clip.manifest, samples)
        if not data_set.pieces:
            raise StateError(
                "There is nothing to export",
                found=f"{counted(len(left_out), 'clip')} ({', '.join(sorted({why for _, why in left_out}))})",
                expected="clips that somebody has listened to",
                remedy="Label some (asd-edge clips label), or add --unlabelled.",
            )
        data_set.write_table()
    return Exported(data_set.pieces, tuple(left_out))


class _DataSet:
    """A data set that is being written into a folder."""

    def __init__(self, folder: Path) -> None:
        self.pieces: Counter[Verdict] = Counter()
        self._folder = folder
        self._numbers: Counter[tuple[str, Verdict]] = Counter()  # of each folder and verdict: a name is there once
        self._rows: list[tuple[str, ...]] = [_COLUMNS]

    def add(self, manifest: ClipManifest, samples: NDArray[np.int16]) -> None:
        verdict, label = manifest.verdict, manifest.label
        said = ("", "") if label is None else (label.note, label.author)
        machine = f"machine-{manifest.machine}" if manifest.machine in TAKEN else manifest.machine
        for first, piece in _cut(manifest, samples):
            file = f"{machine}/{_name(manifest, self._numbers[machine, verdict])}"
            _write(self._folder / file, flac(piece, manifest.rate))
            seconds = (f"{first / manifest.rate:.3f}", f"{len(piece) / manifest.rate:.3f}")
            self._rows.append((file, manifest.id, *seconds, verdict, *said))
            self._numbers[machine, verdict] += 1
            self.pieces[verdict] += 1

    def write_table(self) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(self._rows)
        _write(self._folder / "clips.csv", text.getvalue().encode())


@contextmanager
def _made_whole(out: Path) -> Iterator[Path]:
    """Give a folder to fill, which its owner alone may read and which becomes `out` when nothing went wrong.

    Raises:
        StateError: it cannot be made, or `out` is there and not empty.
    """
    temporary = None
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.absolute().parent))
        yield temporary
        os.replace(temporary, out)  # an empty folder may be there, and nothing else
    except OSError as error:
        raise StateError(
            f"Cannot write the data set {out}",
            found=error.strerror or str(error),
            expected="a folder that is not there yet, or is empty, on a disk with room",
            remedy="Give another folder with --out.",
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)  # gone already when all went well


def _samples(clip: StoredClip) -> NDArray[np.int16]:
    data = clip.read(SOUND)
    try:
        samples, _ = soundfile.read(io.BytesIO(data), dtype="int16")
    except soundfile.LibsndfileError as error:
        raise StateError(
            f"Cannot read the sound of {clip.id}",
            found=str(error),
            expected="a FLAC file",
            remedy="Delete the clip: asd-edge clips remove.",
        ) from None
    return np.asarray(samples, np.int16)


def _cut(manifest: ClipManifest, samples: NDArray[np.int16]) -> list[tuple[int, NDArray[np.int16]]]:
    """Return the pieces, each with the index of its first sample."""
    least = round(PIECE_S * manifest.rate)
    first = 0
    if manifest.verdict == "anomalous":
        first = min(manifest.since_sample, max(0, len(samples) - least))
    parts = np.array_split(samples[first:], max(1, (len(samples) - first) // least))
    starts = first + np.cumsum([0, *map(len, parts[:-1])])
    return [(int(start), part) for start, part in zip(starts, parts, strict=True)]


def _name(manifest: ClipManifest, number: int) -> str:
    split, form = _FORM[manifest.verdict]
    condition = re.sub(r"[^A-Za-z0-9.-]+", "-", manifest.condition)  # factory/source; "_" parts attributes in a name
    return f"{split}/{form.format(number=number, attributes=f'condition_{condition}')}"


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(data)
