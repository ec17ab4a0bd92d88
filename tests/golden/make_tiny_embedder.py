"""Make tiny_embedder.onnx: a graph small enough to commit, with the interface of a real one.

features float32 [batch, 64, 128] -> mean over time -> Gemm 128 -> 16 -> unit length -> embedding [batch, 16].
Needs the export extra: `python tests/golden/make_tiny_embedder.py`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FRAMES, BANDS, DIMS, OPSET = 64, 128, 16, 18


def tiny_embedder() -> onnx.ModelProto:
    random = np.random.default_rng(20)
    weights = random.standard_normal((BANDS, DIMS), dtype=np.float32) / np.float32(np.sqrt(BANDS))
    # Zero column sums: a gain, which shifts every log-mel band alike, hardly moves the embedding.
    weights -= weights.mean(axis=0, dtype=np.float32)
    bias = np.zeros(DIMS, dtype=np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["features", "time_axis"], ["mean"], keepdims=0),
            helper.make_node("Gemm", ["mean", "weights", "bias"], ["projected"]),
            helper.make_node("LpNormalization", ["projected"], ["embedding"], axis=1, p=2),
        ],
        "tiny_embedder",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", FRAMES, BANDS])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", DIMS])],
        [
            numpy_helper.from_array(np.array([1], dtype=np.int64), "time_axis"),
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(bias, "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


if __name__ == "__main__":
    path = Path(__file__).with_name("tiny_embedder.onnx")
    path.write_bytes(tiny_embedder().SerializeToString())
    print(f"{path.name}: {path.stat().st_size} bytes")
