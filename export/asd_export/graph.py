"""Torch network -> ONNX graph, with the operator set pinned and the result checked."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import Parameter, signature
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from asd_edge.errors import EngineError

OPSET = 18
"""TensorRT 10.3 and onnxruntime 1.23 read it; newer torch would choose a later one."""

INPUT, SPECTRUM, OUTPUT = "features", "spectrum", "embedding"

Axes = dict[int, torch.export.Dim]
"""The dimensions of an input that are not fixed."""

BATCH = torch.export.Dim("batch", min=1, max=4096)


@dataclass(frozen=True)
class ExportedGraph:
    """A serialised graph with its tensor shapes; -1 stands for the batch. `spectrum_shape`: of a second input."""

    graph: bytes
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    spectrum_shape: tuple[int, ...] | None = None


def export_graph(network: nn.Module, *, frames: int, bands: int, dims: int, bins: int | None = None) -> ExportedGraph:
    """Export a whole-segment graph: float32 [batch, frames, bands] -> float32 [batch, dims].

    Args:
        network: put into evaluation mode.
        frames, bands: of a segment.
        dims: length of an embedding.
        bins: of the spectra [batch, bins] that are the second input of a network that hears them; else None.

    Raises:
        EngineError: the exporter produced another operator set, external data or a non-standard domain.
    """
    shapes = {INPUT: (frames, bands)} | ({} if bins is None else {SPECTRUM: (bins,)})
    examples = [torch.zeros(2, *shape) for shape in shapes.values()]
    axes: list[Axes] = [{0: BATCH} for _ in shapes]
    graph = onnx_of(network, examples, inputs=list(shapes), outputs=[OUTPUT], axes=axes)
    return ExportedGraph(graph, (-1, frames, bands), (-1, dims), None if bins is None else (-1, bins))


def onnx_of(
    network: nn.Module,
    examples: Sequence[Tensor],
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    axes: Sequence[Axes],
) -> bytes:
    """Return a network as a checked, serialised ONNX model.

    Args:
        network: put into evaluation mode.
        examples: one tensor an input; a dimension that is not fixed must be 2 or more.
        inputs, outputs: names of the tensors.
        axes: the dimensions of each input that are not fixed.

    Raises:
        EngineError: the exporter produced another operator set, external data or a non-standard domain.
    """
    with tempfile.TemporaryDirectory() as folder, _quiet_exporter():
        path = Path(folder) / "graph.onnx"
        torch.onnx.export(
            network.eval(),
            tuple(examples),
            path,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=_by_parameter(network, axes),
            external_data=False,
            verbose=False,
        )
        model = onnx.load(path, load_external_data=False)
    _strip_debug(model)
    _check(model)
    return bytes(model.SerializeToString())


def _by_parameter(network: nn.Module, axes: Sequence[Axes]) -> tuple[Axes | tuple[Axes, ...], ...]:
    """Group axes as `forward` takes its inputs: a variadic parameter gets one tuple of all that remain."""
    parameters = list(signature(network.forward).parameters.values())
    if parameters[-1].kind is Parameter.VAR_POSITIONAL:
        named = len(parameters) - 1
        return (*axes[:named], tuple(axes[named:]))
    return tuple(axes)


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep the exporter's remarks about its own internals, and about torchvision, from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _strip_debug(model: onnx.ModelProto) -> None:
    """Remove source locations and shapes of inner values: they name files of the exporting machine."""
    model.doc_string = ""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]


def _check(model: onnx.ModelProto) -> None:
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    external = [t.name for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    foreign = {node.domain for node in model.graph.node} - {""}
    if opsets != {"": OPSET} or external or foreign or model.functions:
        raise EngineError(
            "The exported graph is not portable",
            found=f"operator sets {opsets}, external data {external}, domains {sorted(foreign)}",
            expected=f"operator set {OPSET} of the standard domain, all weights inside",
            remedy="Pin the exporter's versions as in constraints.txt.",
        )
    onnx.checker.check_model(model, full_check=True)
