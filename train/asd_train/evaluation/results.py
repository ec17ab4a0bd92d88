"""The figures of one machine and section, by every definition that DCASE Task 2 has had (docs/evaluation.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..data.clip import Domain
from .metrics import alarm_rate, alarms_per_hour, auc, f1, harmonic_mean, pauc, pauc_eq3, precision
from .scored import ScoredClip


@dataclass(frozen=True, slots=True)
class DomainResult:
    """Within one domain: its normals against its anomalies (the 2021 definition).

    `pauc_eq3`: the equation as printed, chance is 0.05; never beside published numbers.
    At the shipped threshold: `false_alarm_rate`, the share of normals that alarm; `false_alarms_per_hour` of normal
    test sound; `detection_rate`, the share of anomalies that alarm (recall); `precision` and `f1` of both.
    """

    normals: int
    anomalies: int
    auc: float
    pauc: float
    pauc_eq3: float
    false_alarm_rate: float
    false_alarms_per_hour: float
    detection_rate: float
    precision: float
    f1: float


@dataclass(frozen=True, slots=True)
class MachineResult:
    """One machine and section.

    `auc_source`, `auc_target`: the domain's normals against the anomalies of both domains, `pauc` over everything,
    `official` their harmonic mean: the definition of 2022 and later. `auc`: over everything, as in 2020, which has no
    domains. NaN where the test set has no such clips.
    """

    machine: str
    section: str
    source: DomainResult
    target: DomainResult
    auc_source: float
    auc_target: float
    auc: float
    pauc: float
    official: float


def machine_result(machine: str, section: str, scored: Sequence[ScoredClip]) -> MachineResult:
    """Compute the figures of a machine and section from the scores of its test clips."""
    anomalies = [item.score for item in scored if item.clip.anomalous]
    source, target = (
        [item.score for item in scored if item.clip.domain == domain and not item.clip.anomalous]
        for domain in ("source", "target")
    )
    auc_source, auc_target = auc(source, anomalies), auc(target, anomalies)
    both = pauc(source + target, anomalies)
    return MachineResult(
        machine=machine,
        section=section,
        source=_domain(scored, "source"),
        target=_domain(scored, "target"),
        auc_source=auc_source,
        auc_target=auc_target,
        auc=auc(source + target, anomalies),
        pauc=both,
        official=harmonic_mean([auc_source, auc_target, both]),
    )


def _domain(scored: Sequence[ScoredClip], domain: Domain) -> DomainResult:
    normals = [item for item in scored if item.clip.domain == domain and not item.clip.anomalous]
    anomalies = [item for item in scored if item.clip.domain == domain and item.clip.anomalous]
    normal_scores = [item.score for item in normals]
    anomaly_scores = [item.score for item in anomalies]
    false_alarms = [item.alarms > 0 for item in normals]
    detections = [item.alarms > 0 for item in anomalies]
    return DomainResult(
        normals=len(normals),
        anomalies=len(anomalies),
        auc=auc(normal_scores, anomaly_scores),
        pauc=pauc(normal_scores, anomaly_scores),
        pauc_eq3=pauc_eq3(normal_scores, anomaly_scores),
        false_alarm_rate=alarm_rate(false_alarms),
        false_alarms_per_hour=alarms_per_hour([item.alarms for item in normals], [item.seconds for item in normals]),
        detection_rate=alarm_rate(detections),
        precision=precision(false_alarms, detections),
        f1=f1(false_alarms, detections),
    )
