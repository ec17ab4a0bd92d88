"""TensorRT's Python module: which one, found where, and why not.

One of two, with one API: `tensorrt`, which JetPack brings for the system's Python, and `tensorrt_rtx`, which a package
index has. All that differs between their versions is answered in this file:

- 10.x knows weakly typed networks and must be asked for a strongly typed one; 11.x has no others (its flag does
  nothing). Explicit batch is the only kind since 10.0: its flag is never needed.
- `BuilderFlag.FP16`, `INT8` and the calibrator are gone in 11: precisions come from the graph alone, in every version.
- `nptype` fails with NumPy 2 in early 10.x: types are matched by name.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections import deque
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, Literal

from asd_edge.errors import EngineError

Flavour = Literal["tensorrt", "tensorrt_rtx"]

FLAVOURS: tuple[Flavour, ...] = ("tensorrt", "tensorrt_rtx")
"""In the order they are looked for: where both are, the one that is made for the device goes first."""

_KNOWN: dict[Flavour, tuple[tuple[int, int], tuple[int, int]]] = {
    "tensorrt": ((10, 3), (12, 0)),  # JetPack 6 has 10.3
    "tensorrt_rtx": ((1, 0), (2, 0)),
}
_REMEDY: dict[Flavour, str] = {
    "tensorrt": "On a Jetson: apt-get install python3-libnvinfer, and make the virtual environment with the system's"
    " Python and --system-site-packages.",
    "tensorrt_rtx": "On x86_64 with an RTX GPU: pip install tensorrt-rtx.",
}


@dataclass(frozen=True, slots=True)
class TensorRT:
    """A TensorRT that can be used. `log`: what it said."""

    module: Any
    flavour: Flavour
    version: str
    log: Log

    @property
    def needs_gpu(self) -> bool:
        """Whether it builds for the GPU at hand only; the other builds for every GPU that it knows, without one."""
        return self.flavour == "tensorrt"

    def network_flags(self) -> int:
        """Return what a network is made with: strongly typed, so that the graph alone decides the precisions."""
        flag = getattr(self.module.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        return 0 if flag is None else 1 << int(flag)

    def dtype(self, data_type: Any) -> str:
        """Return NumPy's name of a tensor's type.

        Raises:
            EngineError: NumPy has none, or no graph of ours has it.
        """
        names = {"FLOAT": "float32", "HALF": "float16", "INT8": "int8", "INT32": "int32", "INT64": "int64"}
        if data_type.name not in names:
            raise EngineError(
                "The engine has a tensor of another type",
                found=data_type.name,
                expected=f"one of {', '.join(names)}",
                remedy="Export the bundle again.",
            )
        return names[data_type.name]


@dataclass(frozen=True, slots=True)
class Finding:
    """One module that was looked for: found where, or why it cannot be used and what to do."""

    flavour: Flavour
    tensorrt: TensorRT | None
    found: str
    remedy: str | None = None


def find_tensorrt(flavour: Flavour | None = None) -> TensorRT:
    """Return the first TensorRT that can be used, or that of this flavour. Importing it takes a second and memory.

    Raises:
        EngineError: there is none; it says of each why not.
    """
    tried = [look_for(name) for name in (FLAVOURS if flavour is None else (flavour,))]
    for finding in tried:
        if finding.tensorrt is not None:
            return finding.tensorrt
    raise EngineError(
        "There is no TensorRT to build or run an engine with",
        found="; ".join(f"{finding.flavour}: {finding.found}" for finding in tried),
        expected=f"a Python module {' or '.join(finding.flavour for finding in tried)}",
        remedy=" ".join(finding.remedy for finding in tried if finding.remedy),
    )


@cache  # a module is imported once; TensorRT keeps the first logger that it is given for the whole process
def look_for(flavour: Flavour) -> Finding:
    """Import a module and say what came of it; it never raises."""
    try:
        module = importlib.import_module(flavour)
        version, log = str(module.__version__), Log(module)
    except ModuleNotFoundError as error:
        missing = "not installed" if error.name == flavour else f"installed without {error.name}"
        return Finding(flavour, None, f"{missing} in {sys.prefix}", _REMEDY[flavour])
    except Exception as error:  # a missing library is an ImportError, a half package an AttributeError, and so on
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return Finding(flavour, None, f"cannot be loaded: {reason}", "Install it again with its libraries.")
    if not is_known(flavour, version):
        at_least, below = (f"{major}.{minor}" for major, minor in _KNOWN[flavour])
        return Finding(flavour, None, f"version {version}", f"Install version {at_least} or later, before {below}.")
    where = getattr(module, "__file__", None) or "no file"
    return Finding(flavour, TensorRT(module, flavour, version, log), f"version {version} in {where}")


def is_known(flavour: Flavour, version: str) -> bool:
    """Say whether this code was written for a version: one before or after may have another API."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    at_least, below = _KNOWN[flavour]
    return numbers is not None and at_least <= (int(numbers[1]), int(numbers[2])) < below


class Log:
    """What TensorRT itself says of errors. `logger`: what it is given to say it to."""

    def __init__(self, module: ModuleType) -> None:
        errors: deque[str] = deque(maxlen=20)  # a graph with one fault can be refused a thousand times

        class Logger(module.ILogger):  # type: ignore[misc, name-defined]  # a base class that is known at run time only
            def log(self, severity: Any, message: str) -> None:
                if severity.name in ("INTERNAL_ERROR", "ERROR"):
                    errors.append(message)

        self.logger = Logger()
        self._errors = errors

    def errors(self) -> list[str]:
        """Return the errors since the last call."""
        said = list(self._errors)
        self._errors.clear()
        return said
