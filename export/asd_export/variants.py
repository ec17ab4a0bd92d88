"""The variants of a bundle: each graph in each precision, commissioned with itself and held to the parity gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, NoReturn

import numpy as np

from asd_edge.bundle.golden import Golden
from asd_edge.bundle.variants import Kind, Parity, Precision
from asd_edge.engines.embedder import StreamEmbedder
from asd_edge.errors import EngineError
from asd_edge.pipeline import Pipeline
from asd_edge.serving.verify import golden_embeddings
from asd_edge.timing import in_turns
from asd_train.commission import MachineReference
from asd_train.data.clip import Clip
from asd_train.evaluation.scored import ScoredClip, score_clips
from asd_train.progress import Progress

from .accept import golden_deviation, refusal, too_far, with_scores
from .graphs import ExportedGraphs
from .heard import Embeds, Feed, embeds_of, feeds_of, learned, spread
from .parity import true_on_sounds
from .precision.layers import deviations, table
from .precision.rounded import rounded
from .scores import Compared, compare_scores

CALIBRATING = 48
"""Training normals that int8 is calibrated with, and more where machines and sections are many."""
_EMBEDDED, _AT_MOST = 4, 48
"""Held-out normals that tell which layers int8 harms: of each machine and section, and of all."""
_SPEED_S = 1.0
_WORTH = 1.5  # times as fast: less is not worth eight bits
_STEP = 31  # frames of a second of sound

Commission = Callable[[Pipeline], list[MachineReference]]


@dataclass(frozen=True)
class VariantMade:
    """A variant that passed, with what is normal for each machine as it hears."""

    kind: Kind
    precision: Precision
    parity: Parity
    references: list[MachineReference]


@dataclass(frozen=True)
class LeftOut:
    """A graph that failed the parity gate: `why`, and the deviations of its layers as text."""

    kind: Kind
    precision: Precision
    why: str
    layers: str


@dataclass(frozen=True)
class Made:
    """Everything that passed, and what did not."""

    graphs: ExportedGraphs
    golden: Golden
    variants: tuple[VariantMade, ...]
    left_out: tuple[LeftOut, ...]


def refuse(left_out: LeftOut) -> NoReturn:
    """Raise EngineError for a graph that failed the gate."""
    raise EngineError(
        f"The graph {left_out.kind}/{left_out.precision} is not as good as the trained network",
        found=f"{left_out.why}\n{left_out.layers}",
        expected="a graph that passes the parity gate (docs/parity.md)",
        remedy=REMEDIES[left_out.precision],
    )


REMEDIES: Final[Mapping[Precision, str]] = {
    "fp32": "Pin torch, onnx and onnxscript as in constraints.txt and export again.",
    "fp16": "Leave fp16 out: numbers of this network do not fit half precision where the table jumps.",
    "int8": "Leave int8 out, or train for it: asd-train quantise-aware (docs/training.md).",
}


@dataclass(frozen=True)
class Material:
    """What variants are made and judged with.

    `pipeline`: of the run, with any embedder. `clips`: labelled, of all splits. `commissioned`: makes the references.
    """

    pipeline: Pipeline
    clips: Sequence[Clip]
    held_out: Sequence[str]
    channel: int | None
    commissioned: Commission
    progress: Progress

    @property
    def units(self) -> list[str]:
        """The machines and sections that are commissioned."""
        return sorted({clip.unit for clip in self.clips if clip.split == "train" and clip.anomalous is False})

    @property
    def tests(self) -> list[Clip]:
        """The clips whose scores are compared."""
        return [clip for clip in self.clips if clip.split == "test"]

    def feeds(self, graphs: ExportedGraphs, kind: Kind) -> dict[str, list[Feed]]:
        """Return what graphs are fed with when they hear normals that training saw."""
        most = max(CALIBRATING, 2 * len({clip.unit for clip in self.clips}))
        heard = learned(self.clips, self.held_out, most)
        pipeline = replace(self.pipeline, embedder=graphs.embedder(kind))
        return feeds_of(graphs.described, kind, pipeline, heard, channel=self.channel)

    def embeds(self, graphs: ExportedGraphs, kind: Kind) -> Embeds:
        """Return what embeds normals that training did not see with graphs of a kind."""
        most = min(_AT_MOST, _EMBEDDED * len({clip.unit for clip in self.clips}))
        heard = spread(self.clips, self.held_out, most)
        return embeds_of(graphs.described, kind, self.pipeline, heard, channel=self.channel)

    def scored(self, pipeline: Pipeline, references: Sequence[MachineReference]) -> list[ScoredClip]:
        """Score the test clips with a variant; none where there are none."""
        known = {f"{reference.machine}/{reference.section}": reference.conditions for reference in references}
        tests = [clip for clip in self.tests if clip.unit in known]
        if not tests:
            return []
        return score_clips(pipeline, known, tests, channel=self.channel, progress=self.progress)


def make_variants(
    graphs: ExportedGraphs, golden: Golden, material: Material, *, precisions: Sequence[Precision]
) -> Made:
    """Make every kind of graph in every precision, and keep those that pass the gate.

    Raises:
        EngineError: a graph in fp32 fails, or one cannot be made.
        DataError: a machine cannot be commissioned.
        SourceError: a clip cannot be read.
    """
    variants: list[VariantMade] = []
    left_out: list[LeftOut] = []
    for kind in graphs.kinds:
        feeds = material.feeds(graphs, kind) if set(precisions) - {"fp32"} else {}
        reference: list[ScoredClip] = []
        for precision in sorted({"fp32", *precisions}, key=("fp32", "fp16", "int8").index):
            whole, note = graphs, None
            if precision != "fp32":
                whole = graphs.with_precision(precision, kind, feeds, material.embeds(graphs, kind))
            if precision == "fp16":
                whole, note = true_on_sounds(whole, kind, material.pipeline, unit=golden.unit)
            pipeline = replace(material.pipeline, embedder=whole.embedder(kind, precision))
            found = golden_embeddings(replace(pipeline, embedder=whole.judged(kind, precision)), golden)
            parity = Parity(deviation=golden_deviation(found, golden, kind), note=note)
            why = too_far(precision, parity.deviation)
            if why is None:  # before hours are spent on a graph that is broken
                references = material.commissioned(pipeline)
                scored = material.scored(pipeline, references)
                compared = compare_scores(reference, scored, material.units) if reference else Compared()
                reference = reference or scored
                why = refusal(precision, parity.deviation, compared)
            if why is None:
                exported = {**golden.exported, (kind, precision): golden_embeddings(pipeline, golden)}
                parity = _timed(with_scores(parity, compared), whole, kind, precision, golden)
                graphs, golden = whole, replace(golden, exported=exported)
                variants.append(VariantMade(kind, precision, parity, references))
            else:
                left_out.append(LeftOut(kind, precision, why, _layers(graphs, whole, kind, precision, feeds)))
                if precision == "fp32":
                    refuse(left_out[-1])
    return Made(graphs, golden, tuple(variants), tuple(left_out))


def _timed(parity: Parity, graphs: ExportedGraphs, kind: Kind, precision: Precision, golden: Golden) -> Parity:
    """Measure how many times as fast as fp32 a graph runs on one thread here; int8 says so if it gains little."""
    if precision == "fp32":
        return parity
    runs = {each: _run(graphs, kind, each, golden) for each in ("fp32", precision)}
    times = in_turns(runs, seconds=_SPEED_S)
    fp32, own = times["fp32"], times[precision]
    speed = fp32.median / own.median
    spread_of = speed * (fp32.deviation / fp32.median + own.deviation / own.median)
    slow = precision == "int8" and speed < _WORTH
    note = f"int8 is no more than {speed:.2f} times as fast as fp32 on the CPU where it was exported"
    told = {"speed": speed, "speed_deviation": spread_of} | ({"note": note} if slow else {})
    return Parity(**parity.model_dump() | told)


def _run(graphs: ExportedGraphs, kind: Kind, precision: Precision, golden: Golden) -> Callable[[], object]:
    """Return one run of one channel: a segment, or a second of a stream."""
    embedder = graphs.embedder(kind, precision)
    if isinstance(embedder, StreamEmbedder):
        pasts = [past[None] for past in embedder.initial_pasts()]
        return partial(embedder.advance, np.ascontiguousarray(golden.features[:1, :_STEP]), pasts)
    graph = graphs.described.segment
    assert graph is not None
    frames = graph.input.shape[1]
    reach = (golden.features.shape[1] - frames) // 2
    features = np.ascontiguousarray(golden.features[:1, reach : reach + frames])
    return partial(embedder.embed, features, None if golden.spectra is None else golden.spectra[:1])


def _layers(
    fp32: ExportedGraphs, other: ExportedGraphs, kind: Kind, precision: Precision, feeds: Mapping[str, Sequence[Feed]]
) -> str:
    if precision == "fp32":
        return "the graph was held to the network it was exported from, which has no layers by these names"
    tables = [other.sweeps[kind].table()] if precision == "int8" else []
    for part, heard in feeds.items():
        names = f"{part}.fp32.onnx", f"{part}.{precision}.onnx"
        graph = other.members[names[1]]
        judged = rounded(graph) if precision == "fp16" else graph
        tables.append(f"{part}:\n" + table(deviations(fp32.members[names[0]], judged, heard[:4])))
    return "\n".join(tables)
