"""A tiny bundle of three precisions whose graphs differ in name alone, so that each has embeddings of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.site import Change, FactoryThreshold, SiteState
from asd_edge.bundle.site_store import SiteStore
from asd_edge.bundle.variants import PRECISIONS, Precision
from tests.edge.tiny_bundle import CALIBRATION, GOLDEN, GRAPHS, STREAMED, make_tiny_bundle


def make_bundle(path: Path, *, graphs_bytes: dict[str, bytes] | None = None, **changes: Any) -> Bundle:
    """Write a stream bundle of all precisions."""
    members = {
        f"{part}.{precision}.onnx": _named(part, precision) for part in ("stream", "head") for precision in PRECISIONS
    }
    return make_tiny_bundle(
        path, graphs_bytes=members | (graphs_bytes or {}), precisions=PRECISIONS, **(STREAMED | changes)
    )


def _named(part: str, precision: Precision) -> bytes:
    model = onnx.load(GOLDEN / GRAPHS[part])
    model.producer_version = precision
    return model.SerializeToString()


def enroll(state_dir: Path, machine: str, bundle: Bundle) -> None:
    """Give a machine something that belongs to the variant in view."""
    store = SiteStore(state_dir, machine)
    mine = FactoryThreshold(factory="fan/00", name="source", threshold=0.2, calibration=CALIBRATION)
    change = Change(action="threshold", subject="source", author="a", time_utc="2026-01-02T03:04:05Z")
    with store.exclusive("a"):
        revision = store.load().revision
        state = SiteState(revision=revision, embedding_id=bundle.embedding_id, factory_thresholds=(mine,))
        store.save(state, change)
