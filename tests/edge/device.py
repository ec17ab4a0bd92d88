"""A device in a folder, and the real asd-edge command run on it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from asd_edge.simulator import OperatingState, SimulatedMachine
from tests.edge.fan_bundle import SNR_DB

FAN_SOURCE = f"sim:fan?seed=3&snr_db={SNR_DB}"
ASD_EDGE = (sys.executable, "-m", "asd_edge.cli")


def write_device(folder: Path, bundle: Path, port: int, *machines: dict[str, Any], **mqtt: Any) -> Path:
    """Write a device file; each of `machines` holds the keys of one [[machines]] table."""
    lines = [
        *("[device]", 'id = "box"', f"state_dir = {json.dumps(str(folder / 'state'))}"),
        *("[bundle]", f"path = {json.dumps(str(bundle))}", "allow_unsigned = true"),
        *("[mqtt]", *_keys({"host": "127.0.0.1", "port": port} | mqtt)),
    ]
    for machine in machines:
        lines += ["[[machines]]", *_keys(machine)]
    path = folder / "device.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def _keys(table: dict[str, Any]) -> list[str]:
    return [f"{key} = {json.dumps(value)}" for key, value in table.items()]


def asd_edge(*arguments: str | Path, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*ASD_EDGE, *map(str, arguments)], capture_output=True, text=True, timeout=timeout_s, check=False
    )


def fan(state: OperatingState, *, seed: int, seconds: float) -> NDArray[np.float32]:
    """Sound of the simulated fan in a quiet hall, float32 [n] at 16 kHz."""
    return SimulatedMachine("fan", seed=seed, state=state, snr_db=SNR_DB).render(round(seconds * 16_000))


def write_clip(path: Path, samples: NDArray[np.float32]) -> Path:
    """Write a 16-bit WAV file at 16 kHz."""
    soundfile.write(path, samples, 16_000, "PCM_16")
    return path
