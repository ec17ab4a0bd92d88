"""What a clip is compared with: a device's machine as it stands, or the factory's knowledge in a bundle."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import typer

from asd_edge.bundle.archive import load_bundle
from asd_edge.config import load_config
from asd_edge.daemon.listening.conditions import KnownConditions
from asd_edge.detector import Detector
from asd_edge.errors import ConfigError
from asd_edge.pipeline import Pipeline, SegmentStreams
from asd_edge.scoring.conditions import ConditionSet
from asd_edge.scoring.decision import DecisionSpec
from asd_edge.serving.served import served_bundle


@dataclass(frozen=True)
class Hearing:
    """Everything a detector needs, and how the machine's recordings are to be read."""

    machine: str
    pipeline: Pipeline
    conditions: ConditionSet | None
    decision: DecisionSpec
    channel: int | None = None
    source_rate: int | None = None

    @property
    def rate(self) -> int:
        """Samples a second that the detector wants."""
        return self.pipeline.front_end.sample_rate

    def detector(self) -> Detector:
        """Return a detector that has heard nothing yet."""
        return Detector(self.machine, SegmentStreams(self.pipeline), self.conditions, self.decision)


def from_device(config_path: Path, machine_id: str) -> Hearing:
    """Compare with what the device knows of one of its machines.

    Raises:
        AsdEdgeError: the configuration, the bundle or the machine's state cannot be used.
    """
    config = load_config(config_path)
    machine = config.machine(machine_id)
    bundle = served_bundle(config, tell=partial(typer.echo, err=True))
    known = KnownConditions(bundle, machine, config.device.state_dir).load()
    decision = DecisionSpec(**machine.decision.model_dump())
    pipeline = bundle.pipeline(config.bundle.threads)
    return Hearing(machine_id, pipeline, known, decision, machine.channel, machine.source_rate)


def from_factory(bundle_path: str, key: str) -> Hearing:
    """Compare with a machine that the bundle knows from the factory, given as `machine/section`.

    Raises:
        AsdEdgeError: the bundle cannot be used, or does not know the machine.
    """
    bundle = load_bundle(bundle_path)
    known = bundle.factory_conditions(*key.split("/")) if key.count("/") == 1 else None
    if known is None:
        raise ConfigError(
            "The bundle does not know this machine",
            found=key,
            expected=f"one of {', '.join(machine.key for machine in bundle.machines) or 'none'}",
            remedy="Give --factory one of these.",
        )
    return Hearing(key, bundle.pipeline(), known, DecisionSpec())
