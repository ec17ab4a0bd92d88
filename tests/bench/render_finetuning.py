"""The generated part of docs/finetuning.md."""

from __future__ import annotations

from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
RESULTS = DOCS / "benchmarks" / "finetuning.json"


def main() -> None:
    """Write it."""
