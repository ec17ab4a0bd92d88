"""A graph becomes a TensorRT engine: parsed whole, typed as the graph says, for a stated range of shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from asd_edge.engines.embedder import LARGEST_BATCH, LARGEST_STEP
from asd_edge.engines.tensorrt_module import TensorRT, find_tensorrt
from asd_edge.errors import EngineError

FLAGS = ("strongly_typed", "no_tf32")
"""How every engine is built, for the cache's key. Without TF32, fp32 is fp32: a TensorFloat has ten bits of mantissa,
and would spend the parity gate's whole budget without being asked. Who wants speed chooses fp16 or int8."""


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """What an engine is built for: segments or channels of one run, frames of one step, memory for its tactics.

    The first two bound the memory of a run as they do on the CPU; more is split into several runs.
    """

    batch: int = LARGEST_BATCH
    frames: int = LARGEST_STEP
    workspace_mib: int = 256

    def __post_init__(self) -> None:
        if min(self.batch, self.frames, self.workspace_mib) < 1:
            raise ValueError(f"no engine for {self.batch} channels, {self.frames} frames, {self.workspace_mib} MiB")


USUAL_SPEC = EngineSpec()

_USUAL_BATCH, _USUAL_FRAMES = 1, 6
"""What kernels are chosen for [ours]: one channel, and the step a stream waits for (embedding/streamed.py)."""


def engine_from_onnx(graph: bytes, spec: EngineSpec = USUAL_SPEC, *, tensorrt: TensorRT | None = None) -> bytes:
    """Build an engine and return it serialised.

    `tensorrt` builds for the GPU at hand; `tensorrt_rtx` builds ahead of time for its default compute capabilities,
    with or without a GPU. Precisions are those of the graph. Seconds with RTX, minutes with `tensorrt`, which tries
    kernels out: a device does it in a process of its own.

    Args:
        graph: a serialised ONNX model that passed the loader's checks.
        spec: the shapes and the memory; dimension 0 is the batch, a free dimension 1 the frames.
        tensorrt: what builds; found without it.

    Raises:
        EngineError: no TensorRT, no GPU where it needs one, or a graph that it cannot parse or build.
    """
    trt = find_tensorrt() if tensorrt is None else tensorrt
    trt.log.errors()
    builder = _builder(trt)
    network = builder.create_network(trt.network_flags())
    parser = trt.module.OnnxParser(network, trt.log.logger)
    if not parser.parse(graph):
        problems = [str(parser.get_error(index)) for index in range(parser.num_errors)]
        raise _failed(trt, "parse", problems or trt.log.errors())
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.module.MemoryPoolType.WORKSPACE, spec.workspace_mib << 20)
    config.clear_flag(trt.module.BuilderFlag.TF32)
    profile = builder.create_optimization_profile()
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    for tensor in (*inputs, *(network.get_output(index) for index in range(network.num_outputs))):
        tensor.allowed_formats = 1 << int(trt.module.TensorFormat.LINEAR)  # rows as NumPy has them, in int8 too
    for tensor in inputs:
        profile.set_shape(tensor.name, *_shapes(tensor.name, tuple(tensor.shape), spec))
    if config.add_optimization_profile(profile) < 0:
        raise _failed(trt, "take the shapes of", trt.log.errors())
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise _failed(trt, "build", trt.log.errors())
    return bytes(memoryview(engine))


def _builder(trt: TensorRT) -> Any:
    try:
        return trt.module.Builder(trt.log.logger)
    except Exception as error:  # pybind11's TypeError for a null pointer: no driver, no GPU
        said = trt.log.errors() or [str(error).splitlines()[0]]
        raise EngineError(
            f"{trt.flavour} {trt.version} cannot start",
            found=said[-1],
            expected="an NVIDIA GPU and its driver",
            remedy="Build on the device itself, as the user that runs the daemon; see asd-edge doctor.",
        ) from error


def _shapes(name: str, declared: tuple[int, ...], spec: EngineSpec) -> Sequence[tuple[int, ...]]:
    """Return the smallest, the usual and the largest shape of an input.

    Raises:
        EngineError: it has a free dimension that is neither the batch nor frames.
    """
    ranges = [(1, _USUAL_BATCH, spec.batch), (1, min(_USUAL_FRAMES, spec.frames), spec.frames)]
    free = [axis for axis, size in enumerate(declared) if size < 0]
    if any(axis >= len(ranges) for axis in free):
        raise EngineError(
            "The graph cannot become an engine",
            found=f"the input {name} of the shape {list(declared)}",
            expected="free dimensions in the first two places only: the batch, and frames",
            remedy="Export the bundle again.",
        )
    return [
        tuple(ranges[axis][which] if size < 0 else size for axis, size in enumerate(declared)) for which in range(3)
    ]


def _failed(trt: TensorRT, doing: str, said: Sequence[str]) -> EngineError:
    return EngineError(
        f"{trt.flavour} {trt.version} cannot {doing} the graph",
        found="; ".join(dict.fromkeys(" ".join(text.split()) for text in said)) or "no reason given",
        expected="a graph of operators and types that it knows",
        remedy="Use another precision, or leave TensorRT off; the graph runs on the CPU meanwhile.",
    )
