"""Writes a data set of simulated machines in the DCASE layout of 2022 and later."""

from __future__ import annotations

import csv
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asd_edge.errors import DataError
from asd_edge.simulator import FAULTS, MACHINES, OperatingState, SimulatedMachine

from .data.clip import Domain, Split
from .progress import Progress

SAMPLE_RATE = 16_000
SEVERITY = (0.15, 0.85)  # test anomalies are graded evenly between these
CONDITIONS: dict[Domain, tuple[OperatingState, ...]] = {
    "source": tuple(
        OperatingState(speed, load, mounting)
        for speed in (0.9, 1.0, 1.1)
        for load, mounting in ((0.5, "A"), (0.8, "A"), (0.5, "C"))
    ),
    "target": (OperatingState(1.2, 0.5, "A"), OperatingState(1.0, 0.8, "B")),
}


@dataclass(frozen=True, slots=True)
class SimulatedClip:
    """One clip of the data set: what it is called, and the machine that sounds in it.

    `index` numbers the clips of one machine, section, domain, split and label.
    """

    machine: str
    section: int
    domain: Domain
    split: Split
    index: int
    state: OperatingState
    seed: tuple[int, ...]

    @property
    def anomalous(self) -> bool:
        """Whether the machine has a fault."""
        return self.state.fault is not None

    @property
    def attributes(self) -> tuple[tuple[str, str], ...]:
        """Name and value of each attribute; a fault is none."""
        state = self.state
        return ("spd", f"{state.speed:.2f}"), ("ld", f"{state.load:.1f}"), ("mnt", state.mounting)

    @property
    def name(self) -> str:
        """The path below the data set, `<machine>/<split>/section_00_..._<attributes>.wav`."""
        label = "anomaly" if self.anomalous else "normal"
        tail = "_".join(part for pair in self.attributes for part in pair)
        stem = f"section_{self.section:02d}_{self.domain}_{self.split}_{label}_{self.index:04d}_{tail}"
        return f"{self.machine}/{self.split}/{stem}.wav"

    def render(self, seconds: float) -> NDArray[np.float32]:
        """Return the sound, full scale is 1  # [seconds * SAMPLE_RATE]."""
        machine = SimulatedMachine(
            self.machine, seed=self.seed, state=self.state, sample_rate=SAMPLE_RATE, unit=self.section
        )
        return machine.render(round(seconds * SAMPLE_RATE))


def simulate_dataset(
    out: Path,
    *,
    machines: Sequence[str] = MACHINES,
    sections: Sequence[int] = (0,),
    train_source: int = 90,
    train_target: int = 10,
    test_per_cell: int = 25,
    seed: int = 0,
    seconds: float = 10.0,
    progress: Progress | None = None,
) -> None:
    """Write `out/<machine>/train|test/*.wav` (16 kHz, 16 bit), `attributes_00.csv` and `faults_00.csv`.

    The folder appears when it is complete: an interrupted run leaves nothing. Equal arguments, equal files.

    Args:
        out: new or empty folder.
        machines: kinds of machines, from `asd_edge.simulator.MACHINES`.
        sections: section numbers; each is another unit of the kind in another hall.
        train_source: normal training clips of a section, source domain, spread over its operating conditions.
        train_target: the same, target domain.
        test_per_cell: test clips of a section for each domain and each of normal and anomaly.
        seed: of everything that happens in the clips. A section's unit does not depend on it.
        seconds: length of a clip.
        progress: shows how far it is.

    Raises:
        DataError: `out` exists and is not an empty folder, or a kind of machine is unknown.
    """
    _check(out, machines)
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent))
    try:
        clips = [
            clip
            for machine in machines
            for section in sections
            for clip in plan_section(
                machine,
                section,
                train_source=train_source,
                train_target=train_target,
                test_per_cell=test_per_cell,
                seed=seed,
            )
        ]
        for clip in (progress or Progress(enabled=False)).track(clips, "simulating", len(clips)):
            _write_clip(folder / clip.name, clip.render(seconds))
        for machine in machines:
            for section in sections:
                own = [clip for clip in clips if (clip.machine, clip.section) == (machine, section)]
                _write_tables(folder / machine, own)
        folder.chmod(0o755)
        folder.replace(out)  # replaces an empty folder, fails on any other
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def plan_section(
    machine: str, section: int, *, train_source: int, train_target: int, test_per_cell: int, seed: int
) -> Iterator[SimulatedClip]:
    """Yield the clips of one machine and section: conditions and faults in turn, severities evenly graded."""
    cells: tuple[tuple[Split, Domain, bool, int], ...] = (
        ("train", "source", False, train_source),
        ("train", "target", False, train_target),
        ("test", "source", False, test_per_cell),
        ("test", "source", True, test_per_cell),
        ("test", "target", False, test_per_cell),
        ("test", "target", True, test_per_cell),
    )
    for cell, (split, domain, anomalous, count) in enumerate(cells):
        for index in range(count):
            conditions = CONDITIONS[domain]
            state = conditions[index % len(conditions)]
            if anomalous:
                faults = FAULTS[machine]
                low, high = SEVERITY
                # Steps of the golden ratio: any number of clips covers the grades evenly, in every condition.
                grade = low + (high - low) * ((0.5 + index * 0.6180339887) % 1.0)
                state = replace(state, fault=faults[index // len(conditions) % len(faults)], severity=grade)
            clip_seed = (seed, MACHINES.index(machine), section, cell, index)
            yield SimulatedClip(machine, section, domain, split, index, state, clip_seed)


def _check(out: Path, machines: Sequence[str]) -> None:
    unknown = [machine for machine in machines if machine not in MACHINES]
    if unknown:
        raise DataError(
            "There is no such simulated machine",
            found=", ".join(unknown),
            expected=", ".join(MACHINES),
            remedy="Choose among these machines.",
        )
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise DataError(
            "The data set cannot be written over something else",
            found=f"{out}, which is a {'folder with files in it' if out.is_dir() else 'file'}",
            expected="a new or empty folder",
            remedy="Give another folder, or remove this one first.",
        )


def _write_clip(path: Path, sound: NDArray[np.float32]) -> None:
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, SAMPLE_RATE, subtype="PCM_16")


def _write_tables(folder: Path, clips: Sequence[SimulatedClip]) -> None:
    section = f"{clips[0].section:02d}"
    pairs = len(clips[0].attributes)
    columns = ["file_name", *(f"d{pair}{part}" for pair in range(1, pairs + 1) for part in "pv")]
    rows = [[clip.name, *(part for pair in clip.attributes for part in pair)] for clip in clips]
    _write_table(folder / f"attributes_{section}.csv", [columns, *rows])
    # DCASE hides what is wrong with a clip; here it is known, for reports by fault and severity.
    faults = [[c.name, c.state.fault or "", f"{c.state.severity:.3f}"] for c in clips if c.anomalous]
    _write_table(folder / f"faults_{section}.csv", [["file_name", "fault", "severity"], *faults])


def _write_table(path: Path, rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)
