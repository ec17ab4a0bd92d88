"""Make tiny_stream.onnx and tiny_head.onnx: a stream network small enough to commit, with the interface of a real one.

features float32 [channels, frames, 128] -> projected to 4 bands × 8 -> convolution of 5 frames with the 4 before it
as past -> ReLU, and a second of 3 frames with a delayed shortcut -> frame features [channels, frames, 4, 8] and logits
[channels, frames, 4, 2]. Reach: 2 + 1 frames. The head projects both moments to 16 numbers of unit length.
Needs the export extra: `python -m tests.golden.make_tiny_stream`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.golden.tiny_stream import (
    BANDS,
    CHANNELS,
    DEPTH,
    DIMS,
    FIRST_PAST,
    HEADS,
    MEL_BANDS,
    OPSET,
    SECOND_PAST,
    weights,
)


def tiny_stream() -> onnx.ModelProto:
    nodes = [
        helper.make_node("MatMul", ["features", "project"], ["projected"]),  # [channels, frames, 32]
        helper.make_node("Transpose", ["projected"], ["x"], perm=[0, 2, 1]),
        helper.make_node("Concat", ["past_0", "x"], ["first_joined"], axis=2),
        helper.make_node("Slice", ["first_joined", "minus_4", "end", "axis_2"], ["next_past_0"]),
        helper.make_node("Conv", ["first_joined", "first"], ["first_out"]),
        helper.make_node("Relu", ["first_out"], ["y"]),
        helper.make_node("Concat", ["past_1", "y"], ["second_joined"], axis=2),
        helper.make_node("Slice", ["second_joined", "minus_2", "end", "axis_2"], ["next_past_1"]),
        helper.make_node("Conv", ["second_joined", "second"], ["second_out"]),
        helper.make_node("Slice", ["second_joined", "one", "minus_1", "axis_2"], ["delayed"]),  # y one frame ago
        helper.make_node("Add", ["second_out", "delayed"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["z"]),
        helper.make_node("Transpose", ["z"], ["by_frame"], perm=[0, 2, 1]),
        helper.make_node("Reshape", ["by_frame", "banded"], ["frame_features"]),
        helper.make_node("MatMul", ["frame_features", "attend"], ["logits"]),
    ]
    constants = {"minus_4": -4, "minus_2": -2, "minus_1": -1, "one": 1, "axis_2": 2, "end": np.iinfo(np.int64).max}
    integers = {name: np.array([value], np.int64) for name, value in constants.items()}
    integers["banded"] = np.array([0, 0, BANDS, DEPTH], np.int64)
    used = {name: array for name, array in weights().items() if name in ("project", "first", "second", "attend")}
    return _model(
        "tiny_stream",
        nodes,
        {
            "features": ["channels", "frames", MEL_BANDS],
            "past_0": ["channels", CHANNELS, FIRST_PAST],
            "past_1": ["channels", CHANNELS, SECOND_PAST],
        },
        {
            "frame_features": ["channels", "frames", BANDS, DEPTH],
            "logits": ["channels", "frames", BANDS, HEADS],
            "next_past_0": ["channels", CHANNELS, FIRST_PAST],
            "next_past_1": ["channels", CHANNELS, SECOND_PAST],
        },
        used | integers,
    )


def tiny_head() -> onnx.ModelProto:
    moments = ["segments", BANDS, HEADS, DEPTH]
    nodes = [
        helper.make_node("Concat", ["mean", "variance"], ["both"], axis=3),
        helper.make_node("Flatten", ["both"], ["flat"]),
        helper.make_node("Gemm", ["flat", "head", "bias"], ["projected"]),
        helper.make_node("LpNormalization", ["projected"], ["embedding"], axis=1, p=2),
    ]
    used = {name: array for name, array in weights().items() if name in ("head", "bias")}
    return _model("tiny_head", nodes, {"mean": moments, "variance": moments}, {"embedding": ["segments", DIMS]}, used)


def _model(name, nodes, inputs, outputs, constants) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, shape) for k, shape in inputs.items()],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, shape) for k, shape in outputs.items()],
        [numpy_helper.from_array(array, k) for k, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


if __name__ == "__main__":
    for model, file in ((tiny_stream(), "tiny_stream.onnx"), (tiny_head(), "tiny_head.onnx")):
        path = Path(__file__).with_name(file)
        path.write_bytes(model.SerializeToString())
        print(f"{path.name}: {path.stat().st_size} bytes")
