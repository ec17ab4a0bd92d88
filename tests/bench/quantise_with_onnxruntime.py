"""One graph quantised by onnxruntime's static quantiser: for tests.bench.quantisers.

Explicit Q/DQ pairs, symmetric, per channel, no quantised bias and a pair of its own for every consumer: what TensorRT's
parser accepts too. The trunk is quantised, convolutions, shortcuts and what rectifies them; what pools it is not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from asd_export.heard import Feed

_QUANTISED = ("Conv", "Add", "Relu", "Clip")


class _Feeds(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    def __init__(self, feeds: Iterator[Feed]) -> None:
        self._feeds = feeds

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)


def quantise(graph: bytes, feeds: Sequence[Feed]) -> bytes:
    """Return a graph in int8, calibrated with these inputs."""
    with tempfile.TemporaryDirectory() as folder:
        given, ready, quantised = (Path(folder) / f"{name}.onnx" for name in ("given", "ready", "quantised"))
        given.write_bytes(graph)
        quant_pre_process(str(given), str(ready), skip_symbolic_shape=True)
        quantize_static(
            str(ready),
            str(quantised),
            _Feeds(iter(feeds)),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_QUANTISED),
            nodes_to_quantize=_trunk(onnx.load(str(ready))),
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            extra_options={
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                "QuantizeBias": False,
                "DedicatedQDQPair": True,
            },
        )
        return quantised.read_bytes()


def _trunk(model: onnx.ModelProto) -> list[str]:
    """Return the nodes to quantise: those up to the last ReLU, or the last clip that stands for one."""
    nodes = list(model.graph.node)
    rectifier = "Relu" if any(node.op_type == "Relu" for node in nodes) else "Clip"
    last = max(i for i, node in enumerate(nodes) if node.op_type == rectifier)
    return [node.name for node in nodes[: last + 1] if node.op_type in _QUANTISED]
