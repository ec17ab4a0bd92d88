"""Tables as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asd_train.evaluation.comparison import ComparedRecipe
    from asd_train.evaluation.evaluate import Evaluation
    from asd_train.published.beside import Sheet


def backends_table(results: Mapping[str, Evaluation]) -> str:
    """One line a backend and machine, and the official score of all machines under each backend."""
    wide = max(map(len, results))
    heads = f"{'AUC_s':>6} {'AUC_t':>6} {'pAUC':>6} {'hmean':>6} {'false alarms s, t':>18} {'detected s, t':>16}"
    lines = [f"{'backend':{wide}} {'machine':16} {heads}"]
    for name, result in results.items():
        for m in result.machines:
            figures = f"{m.auc_source:6.3f} {m.auc_target:6.3f} {m.pauc:6.3f} {m.official:6.3f}"
            alarms = f"{m.source.false_alarm_rate:10.1%} {m.target.false_alarm_rate:7.1%}"
            detected = f"{m.source.detection_rate:8.1%} {m.target.detection_rate:7.1%}"
            lines.append(f"{name:{wide}} {f'{m.machine}/{m.section}':16} {figures} {alarms} {detected}")
        lines.append(f"{name:{wide}} {'official score':37} {result.official:6.3f}")
    return "\n".join(lines)


def evaluation_table(result: Evaluation) -> str:
    """One line a machine and section, then each machine with more than one, then the years' official scores."""
    lines = [
        f"{'':16} {'within the domain: AUC / pAUC / false alarms / detected':59}   normals against all anomalies",
        f"{'machine':16} {'source':>29} {'target':>29}   {'AUC_s':>6} {'AUC_t':>6} {'pAUC':>6} {'hmean':>6}",
    ]
    for m in result.machines:
        domains = " ".join(
            f"{d.auc:8.3f} {d.pauc:6.3f} {d.false_alarm_rate:6.1%} {d.detection_rate:6.1%}"
            for d in (m.source, m.target)
        )
        unit = f"{m.machine}/{m.section}"
        lines.append(f"{unit:16} {domains}   {m.auc_source:6.3f} {m.auc_target:6.3f} {m.pauc:6.3f} {m.official:6.3f}")
    sections = [m.machine for m in result.machines]
    for mean in result.means:
        if sections.count(mean.machine) > 1:
            domains = f"{mean.source_auc:8.3f} {mean.source_pauc:6.3f} {'':13} "
            domains += f"{mean.target_auc:8.3f} {mean.target_pauc:6.3f} {'':13}"
            three = f"{mean.auc_source:6.3f} {mean.auc_target:6.3f} {mean.pauc:6.3f}"
            lines.append(f"{mean.machine:16} {domains}   {three} {mean.official:6.3f}")
    lines += ["", f"{'':16} {'F1 / precision / false alarms an hour of normal sound':>29}"]
    for m in result.machines:
        domains = " ".join(
            f"{d.f1:8.3f} {d.precision:6.3f} {d.false_alarms_per_hour:6.1f} {'':6}" for d in (m.source, m.target)
        )
        lines.append(f"{f'{m.machine}/{m.section}':16} {domains}".rstrip())
    scores = result.scores
    lines += [
        "",
        f"official score (harmonic mean, 2022 and later): {result.official:.3f}",
        f"2021: Ω {scores.omega_2021:.3f} (AUC {scores.auc_2021:.3f}, pAUC {scores.pauc_2021:.3f})"
        f" · 2020: AUC {scores.auc_2020:.3f}, pAUC {scores.pauc_2020:.3f}",
    ]
    return "\n".join(lines)


def comparison_table(lines: Sequence[ComparedRecipe]) -> str:
    """Two tables with one line a recipe, narrow enough for a terminal: how well it hears, then what it costs.

    Figures are mean ± deviation over seeds. Machines: how many with their sections; lines of different numbers do not
    compare.
    """
    hears = [name for name in lines[0].figures if name not in _AT_THRESHOLD]
    first, second = [["recipe", "", "machines", *hears]], [["recipe", "", "seeds", *_COSTS, *_AT_THRESHOLD]]
    for line in lines:
        size = [f"{line.parameters:,}", f"{line.multiply_adds / 1e6:,.1f} M", f"{line.training_s / 60:.1f} min"]
        first.append([line.name, "", str(len(line.evaluations[0].machines)), *_texts(line, hears)])
        second.append([line.name, "", str(len(line.seeds)), *size, *_texts(line, _AT_THRESHOLD)])
    return f"{_aligned(first)}\n\n{_aligned(second)}"


_COSTS = ("parameters", "multiply-adds", "training")
_AT_THRESHOLD = ("source F1", "target F1", "false alarms/h")


def _texts(line: ComparedRecipe, names: Sequence[str]) -> list[str]:
    return [line.figures[name].text(digits=1 if name == "false alarms/h" else 3) for name in names]


def sheet_table(sheet: Sheet) -> str:
    """What was published, and ours."""
    rows = [["", f"{sheet.data_set}; percent", *(column.title for column in sheet.columns)]]
    for line in (*sheet.published, *sheet.ours):
        rows.append([line.origin, line.system, *(line.cells.get(column, "") for column in sheet.columns)])
    return "\n".join([_aligned(rows), *sheet.notes])


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns under each other: text from the left, numbers, which begin in the third column, from the right."""
    wide = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            f"{cell:<{width}}" if i < 2 else f"{cell:>{width}}"
            for i, (cell, width) in enumerate(zip(row, wide, strict=True))
        ).rstrip()
        for row in rows
    )
