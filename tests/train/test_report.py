"""The report of a real run: one file, nothing from elsewhere, and the numbers of the evaluation."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from asd_edge.errors import DataError
from asd_train.data.dcase import read_datasets
from asd_train.embedder import torch_pipeline
from asd_train.evaluation.evaluate import Evaluation, evaluation_of
from asd_train.evaluation.runs import evaluate_run
from asd_train.progress import Progress
from asd_train.published.beside import sheets
from asd_train.report.page import check_writable, write_report
from asd_train.report.study import Study, study
from asd_train.run import load_run
from tests.train.test_published import CELLS, DEV_2021

Written = tuple[str, Evaluation]
SILENT = Progress(enabled=False)
VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Tables by id as rows of text, figures by class, what is loaded, and whether every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.figures: list[str] = []
        self.captions: list[str] = []
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self._open: list[str] = []
        self._table: list[list[str]] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.loaded += [value for name, value in given.items() if name in ("src", "href", "xlink:href")]
        self.ids += [given["id"]] if "id" in given and "svg" not in self._open else []
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self._table = self.tables.setdefault(given.get("id", ""), [])
        elif tag == "tr":
            self._table.append([])
        elif tag in ("td", "th"):
            self._table[-1].append("")
        elif tag == "figure":
            self.figures.append(given["class"])
        elif tag == "figcaption":
            self.captions.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("td", "th"):
            self._table[-1][-1] += data
        if "figcaption" in self._open:
            self.captions[-1] += data


@pytest.fixture(scope="module")
def written(small_data: Path, tiny_runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Written:
    run, clips = load_run(tiny_runs[0]), read_datasets([str(small_data)])
    out = tmp_path_factory.mktemp("report") / "report.html"
    studied = study("<first> run", run, clips, domains="nearest", progress=SILENT)
    write_report([[studied]], clips, [str(small_data)], out, data_sets=(), domains="nearest", progress=SILENT)
    return out.read_text("utf-8"), evaluate_run(run, torch_pipeline(run), clips, progress=SILENT)


def test_the_numbers_are_those_of_the_evaluation(written: Written) -> None:
    text, evaluation = written
    page = Page(text)
    detection, alarms = page.tables["detection-1"][2:], page.tables["alarms-1"][2:]
    for row, alarm_row, m in zip(detection, alarms, evaluation.machines, strict=False):
        figures = (m.source.auc, m.source.pauc, m.target.auc, m.target.pauc)
        across = (m.auc_source, m.auc_target, m.pauc, m.official)
        assert row == [f"{m.machine}/{m.section}", *(f"{value:.3f}" for value in (*figures, *across))]
        assert alarm_row == [
            f"{m.machine}/{m.section}",
            *(
                text
                for d in (m.source, m.target)
                for text in (
                    f"{d.false_alarm_rate:.0%}",
                    f"{d.false_alarms_per_hour:.1f}",
                    f"{d.detection_rate:.0%}",
                    f"{d.precision:.3f}",
                    f"{d.f1:.3f}",
                )
            ),
        ]
    assert len(detection) == len(evaluation.machines) + 1
    assert detection[-1][1:] == [
        f"2021: Ω {evaluation.scores.omega_2021:.3f}",
        f"2022 and later: {evaluation.official:.3f}",
    ]


def test_every_machine_has_its_figures_and_every_figure_a_caption(written: Written) -> None:
    page = Page(written[0])
    a_machine = ["roc", "scores", "embeddings", *["clip"] * 4]
    assert page.figures == ["loss", *a_machine, *a_machine]
    assert len(page.captions) == len(page.figures)
    assert all(len(caption.split()) > 5 for caption in page.captions)
    clips = [caption for caption in page.captions if ".wav" in caption]
    assert [caption.partition(":")[0] for caption in clips[:4]] == [
        "A typical normal",
        "The normal nearest to an alarm",
        "The anomaly hardest to hear",
        "The clearest anomaly",
    ]
    assert "_anomaly_" in clips[2]
    assert "_normal_" in clips[1]


def test_the_page_needs_nothing_beside_it(written: Written) -> None:
    text, _ = written
    page = Page(text)
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in page.loaded)
    assert {address[1:] for address in page.loaded if address.startswith("#run")} <= set(page.ids)
    assert len(set(page.ids)) == len(page.ids)
    assert "<script" not in text
    assert "@import" not in text
    assert "<first>" not in text  # names are escaped
    assert "&lt;first&gt; run" in text


def test_drawings_take_their_ink_from_the_page(written: Written) -> None:
    drawings = ["<svg" + part.partition("</svg>")[0] + "</svg>" for part in written[0].split("<svg")[1:]]
    assert len(drawings) == 15
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        assert root.get("aria-label")
        assert "currentColor" in drawing
        assert not [node for node in root.iter() if (node.text or "").strip().startswith("0a0b0c")]
    embeddings = next(d for d in drawings if "on a plane" in d)
    for text in ("before: source centres only", "after imprinting", "target normal", "target centre"):
        assert text in embeddings


def test_several_runs_are_compared_first(small_data: Path, tiny_runs: list[Path], tmp_path: Path) -> None:
    clips = [c for c in read_datasets([str(small_data)]) if c.machine == "fan"]
    runs = [(path.name, load_run(path)) for path in tiny_runs]
    studies = [study(name, run, clips, domains="known", progress=SILENT) for name, run in runs]
    write_report(
        [[each] for each in studies],
        clips,
        ["data"],
        tmp_path / "r.html",
        data_sets=(),
        domains="known",
        progress=SILENT,
    )
    page = Page((tmp_path / "r.html").read_text("utf-8"))
    header, *rows = page.tables["comparison"]
    assert [row[:2] for row in rows] == [["tf_resnet (changed)", "0 1"]]
    official = [each.evaluation.official for each in studies]
    assert rows[0][header.index("score 2022")].startswith(f"{sum(official) / 2:.3f} ± ")
    assert [name for name in page.ids if name in ("run-1", "run-2")] == ["run-1", "run-2"]
    assert page.tables["clips"][1:] == [["fan/00", "18", "3", "3", "3", "3", "3"]]


def test_published_results_stand_beside_ours_with_their_notes(tiny_runs: list[Path], tmp_path: Path) -> None:
    evaluation = evaluation_of(CELLS)
    studied = Study("run", load_run(tiny_runs[0]), evaluation, machines=())
    write_report([[studied]], [], ["d"], tmp_path / "r.html", data_sets=[DEV_2021], domains="known", progress=SILENT)
    text = (tmp_path / "r.html").read_text("utf-8")
    header, *rows = Page(text).tables[""][: 1 + len(sheets({"x": [evaluation]}, [DEV_2021])[0].published) + 1]
    assert header[:3] == ["system", "from", "AUC, both domains"]
    assert ["tf_resnet mixup_intype alpha 1.0", "Chen 2022 T3", "79.20"] in [row[:3] for row in rows]
    assert rows[-1][:3] == ["tf_resnet (changed)", "ours, 1 seed", f"{100 * evaluation.scores.auc_2021:.2f}"]
    assert "fan totals print 74.66 and 67.34" in text
    sections = [row for row in Page(text).tables["detection-1"] if row[0] == "fan, all sections"]
    assert sections[0][1] == f"{evaluation.means[2].source_auc:.3f}"


def test_a_place_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    for out in (tmp_path, tmp_path / "missing" / "r.html"):
        with pytest.raises(DataError, match=r"(?s)cannot be written.*Choose another --out"):
            check_writable(out)
