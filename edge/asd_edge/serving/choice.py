"""Which engine and precision serve a bundle on this device: what was measured, what was decided, and why.

The document is `engine-choice.json` in the state folder (docs/engines.md). It holds for one bundle on one hardware:
what was measured elsewhere, or with another onnxruntime, is as good as nothing.
"""

from __future__ import annotations

import json
import logging
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from asd_edge.atomic import atomic_write
from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.variants import Kind, Precision
from asd_edge.errors import StateError
from asd_edge.strict import Count, RefusalError, Sha256, Strict, Text, UtcTime, parse_versioned

_log = logging.getLogger(__name__)

FORMAT: Final = "asd-edge-choice"
VERSION: Final = 1

Engine = Literal["onnxruntime", "tensorrt"]
Seconds = Annotated[float, Field(ge=0.0)]
Reason = Annotated[str, Field(min_length=1, max_length=1000)]

_FILE: Final = "engine-choice.json"
_SIZE_LIMIT = 1 << 20


class Hardware(Strict):
    """What a time was measured on."""

    processor: Text
    cores: Count
    onnxruntime: Text


class Candidate(Strict):
    """One way to run the bundle on this device.

    `seconds`, `deviation`: for a second of one channel's sound, from samples to embeddings, the median and the median
    absolute deviation from it; None where it was not measured. `parity`: of its golden embeddings (serving/verify.py).
    `out`: why it may not serve, None where it may. `engine_key`: which build of the engine it was.
    """

    engine: Engine
    precision: Precision
    seconds: Seconds | None = None
    deviation: Seconds | None = None
    parity: Seconds | None = None
    out: Reason | None = None
    engine_key: Text | None = None

    @model_validator(mode="after")
    def _measured(self) -> Candidate:
        if (self.seconds is None) != (self.deviation is None):
            raise ValueError("a median without its deviation, or the other way round")
        if self.out is None and self.seconds is None:
            raise ValueError("a candidate that may serve and was not measured")
        return self

    @property
    def name(self) -> str:
        """How it is spoken of: `onnxruntime/int8`."""
        return f"{self.engine}/{self.precision}"

    def __str__(self) -> str:
        if self.seconds is None or self.deviation is None:
            return f"{self.name} is out: {self.out}"
        return f"{self.name} takes {1e3 * self.seconds:.2f} ± {1e3 * self.deviation:.2f} ms for a second of sound"


class Choice(Strict):
    """What serves a bundle here.

    `threads`, `channels`: of the measurement. `precision_why`, `engine_why`: the reasons. `instead`: what would be
    served if nothing held the precision, None where nothing better was found. `forced`: a person wanted the fastest
    precision, whatever was enrolled with another.
    """

    format: Literal["asd-edge-choice"] = FORMAT
    version: Literal[1] = VERSION
    bundle_id: Sha256
    kind: Kind
    hardware: Hardware
    measured_utc: UtcTime
    threads: Count
    channels: Count
    engine: Engine
    precision: Precision
    precision_why: Reason
    engine_why: Reason
    instead: Reason | None = None
    forced: bool = False
    candidates: Annotated[tuple[Candidate, ...], Field(max_length=6)]

    def candidate(self, engine: Engine, precision: Precision) -> Candidate | None:
        """Return what is known of one way to run the bundle; None where nothing is."""
        return next((c for c in self.candidates if (c.engine, c.precision) == (engine, precision)), None)


def this_hardware() -> Hardware:
    """Return the hardware of this device."""
    return Hardware(processor=_processor(), cores=os.cpu_count() or 1, onnxruntime=version("onnxruntime"))


def kept_choice(state_dir: Path, bundle: Bundle) -> Choice | None:
    """Return the choice that is kept for a bundle on this hardware; None where there is none, or a damaged one.

    It says what was decided when it was measured; `asd_edge.serving.served` says what holds now.
    """
    try:
        path = state_dir / _FILE
        if path.stat().st_size > _SIZE_LIMIT:
            raise RefusalError("a larger file", f"at most {_SIZE_LIMIT} bytes")
        choice = parse_versioned(path.read_bytes(), Choice, format=FORMAT, version=VERSION)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, RefusalError) as error:
        _log.warning("The kept choice of engine and precision is not used: %s has %s", state_dir / _FILE, error)
        return None
    same = choice.bundle_id == bundle.bundle_id and choice.kind == bundle.kind and choice.hardware == this_hardware()
    return choice if same else None


def keep_choice(state_dir: Path, choice: Choice) -> None:
    """Write a choice in the place of the one before.

    Raises:
        StateError: the state folder cannot be written.
    """
    content = json.dumps(choice.model_dump(mode="json"), indent=1).encode() + b"\n"
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        with atomic_write(state_dir / _FILE, like=state_dir) as stream:
            stream.write(content)
    except OSError as error:
        raise StateError(
            "The choice of engine and precision cannot be kept",
            found=f"{state_dir / _FILE}: {error.strerror or error}",
            expected="a state folder that this user can write, with room on its disk",
            remedy="Correct device.state_dir or its permissions; sudo writes what the service reads.",
        ) from error


def _processor() -> str:
    """Name the board where it has a name, as a Jetson does, else the processor."""
    try:
        board = Path("/proc/device-tree/model").read_text("utf-8", errors="replace").strip("\0 \n")
        if board:
            return board[:200]
    except OSError:
        pass
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.lower().startswith("model name")]
    return (names[0] if names and names[0] else platform.machine() or "unknown")[:200]
