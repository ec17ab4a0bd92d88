"""A table made again, cell by cell: what is finished is kept, what does not belong is refused."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from asd_edge.errors import DataError
from asd_train.data.clip import Clip
from asd_train.data.dcase import read_datasets
from asd_train.data.limit import limited
from asd_train.embedder import torch_pipeline
from asd_train.evaluation.comparison import EvaluatedRun, compare_runs
from asd_train.evaluation.runs import evaluate_run
from asd_train.progress import Progress
from asd_train.reproduce import Plan, reproduce_cell
from asd_train.run import load_run
from tests.train.tiny_recipe import tiny_recipe

SILENT = Progress(enabled=False)
RECIPE = tiny_recipe(epochs=1)
Finished = tuple[Path, EvaluatedRun]


def made(clips: list[Clip], data: Path, out: Path, *, epochs: int = 1) -> EvaluatedRun:
    return reproduce_cell(Plan(clips, [str(data)], "known", out), tiny_recipe(epochs=epochs), 0, progress=SILENT)


@pytest.fixture(scope="module")
def clips(small_data: Path) -> list[Clip]:
    return read_datasets([str(small_data)])


@pytest.fixture(scope="module")
def finished(clips: list[Clip], small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    out = tmp_path_factory.mktemp("table") / "out"
    return out, made(clips, small_data, out)


def test_a_cell_is_the_evaluation_of_its_run(finished: Finished, clips: list[Clip]) -> None:
    out, cell = finished
    run = load_run(out / RECIPE.name / "seed-0")
    ours = evaluate_run(run, torch_pipeline(run), clips, domains="known", progress=SILENT)
    assert cell.evaluation.to_json() == ours.to_json()
    assert (cell.recipe, cell.seed, cell.parameters) == (
        "tf_resnet (changed)",
        0,
        sum(parameter.numel() for parameter in run.network.parameters()),
    )
    assert cell.training_s is not None


def test_a_finished_cell_is_neither_trained_nor_scored_again(
    finished: Finished, clips: list[Clip], small_data: Path
) -> None:
    out, cell = finished
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    again = made(clips, small_data, out)
    assert again.evaluation.to_json() == cell.evaluation.to_json()
    assert again.training_s == cell.training_s
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_a_run_that_was_not_scored_yet_is_scored_and_not_trained_again(
    finished: Finished, clips: list[Clip], small_data: Path, tmp_path: Path
) -> None:
    out, cell = finished
    trained = tmp_path / RECIPE.name / "seed-0"
    trained.parent.mkdir()
    (out / RECIPE.name / "seed-0").rename(trained)
    try:
        before = (trained / "run.json").stat().st_mtime_ns
        again = made(clips, small_data, tmp_path)
        assert again.evaluation.to_json() == cell.evaluation.to_json()
        assert again.training_s == cell.training_s
        assert (trained / "run.json").stat().st_mtime_ns == before
    finally:
        trained.rename(out / RECIPE.name / "seed-0")


def test_what_was_made_otherwise_is_refused(
    finished: Finished, clips: list[Clip], small_data: Path, tmp_path: Path
) -> None:
    out, _ = finished
    with pytest.raises(DataError, match=r"(?s)does not belong.*a cell of tf_resnet .*Choose another --out"):
        made(clips, small_data, out, epochs=2)
    with pytest.raises(DataError, match="a cell made with other clips"):
        made(clips[:-1], small_data, out)
    path = out / RECIPE.name / "seed-0.known.json"
    document = json.loads(path.read_text())
    kept = tmp_path / RECIPE.name / path.name
    kept.parent.mkdir()
    for broken, says in (
        (document | {"version": 2}, "version 2"),
        (document | {"surplus": 1}, "surplus"),
        (document | {"scores": [document["scores"][0] | {"key": "fan/00/none.wav"}]}, "fan/00/none.wav"),
    ):
        kept.write_text(json.dumps(broken))
        with pytest.raises(DataError, match=says):
            made(clips, small_data, tmp_path)


def test_a_limit_keeps_some_clips_of_every_kind_and_spreads_them(clips: list[Clip]) -> None:
    few = limited(clips, 2)
    kinds = Counter((c.unit, c.split, c.domain, c.anomalous) for c in few)
    assert set(kinds) == {(c.unit, c.split, c.domain, c.anomalous) for c in clips}
    assert set(kinds.values()) == {2}
    source = [c for c in limited(clips, 9) if (c.machine, c.split, c.domain) == ("fan", "train", "source")]
    assert len({c.attributes for c in source}) > 4
    assert limited(clips, 1000) == sorted(clips, key=clips.index)


def test_seeds_of_one_recipe_are_one_line_and_variants_are_lines_of_their_own(
    finished: Finished,
) -> None:
    cell = finished[1]
    (line,) = compare_runs([cell, replace(cell, seed=1, training_s=cell.training_s + 2.0)])
    assert (line.name, line.seeds, line.training_s) == (
        "tf_resnet (changed)",
        (0, 1),
        pytest.approx(cell.training_s + 1.0),
    )
    assert line.figures["score 2022"].mean == pytest.approx(cell.evaluation.official)
    assert line.figures["score 2022"].sd == 0.0
    one, other = compare_runs([cell, replace(cell, variant="edited")])
    assert {one.name, other.name} == {f"tf_resnet (changed) ({cell.variant})", "tf_resnet (changed) (edited)"}
    assert json.loads(json.dumps(one.to_json(), allow_nan=False))["figures"]["score 2022"]["sd"] is None
