"""The part of docs/benchmarks.md about many operating conditions."""

from __future__ import annotations

from typing import Any

from tests.bench.machine import told

TITLE = "## Many operating conditions\n\n`python -m tests.bench.conditions`"
HEAD = (
    "Default bundle, one channel, one thread, CPU time; conditions of three clips each, embeddings made up. A score is "
    "the whole way through the detector: 32 new frames, front end, network, pooling, distances, decision. The ratio is "
    "to the same backend with one condition; for nearest_centre with 1,000 it is to be at most 1.2. ±: median absolute "
    "deviation.\n\n"
    "| backend | conditions | a score | ratio | distances and window alone |\n|---|---|---|---|---|\n"
)


def conditions(results: dict[str, Any] | None) -> str:
    """Return the section; without results how to make them."""
    if results is None:
        return f"{TITLE}\n\nNot measured yet."
    rows = [
        f"| {backend} | {number} | {_ms(found['score'])} | {found['ratio']:.2f} | "
        f"{found['score_window']['median'] * 1e6:.0f} µs |"
        for backend, sizes in results["backends"].items()
        for number, found in sizes.items()
    ]
    return f"{TITLE}\n\n{told(results['machine'])}.\n\n{HEAD}" + "\n".join(rows)


def _ms(time: dict[str, float]) -> str:
    return f"{time['median'] * 1e3:.2f} ± {time['deviation'] * 1e3:.2f} ms"
