"""The page of benchmarks, from new results and from ones that older benchmarks left."""

from __future__ import annotations

import json
from pathlib import Path

from tests.bench import render_finetuning
from tests.bench.render import ALARMS, DETECTION, FLIGHTS, render
from tests.bench.render_tensorrt import tensorrt

OLD = dict.fromkeys((*FLIGHTS, *ALARMS), 0.5) | {"classes": 20, "epochs": 16, "training_s": 200}
NEW = OLD | dict.fromkeys(DETECTION, 0.25)


def row(page: str, name: str) -> list[str]:
    (line,) = [line for line in page.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_detection_stands_beside_false_alarms_and_older_results_leave_it_open(tmp_path: Path) -> None:
    flights = {"naive": OLD, "tf_resnet seed 0": OLD, "tf_resnet seed 1": NEW}
    (tmp_path / "flights.json").write_text(json.dumps(flights))
    page = render(tmp_path)
    assert row(page, "naive baseline")[-4:] == ["0.500", "0.500", "–", "–"]
    assert row(page, "tf_resnet seed 1")[-4:] == ["0.500", "0.500", "0.250", "0.250"]
    assert row(page, "tf_resnet, 2 seeds")[-4:] == ["0.500 ± 0.000", "0.500 ± 0.000", "0.250", "0.250"]


def test_the_default_bundle_stands_beside_the_naive_baseline_with_both_quantiles_told(tmp_path: Path) -> None:
    machine = NEW | {f"naive_{name}": value / 2 for name, value in NEW.items()}
    results = {"official": 0.7, "naive_official": 0.6, "machines": {"fan": machine, "pump": OLD}}
    (tmp_path / "default_model.json").write_text(json.dumps(results))
    page = render(tmp_path)
    assert row(page, "fan")[-2:] == ["0.125 / 0.125", "0.250 / 0.250"]
    assert row(page, "pump")[-2:] == ["– / –", "– / –"]
    assert "the 0.995 quantile" in page
    assert "the 0.9 quantile" in page


def test_the_gain_of_fine_tuning_is_that_of_the_pairs() -> None:
    def few(imprint: float, gain: float) -> dict[str, float]:
        cell = {"source": 0.5, "one class imprint": imprint, "one class finetune": imprint + gain}
        cell["one class finetune source"] = 0.5
        for n in render_finetuning.SHOTS:
            cell |= {f"imprint n={n}": imprint, f"finetune n={n}": imprint + gain, f"finetune n={n} source": 0.4}
        return cell

    told = {"date": "2026-01-01", "processor": "a processor", "python": "3.12"}
    page = render_finetuning.render({"machine": told, "fan seed 0 few": few(0.5, 0.1), "fan seed 1 few": few(0.9, 0.1)})
    assert "Finished seeds: fan 2." in page
    assert "| fan | imprint | 0.700 ± 0.283 | 0.700 ± 0.283 | 0.700 ± 0.283 | – |" in page
    assert "| fan | gain | +0.100 ± 0.000 | +0.100 ± 0.000 | +0.100 ± 0.000 |  |" in page
    assert "| fan | 0.500 ± 0.000 | -0.100 ± 0.000 |" in page


def test_three_ways_to_int8_stand_side_by_side_and_what_was_not_measured_is_left_out(tmp_path: Path) -> None:
    told = {"date": "2026-01-01", "processor": "a processor", "python": "3.12"}
    ours = {"bytes": 300, "size": 0.3, "times_faster": 2.0, "deviation": 0.1, "cosine_distance": 1e-4}
    results = {"machine": told, "modelopt": "0.1", "graphs": {"one": {"ours": ours, "modelopt": ours}}}
    (tmp_path / "quantisers.json").write_text(json.dumps(results))
    page = render(tmp_path)
    assert "| one | ours (`asd_export.precision`) | 30% | 2.00 ± 0.10 | 1.0e-04 |" in page
    assert "nvidia-modelopt 0.1." in page
    assert "| one | onnxruntime" not in page


def test_a_graph_that_does_not_build_and_one_that_was_not_tried_stand_in_the_table() -> None:
    built = {"graph_bytes": 2_000_000, "engine_bytes": 3_500_000, "seconds": 1.26}
    cells = {"fp32": built, "fp16": {"graph_bytes": 1, "error": "In node 4"}}
    told = {"date": "2026-01-01", "processor": "a processor", "python": "3.12"}
    page = tensorrt({"machine": told, "cells": {"tf_resnet": {"stream": cells}}, "same": {"tf_resnet": ["twin"]}})
    assert row(page, "tf_resnet") == ["stream", "2.00 → 3.50 MB, 1.3 s", "refused: In node 4", "–"]
    assert "1 of 2 graphs build. The same graphs: twin: as tf_resnet." in page
    assert "Not built yet" in tensorrt(None)
