"""What commands that run a network need beyond the base install; signing needs none of it."""

from __future__ import annotations


def need_the_extra() -> None:
    """Exit with how to install it unless the extra `export` is there."""
    try:
        import onnx  # noqa: F401 — asked here so that a base install gets a clear answer
        import onnxscript  # noqa: F401
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        from asd_edge.terminal import missing_extra

        missing_extra("asd-export", "export", error.name or "torch")
