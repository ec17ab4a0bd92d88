"""The GPU through the driver's API: which one it is, its memory, and a stream of its work.

The driver's API and not the runtime's: it needs the driver's library alone, which every Jetson and every server has, so
no version of a CUDA toolkit has to match. Its bindings (`cuda-bindings`, Apache-2.0) are imported only here.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_edge.errors import EngineError


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU, by what an engine is specific to. `compute_capability`: like `8.7` of an Orin."""

    name: str
    compute_capability: str


def find_gpu() -> Gpu:
    """Return the first GPU, the one that engines are built for and run on.

    Raises:
        EngineError: there is none, or no driver, or no bindings to ask it with.
    """
    return _device().gpu


class DeviceMemory:
    """Buffers on the GPU and the stream that works on them.

    Args:
        sizes: bytes of each buffer by its name.

    Raises:
        EngineError: no GPU, or not enough memory on it.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self._device = _device()
        self._device.bind()
        driver = self._device.driver
        self._stream = _called(driver, driver.cuStreamCreate(0))
        self._finalizer = weakref.finalize(self, _free, self._device, self._stream, addresses := {})
        for name, size in sizes.items():
            addresses[name] = int(_called(driver, driver.cuMemAlloc(max(1, size))))
        self.addresses: Mapping[str, int] = addresses

    @property
    def stream(self) -> int:
        """The stream's handle."""
        return int(self._stream)

    def bind(self) -> None:
        """Make the GPU current in this thread; whoever calls into TensorRT must have done so."""
        self._device.bind()

    def upload(self, name: str, array: NDArray[Any]) -> None:
        """Copy an array to the beginning of a buffer, behind the work in the stream. It must be contiguous."""
        driver = self._device.driver
        address = self.addresses[name]
        _called(driver, driver.cuMemcpyHtoDAsync(address, array.ctypes.data, array.nbytes, self._stream))

    def download(self, name: str, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        """Copy the beginning of a buffer into a new array, behind the work in the stream: not before `wait`."""
        driver = self._device.driver
        array = np.empty(shape, dtype)
        address = self.addresses[name]
        _called(driver, driver.cuMemcpyDtoHAsync(array.ctypes.data, address, array.nbytes, self._stream))
        return array

    def wait(self) -> None:
        """Return when all work in the stream is done.

        Raises:
            EngineError: some of it failed.
        """
        driver = self._device.driver
        _called(driver, driver.cuStreamSynchronize(self._stream))


@dataclass(frozen=True, slots=True)
class _Device:
    driver: Any
    context: Any
    gpu: Gpu

    def bind(self) -> None:
        """Make the primary context, which TensorRT uses too, current in this thread."""
        _called(self.driver, self.driver.cuCtxSetCurrent(self.context))


@cache  # the primary context is kept to the end: making it takes a second. An error is not cached
def _device() -> _Device:
    try:
        driver = import_module("cuda.bindings.driver")
    except ImportError as error:
        raise EngineError(
            "The GPU cannot be reached",
            found=f"no cuda-bindings: {str(error).splitlines()[0]}",
            expected="NVIDIA's bindings of the driver, of the same CUDA generation as the driver",
            remedy="pip install 'asd-edge[tensorrt]'; docs/tensorrt.md says which version goes with which JetPack.",
        ) from error
    try:
        _called(driver, driver.cuInit(0))
        count = _called(driver, driver.cuDeviceGetCount())
    except EngineError:
        raise
    except Exception as error:  # the bindings raise classes of their own where the driver's library is missing
        raise _no_gpu(str(error).splitlines()[0]) from error
    if count == 0:
        raise _no_gpu("a driver without a GPU")
    handle = _called(driver, driver.cuDeviceGet(0))
    name = _called(driver, driver.cuDeviceGetName(256, handle))
    attribute = driver.CUdevice_attribute
    major, minor = (
        _called(driver, driver.cuDeviceGetAttribute(which, handle))
        for which in (
            attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
            attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
        )
    )
    context = _called(driver, driver.cuDevicePrimaryCtxRetain(handle))
    return _Device(driver, context, Gpu(name.split(b"\0")[0].decode(errors="replace"), f"{int(major)}.{int(minor)}"))


def _no_gpu(found: str) -> EngineError:
    return EngineError(
        "The GPU cannot be reached",
        found=found,
        expected="an NVIDIA GPU and its driver",
        remedy="Leave TensorRT off, or install the driver; on a Jetson it is part of JetPack.",
    )


def _called(driver: Any, result: tuple[Any, ...]) -> Any:
    """Return what a call gave beside its code.

    Raises:
        EngineError: the code is an error.
    """
    code, *values = result
    if int(code) != 0:
        _, text = driver.cuGetErrorString(code)
        said = text.decode(errors="replace") if isinstance(text, bytes) else "unknown error"
        raise EngineError(
            "The GPU refused a call",
            found=f"{said} (CUDA error {int(code)})",
            expected="a GPU that works and has room",
            remedy="Stop what else uses the GPU; look for its errors in the kernel's log (dmesg).",
        )
    return values[0] if values else None


def _free(device: _Device, stream: Any, addresses: Mapping[str, int]) -> None:
    """Give everything back. Errors are of no use to anybody: the process ends, or the GPU is gone."""
    device.driver.cuCtxSetCurrent(device.context)
    for address in addresses.values():
        device.driver.cuMemFree(address)
    device.driver.cuStreamDestroy(stream)
