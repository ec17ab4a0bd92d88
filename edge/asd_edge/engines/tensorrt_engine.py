"""An engine in the GPU's memory: named arrays in, named arrays out."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_edge.engines.cuda import DeviceMemory, find_gpu
from asd_edge.engines.tensorrt_module import TensorRT, find_tensorrt
from asd_edge.errors import EngineError

Arrays = dict[str, NDArray[Any]]


class TensorRTEngine:
    """A deserialised engine with memory for its largest run.

    Args:
        engine: what `engine_from_onnx` returned, on this kind of GPU. It is code: never from an untrusted file.
        inputs, outputs: names that its tensors must have, from the manifest.
        tensorrt: what runs it, which must be what built it; found without it.

    Raises:
        EngineError: no TensorRT or GPU, an engine of another version or GPU, or not the named tensors.
    """

    def __init__(
        self, engine: bytes, *, inputs: Sequence[str], outputs: Sequence[str], tensorrt: TensorRT | None = None
    ) -> None:
        self._trt = find_tensorrt() if tensorrt is None else tensorrt
        find_gpu()  # says what is missing; TensorRT's own words would not
        self._trt.log.errors()
        self._runtime = self._trt.module.Runtime(self._trt.log.logger)
        self._engine = self._runtime.deserialize_cuda_engine(engine)
        if self._engine is None:
            raise self._failed("load the engine")
        self._check_names(inputs, outputs)
        self._outputs = list(outputs)
        names = [*inputs, *outputs]
        self._dtypes = {name: self._trt.dtype(self._engine.get_tensor_dtype(name)) for name in names}
        self._largest = {name: tuple(self._engine.get_tensor_profile_shape(name, 0)[2]) for name in inputs}
        self._context = self._engine.create_execution_context()
        if self._context is None:  # its memory does not fit
            raise self._failed("make room for a run")
        self._memory = DeviceMemory(self._sizes())
        for name, address in self._memory.addresses.items():
            self._context.set_tensor_address(name, address)
        self._lock = threading.Lock()

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape, -1 where it is not fixed."""
        return tuple(self._engine.get_tensor_shape(name))

    def dtype(self, name: str) -> str:
        """Return a tensor's type by NumPy's name."""
        return self._dtypes[name]

    def largest(self, name: str) -> tuple[int, ...]:
        """Return the largest shape that an input may have."""
        return self._largest[name]

    def run(self, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run the engine once and wait for it. All inputs by name, none larger than `largest`.

        Raises:
            EngineError: the shapes do not fit, or the GPU failed.
            ValueError: an array of another type than the engine's.
        """
        given = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        wrong = {name: array.dtype.name for name, array in given.items() if array.dtype != self._dtypes[name]}
        if wrong:
            raise ValueError(
                f"arrays of {wrong} where the engine has { ({name: self._dtypes[name] for name in wrong}) }"
            )
        with self._lock:  # a context has one set of shapes and buffers
            self._memory.bind()
            self._set_shapes({name: array.shape for name, array in given.items()})
            try:
                return self._ran(given)
            except BaseException:
                with suppress(EngineError):  # what is being copied out of `given` must have ended before it goes
                    self._memory.wait()
                raise

    def _ran(self, given: Arrays) -> Arrays:
        for name, array in given.items():
            self._memory.upload(name, array)
        if not self._context.execute_async_v3(self._memory.stream):
            raise self._failed("run the engine")
        outputs = {
            name: self._memory.download(name, tuple(self._context.get_tensor_shape(name)), self._dtypes[name])
            for name in self._outputs
        }
        self._memory.wait()  # `given` lives until here, as what is copied without waiting must
        return outputs

    def _set_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        for name, shape in shapes.items():
            if not self._context.set_input_shape(name, shape):
                raise self._failed(f"take {name} of the shape {list(shape)}")

    def _sizes(self) -> dict[str, int]:
        """Return the bytes of every tensor in the largest run: outputs grow with the inputs."""
        self._set_shapes(self._largest)
        shapes = self._largest | {name: tuple(self._context.get_tensor_shape(name)) for name in self._outputs}
        return {name: prod(shape) * np.dtype(self._dtypes[name]).itemsize for name, shape in shapes.items()}

    def _check_names(self, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        mode = self._trt.module.TensorIOMode.INPUT
        takes = sorted(name for name in names if self._engine.get_tensor_mode(name) == mode)
        gives = sorted(set(names) - set(takes))
        if (takes, gives) != (sorted(inputs), sorted(outputs)):
            raise EngineError(
                "The engine does not have the tensors its manifest names",
                found=f"inputs {takes}, outputs {gives}",
                expected=f"inputs {sorted(inputs)}, outputs {sorted(outputs)}",
                remedy="Export the bundle again.",
            )

    def _failed(self, doing: str) -> EngineError:
        return EngineError(
            f"{self._trt.flavour} {self._trt.version} cannot {doing}",
            found="; ".join(dict.fromkeys(self._trt.log.errors())) or "no reason given",
            expected="an engine built by this version for this GPU, and room for it",
            remedy="Build it again: asd-edge engines clean, then asd-edge engines build.",
        )
