"""Clips of an imagined data set, for tests that never read their sound."""

from __future__ import annotations

from pathlib import Path

from asd_train.data.clip import Clip, Domain, Split


def clip(
    number: int,
    *,
    machine: str = "fan",
    section: str = "00",
    domain: Domain = "source",
    split: Split = "train",
    anomalous: bool | None = False,
    attributes: str = "spd_1",
) -> Clip:
    label = "anomaly" if anomalous else "normal"
    name = f"section_{section}_{domain}_{split}_{label}_{number:04d}_{attributes}.wav"
    return Clip(
        path=Path(machine) / split / name,
        machine=machine,
        section=section,
        domain=domain,
        split=split,
        anomalous=anomalous,
        attributes=attributes,
    )
