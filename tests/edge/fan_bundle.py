"""A tiny bundle whose factory knows the simulated fan: real enough to detect, enroll and tell the demo's story."""

from __future__ import annotations

from pathlib import Path

from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.calibration import Calibration
from asd_edge.bundle.fitted import joined, shapes_of
from asd_edge.bundle.variants import FactoryCondition, FactoryMachine
from asd_edge.imprint import imprint
from asd_edge.offline import EmbeddedClip, embed_clip, idle_floor_of
from asd_edge.pipeline import Pipeline
from asd_edge.scoring.backends.backend import Backend
from asd_edge.scoring.backends.nearest_centre import NearestCentre
from asd_edge.simulator import OperatingState, SimulatedMachine
from tests.edge.tiny_bundle import make_tiny_bundle

NEAREST_CENTRE = NearestCentre()
NORMAL = OperatingState(speed=1.0, load=0.5)
SNR_DB = 24.0  # a quiet hall: the tiny network is no match for the usual noise


def make_fan_bundle(path: Path, *, clips: int = 6, backend: Backend = NEAREST_CENTRE) -> Bundle:
    """Write a bundle that has heard some ten-second clips of a normal simulated fan."""
    pipeline = make_tiny_bundle(path).pipeline()
    heard = [_clip(pipeline, seed) for seed in range(100, 100 + clips)]
    floor = idle_floor_of(heard)
    made = imprint(pipeline, backend, "source", {"source": heard}, idle_floor=floor, quantile=0.999)
    condition = FactoryCondition(
        name="source",
        arrays=shapes_of(made.condition.fitted),
        labels=("source/normal",),
        threshold=made.condition.threshold,
        calibration=Calibration.of(made.calibration),
    )
    fan = FactoryMachine(machine="fan", section="00", idle_floor=floor, conditions=(condition,))
    return make_tiny_bundle(
        path, backend=backend, machines=(fan,), arrays={"conditions": joined([made.condition.fitted])}
    )


def _clip(pipeline: Pipeline, seed: int) -> EmbeddedClip:
    machine = SimulatedMachine("fan", seed=seed, state=NORMAL, snr_db=SNR_DB)
    return embed_clip(pipeline, machine.render(160_000), name=f"fan-{seed}")
