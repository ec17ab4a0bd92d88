"""The official score of each year of DCASE Task 2, and the means over a machine's sections they are made of.

A figure without value (a domain that has no test clips) is left out of a mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from .metrics import arithmetic_mean, harmonic_mean
from .results import MachineResult


@dataclass(frozen=True, slots=True)
class MachineMeans:
    """A machine over its sections: harmonic means, but `mean_auc` and `mean_pauc`, which are arithmetic as in 2020.

    `source_auc` to `target_pauc`: within the domain. `auc_source`, `auc_target`, `pauc`: as `MachineResult` has them.
    `official`: of these three of every section.
    """

    machine: str
    source_auc: float
    source_pauc: float
    target_auc: float
    target_pauc: float
    auc_source: float
    auc_target: float
    pauc: float
    official: float
    mean_auc: float
    mean_pauc: float


@dataclass(frozen=True, slots=True)
class OfficialScores:
    """All machines.

    `auc_2020`, `pauc_2020`: arithmetic means over machines of their `mean_auc` and `mean_pauc`. (The ranks that decided
    the challenge need other teams.)
    `omega_2021`: Ω, the harmonic mean of AUC and pAUC within each domain of every machine and section (Kawaguchi et
    al., DCASE 2021, section 3.2). `auc_2021`, `pauc_2021`: the same of either alone, as papers report it.
    `score_2022`: harmonic mean of AUC source, AUC target and pAUC of every machine and section; 2022 and later.
    """

    auc_2020: float
    pauc_2020: float
    omega_2021: float
    auc_2021: float
    pauc_2021: float
    score_2022: float


def official_scores(results: Sequence[MachineResult]) -> OfficialScores:
    """Compute every year's official score from the results of all machines and sections."""
    means = machine_means(results)
    aucs, paucs = within_domains(results)
    return OfficialScores(
        auc_2020=arithmetic_mean(each.mean_auc for each in means),
        pauc_2020=arithmetic_mean(each.mean_pauc for each in means),
        omega_2021=harmonic_mean(aucs + paucs),
        auc_2021=harmonic_mean(aucs),
        pauc_2021=harmonic_mean(paucs),
        score_2022=harmonic_mean(three_of_each(results)),
    )


def machine_means(results: Sequence[MachineResult]) -> list[MachineMeans]:
    """Return the means of every machine over its sections, by name."""
    by_machine = groupby(sorted(results, key=lambda r: (r.machine, r.section)), key=lambda r: r.machine)
    return [_means(machine, list(sections)) for machine, sections in by_machine]


def within_domains(results: Iterable[MachineResult]) -> tuple[list[float], list[float]]:
    """Return all AUCs and all pAUCs within a domain: the definition of 2021."""
    domains = [domain for r in results for domain in (r.source, r.target)]
    return [domain.auc for domain in domains], [domain.pauc for domain in domains]


def three_of_each(results: Iterable[MachineResult]) -> list[float]:
    """Return AUC source, AUC target and pAUC of each: the definition of 2022 and later."""
    return [value for r in results for value in (r.auc_source, r.auc_target, r.pauc)]


def _means(machine: str, sections: list[MachineResult]) -> MachineMeans:
    return MachineMeans(
        machine=machine,
        source_auc=harmonic_mean(r.source.auc for r in sections),
        source_pauc=harmonic_mean(r.source.pauc for r in sections),
        target_auc=harmonic_mean(r.target.auc for r in sections),
        target_pauc=harmonic_mean(r.target.pauc for r in sections),
        auc_source=harmonic_mean(r.auc_source for r in sections),
        auc_target=harmonic_mean(r.auc_target for r in sections),
        pauc=harmonic_mean(r.pauc for r in sections),
        official=harmonic_mean(three_of_each(sections)),
        mean_auc=arithmetic_mean(r.auc for r in sections),
        mean_pauc=arithmetic_mean(r.pauc for r in sections),
    )
