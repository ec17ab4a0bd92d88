"""The operators that a graph may use: those of the exported recipes in every precision, and no other."""

from __future__ import annotations

OPERATORS = {
    # networks
    "BatchNormalization": "where it cannot be folded into the convolution before it",
    "Conv": "networks on spectrograms and spectra",
    "Gemm": "dense layers",
    "MatMul": "attention, projections, whitening",
    "MaxPool": "residual networks",
    # activations
    "Clip": "ReLU6, and a floor under a logarithm or a norm",
    "Exp": "flows, log-odds",
    "LeakyRelu": "residual networks with sub-clusters",
    "Log": "log-odds",
    "Relu": "all networks",
    "Softmax": "attention over frames",
    "Tanh": "scales of a flow",
    # arithmetic
    "Abs": "a variance that rounding made negative",
    "Add": "residuals, biases",
    "Div": "unit length, standardisation",
    "Mul": "standardisation, attention",
    "Pow": "squares",
    "Sqrt": "deviations",
    "Sub": "standardisation, residuals",
    "Where": "log-odds of the class that is not chosen",
    # over a dimension
    "LpNormalization": "unit length, in graphs that were not exported from torch",
    "ReduceL2": "unit length",
    "ReduceMax": "pooling",
    "ReduceMean": "pooling, mean spectra",
    "ReduceSum": "pooling, log-odds",
    # shapes
    "Concat": "branches, ensembles, the memory before new frames",
    "Expand": "a norm over the numbers that it divides",
    "Flatten": "from maps to vectors",
    "Gather": "chosen frames and bands",
    "Reshape": "heads, frames in a row",
    "Shape": "the batch, for Expand and Reshape; the frames, for Slice",
    "Slice": "the memory's oldest frames, windows of frames",
    "Split": "the halves of a coupling",
    "Transpose": "frames and bands",
    "Unsqueeze": "the channel of a spectrogram",
    # precisions
    "Cast": "float16 graphs: float32 at the ends",
    "DequantizeLinear": "int8 graphs",
    "QuantizeLinear": "int8 graphs",
}
"""Each with what needs it. None holds a graph, reads a file, draws random numbers, or makes a tensor whose size is not
that of its inputs but for Expand and Gather, whose results are bounded as all others are."""

_LENGTH = (1, 4096)
ATTRIBUTES = {
    "axis": (-8, 7),
    "axes": (-8, 7),
    "dilations": _LENGTH,
    "group": (1, 65_536),
    "kernel_shape": _LENGTH,
    "num_outputs": (1, 256),
    "pads": (0, 4096),
    "perm": (0, 7),
    "strides": _LENGTH,
}
"""Ranges of whole numbers among their attributes: lengths that divide are not zero, and no sum of them overflows."""
