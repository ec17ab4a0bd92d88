"""Each year's official score from cells that are given, against the formula written out."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from asd_train.evaluation.evaluate import Evaluation, evaluation_of
from asd_train.evaluation.results import DomainResult, MachineResult
from asd_train.evaluation.spread import FIGURES, Spread, headline, over_seeds

NAN = float("nan")


def domain(auc: float, pauc: float, *, f1: float = 0.5, per_hour: float = 1.0) -> DomainResult:
    return DomainResult(
        normals=50,
        anomalies=50,
        auc=auc,
        pauc=pauc,
        pauc_eq3=0.1,
        false_alarm_rate=0.1,
        false_alarms_per_hour=per_hour,
        detection_rate=0.5,
        precision=0.5,
        f1=f1,
    )


def cell(machine: str, section: str, *values: float) -> MachineResult:
    """AUC and pAUC within source, within target; AUC source, AUC target, pAUC across; AUC over everything."""
    s_auc, s_pauc, t_auc, t_pauc, auc_source, auc_target, pauc, auc = values
    return MachineResult(
        machine, section, domain(s_auc, s_pauc), domain(t_auc, t_pauc), auc_source, auc_target, auc, pauc, NAN
    )


CELLS = [
    cell("fan", "00", 0.9, 0.8, 0.6, 0.5, 0.85, 0.65, 0.7, 0.75),
    cell("fan", "01", 0.7, 0.6, 0.5, 0.5, 0.75, 0.55, 0.6, 0.65),
    cell("pump", "00", 0.8, 0.6, 0.4, 0.5, 0.8, 0.45, 0.55, 0.6),
]


def hmean(*values: float) -> float:
    return len(values) / sum(1 / value for value in values)


def test_2021_is_the_harmonic_mean_within_every_domain_of_every_section() -> None:
    scores = evaluation_of(CELLS).scores
    aucs, paucs = (0.9, 0.6, 0.7, 0.5, 0.8, 0.4), (0.8, 0.5, 0.6, 0.5, 0.6, 0.5)
    assert scores.auc_2021 == pytest.approx(hmean(*aucs))
    assert scores.pauc_2021 == pytest.approx(hmean(*paucs))
    assert scores.omega_2021 == pytest.approx(hmean(*aucs, *paucs))


def test_2022_is_the_harmonic_mean_of_three_figures_a_section_with_pauc_counted_once() -> None:
    evaluation = evaluation_of(CELLS)
    three = (0.85, 0.65, 0.7, 0.75, 0.55, 0.6, 0.8, 0.45, 0.55)
    assert evaluation.official == evaluation.scores.score_2022 == pytest.approx(hmean(*three))


def test_2020_is_the_arithmetic_mean_over_ids_and_then_over_machines() -> None:
    scores = evaluation_of(CELLS).scores
    assert scores.auc_2020 == pytest.approx(((0.75 + 0.65) / 2 + 0.6) / 2)
    assert scores.pauc_2020 == pytest.approx(((0.7 + 0.6) / 2 + 0.55) / 2)


def test_a_machine_is_averaged_over_its_sections() -> None:
    fan, pump = evaluation_of(CELLS[::-1]).means
    assert (fan.machine, pump.machine) == ("fan", "pump")
    assert fan.source_auc == pytest.approx(hmean(0.9, 0.7))
    assert fan.target_pauc == pytest.approx(0.5)
    assert fan.official == pytest.approx(hmean(0.85, 0.65, 0.7, 0.75, 0.55, 0.6))
    assert pump.target_auc == pytest.approx(0.4)


def test_what_has_no_value_is_left_out() -> None:
    lonely = replace(CELLS[0], target=domain(NAN, NAN), auc_target=NAN)
    scores = evaluation_of([lonely]).scores
    assert scores.omega_2021 == pytest.approx(hmean(0.9, 0.8))
    assert scores.score_2022 == pytest.approx(hmean(0.85, 0.7))


def test_seeds_give_mean_and_sample_deviation() -> None:
    spread = Spread.of([0.7, 0.8, 0.9])
    assert (spread.mean, spread.sd, spread.count) == (pytest.approx(0.8), pytest.approx(0.1), 3)
    assert spread.text() == "0.800 ± 0.100"
    assert Spread.of([0.5]).text(scale=100, digits=2) == "50.00"
    assert Spread.of([0.5, NAN]).text() == "–"
    assert math.isnan(Spread.of([]).mean)


def test_each_headline_figure_is_spread_over_the_seeds() -> None:
    better = [replace(c, source=replace(c.source, auc=c.source.auc + 0.05, f1=0.7)) for c in CELLS]
    seeds: list[Evaluation] = [evaluation_of(CELLS), evaluation_of(better)]
    figures = over_seeds(seeds)
    assert list(figures) == list(headline(seeds[0])) == list(FIGURES)
    assert figures["source AUC"].mean == pytest.approx((hmean(0.9, 0.7, 0.8) + hmean(0.95, 0.75, 0.85)) / 2)
    assert figures["source F1"] == Spread(pytest.approx(0.6), pytest.approx(0.02**0.5), 2)  # type: ignore[arg-type]
    assert figures["target AUC"].sd == 0.0
