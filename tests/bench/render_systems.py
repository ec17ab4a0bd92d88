"""The table of all systems, from the cells that tests.bench.systems has made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from tests.bench.flights import MACHINE as FLIGHTS
from tests.bench.machine import told

Cell = Mapping[str, Any]

BUDGET_S = 75.0
"""Processor time of a training, all networks of a system together."""

_TITLE = (
    "## All systems\n\n`python -m tests.bench.systems --real-data FOLDER` (recordings that are not part of the project)"
)
_AUC = ("source_auc", "target_auc")
_PAUC = ("source_pauc", "target_pauc")
_DASH = "–"


def systems(cells: dict[str, Any] | None) -> str:
    """Return the part of the page; what is missing is told how to make."""
    if not cells:
        return f"{_TITLE}\n\nNot measured yet."
    grouped: dict[tuple[bool, str], list[Cell]] = defaultdict(list)
    for key, cell in cells.items():
        name, _, rest = key.partition(" seed ")
        grouped[rest.endswith("published"), name].append(cell)
    parts = [_TITLE, _told(cells)]
    for published in (False, True):
        rows = {name: of for (full, name), of in grouped.items() if full == published}
        if rows:
            parts.append(_table(rows) if not published else f"With the published schedules:\n\n{_table(rows)}")
    return "\n\n".join(parts)


_TOLD = f"""
Every system is given the same clips: six simulated machines (60 source and 10 target normals each), real quadcopter
flights (60 and 10), and, as further classes, genuine DCASE 2023 clips, a desk fan and an eight-channel fan. `tf_resnet`
and `mobilenetv2_embed` train on the source alone; presets keep a quarter of the source normals out for the threshold,
`asd_edge` 15 %. One thread, {BUDGET_S:.0f} s of processor time for the epochs of a system and seed, of all its networks
together, so that all cells fit an afternoon (the column has the whole training, reading and standardising included);
`--fast` presets, in which ensembles are single networks; epochs: as many as fit, at most those published, which for all
but the small networks is a fraction of a schedule: what needs long training cannot show here. So `tf_resnet` has not
learned the simulated machines after five or six epochs of 120, and that attention stands below average pooling says
nothing of its paper's table 4.

AUC and McClish-standardised pAUC within each domain, means over training seeds ± deviation, on one test set. Simulator:
harmonic mean over its six machines and both domains of AUC and pAUC. hmean: of 2022 and later, over all seven machines.
Latency: ten seconds from samples to embedding, exported graph, one thread, busy machine.

**What the table cannot say.** `asd_edge` alone was developed here: its choices were made on these simulated test clips,
and after looks at these flights ([decision 13](decisions/13-asd-edge-system.md)). The 95 % interval of a flights AUC is
about ±0.07 near 0.85 and half of that near 0.97; the faulty flights can be told by their constant offset alone (AUC
0.95), which looks like another recording session. They have one class a domain: a classifier of sections learns nothing
from them by themselves, so its variant for all machines in one network stands here.
"""


def _told(cells: Mapping[str, Cell]) -> str:
    machine = next((cell["machine"] for cell in cells.values() if "machine" in cell), None)
    paragraphs = [" ".join(paragraph.split()) for paragraph in _TOLD.strip().split("\n\n")]
    return "\n\n".join([*([] if machine is None else [f"{told(machine)}."]), *paragraphs])


def _table(rows: Mapping[str, Sequence[Cell]]) -> str:
    head = (
        "| system | hmean | simulator | flights AUC s / t | flights pAUC s / t | seeds | epochs | training | networks "
        "| parameters | multiply-adds, 10 s | latency |\n" + "|---" * 12 + "|\n"
    )
    ranked = sorted(rows.items(), key=lambda row: -mean(cell["official"] for cell in row[1]))
    return head + "\n".join(_row(name, of) for name, of in ranked)


def _row(name: str, cells: Sequence[Cell]) -> str:
    one = cells[0]
    trained = [cell["training_s"] for cell in cells if "training_s" in cell]
    figures = [
        name,
        f"**{_spread([cell['official'] for cell in cells])}**",
        _spread([_simulator(cell) for cell in cells]),
        *(" / ".join(_spread([c["machines"][FLIGHTS][k] for c in cells]) for k in keys) for keys in (_AUC, _PAUC)),
        str(len(cells)),
        str(one.get("epochs", _DASH)),
        f"{mean(trained):.0f} s" if trained else _DASH,
        str(one.get("networks", _DASH)),
        f"{one['parameters']:,}" if "parameters" in one else _DASH,
        f"{one['multiply_adds'] / 1e6:,.0f} M" if "multiply_adds" in one else _DASH,
        f"{mean(cell['latency_ms'] for cell in cells):.1f} ms" if "latency_ms" in one else _DASH,
    ]
    return "| " + " | ".join(figures) + " |"


def _simulator(cell: Cell) -> float:
    values = [m[key] for name, m in cell["machines"].items() if name != FLIGHTS for key in (*_AUC, *_PAUC)]
    return len(values) / sum(1.0 / value for value in values)


def _spread(values: Sequence[float]) -> str:
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")
