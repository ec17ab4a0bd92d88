"""Scores of the default bundle on simulated machines with committed seeds: what make default-model records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from asd_edge.bundle.bundle import Bundle
from asd_edge.offline import embed_clip
from asd_edge.scoring.aggregation import score_window
from asd_edge.simulator import FAULTS, MACHINES, OperatingState, SimulatedMachine

RECORDED = Path(__file__).parent.parent / "golden" / "default_bundle_scores.json"
SEEDS = (11, 12, 13, 14)
NORMAL = OperatingState(speed=1.0, load=0.5)


def scores(bundle: Bundle, seeds: Iterable[int] = SEEDS) -> Iterator[tuple[str, float]]:
    """Yield `fan normal 11` and its score, for every machine: each seed normal, and with a blatant fault."""
    pipeline = bundle.pipeline()
    for kind in MACHINES:
        known = bundle.factory_conditions(kind, "00")
        assert known is not None, kind
        for seed in seeds:
            fault = FAULTS[kind][seed % len(FAULTS[kind])]
            states = {"normal": NORMAL, fault: OperatingState(speed=1.0, load=0.5, fault=fault, severity=1.0)}
            for name, state in states.items():
                sound = SimulatedMachine(kind, seed=seed, state=state).render(160_000)
                clip = embed_clip(pipeline, sound, name=name)
                scored = score_window(clip.segments, known, pipeline.aggregation)
                assert scored is not None, (kind, name, seed)
                yield f"{kind} {name} {seed}", scored.score
