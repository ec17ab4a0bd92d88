"""int8 activations as onnxruntime's kernels want them: around 128 in uint8, the same numbers.

A bundle's int8 graphs are symmetric, with signed activations, which is what TensorRT reads. onnxruntime's products of
signed activations are several times slower on x86 than those of unsigned ones; it changes the type by itself, but only
of a tensor that one node takes. In these graphs one scalar is the zero point of every signed activation, so the change
is that of two bytes: int8 0 becomes uint8 128.
"""

from __future__ import annotations

SIGNED_ZERO = "zero_of_signed_activations"
"""Name of that scalar, an initialiser."""

# The fields of a TensorProto (onnx.proto) as protobuf writes them: data_type = 2, name = 8, raw_data = 9.
_INT8, _UINT8 = b"\x10\x03", b"\x10\x02"
_NAME = bytes([0x42, len(SIGNED_ZERO)]) + SIGNED_ZERO.encode()
_ZERO, _MIDDLE = b"\x4a\x01\x00", b"\x4a\x01\x80"

SIGNED = _INT8 + _NAME + _ZERO
"""The scalar in a serialised graph."""


def unsigned(graph: bytes) -> bytes:
    """Return a serialised graph with unsigned activations; one without that scalar is returned as it is."""
    return graph.replace(SIGNED, _UINT8 + _NAME + _MIDDLE)
