"""All graphs of a run, as a bundle carries them: each kind in each precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from asd_edge.bundle.embedder import load_embedder
from asd_edge.bundle.graphs import Graphs, SegmentGraph, StreamGraph, Tensor
from asd_edge.bundle.variants import Kind, Precision, members_of
from asd_edge.dsp.clip_spectrum import ClipSpectrumSpec
from asd_edge.engines.embedder import Embedder, StreamEmbedder
from asd_train.networks.tf_resnet import TFResNet
from asd_train.run import Run

from .graph import INPUT, OPSET, OUTPUT, SPECTRUM, ExportedGraph, export_graph
from .heard import Embeds, Feed
from .precision.half import halved
from .precision.quantise import quantised
from .precision.rounded import rounded
from .precision.sensitivity import Sweep, sweep
from .stream_graph import export_stream


@dataclass(frozen=True)
class ExportedGraphs:
    """What the manifest says of the graphs, the graphs by member of the bundle, and how those in int8 were planned."""

    described: Graphs
    members: Mapping[str, bytes]
    sweeps: Mapping[Kind, Sweep] = field(default_factory=dict)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Which of them there are."""
        segment: tuple[Kind, ...] = ("segment",) if self.described.segment is not None else ()
        return (*segment, "stream") if self.described.stream is not None else segment

    def embedder(self, kind: Kind, precision: Precision = "fp32") -> Embedder | StreamEmbedder:
        """Load one of them as a device does."""
        return load_embedder(self.described, self.members, kind, precision)

    def judged(self, kind: Kind, precision: Precision) -> Embedder | StreamEmbedder:
        """Load one of them as the parity gate runs it."""
        return judged(self.described, self.members, kind, precision)

    def with_precision(
        self, precision: Precision, kind: Kind, feeds: Mapping[str, Sequence[Feed]], embeds: Embeds
    ) -> ExportedGraphs:
        """Return these graphs and those of a kind in another precision, made from the ones in fp32.

        `feeds`: what each graph is fed with when it hears training normals (`feeds_of`); int8 is calibrated with it.
        `embeds`: embeds other normals with graphs of the kind (`embeds_of`); it tells which layers int8 harms.
        """
        graphs = {part: self.members[f"{part}.fp32.onnx"] for part in feeds}
        sweeps = self.sweeps
        if precision == "int8":
            found = sweep(graphs, feeds, embeds)
            sweeps = {**sweeps, kind: found}
            made = {part: quantised(graph, feeds[part], found.plans[part]) for part, graph in graphs.items()}
        else:
            made = {part: halved(graph) for part, graph in graphs.items()}
        members = {f"{part}.{precision}.onnx": graph for part, graph in made.items()}
        return replace(self, members={**self.members, **members}, sweeps=sweeps)


def judged(
    described: Graphs, members: Mapping[str, bytes], kind: Kind, precision: Precision
) -> Embedder | StreamEmbedder:
    """Load graphs as the parity gate runs them: what is in half precision is rounded, which a CPU may leave out."""
    names = members_of(kind, precision) if precision == "fp16" else ()
    return load_embedder(described, {**members, **{name: rounded(members[name]) for name in names}}, kind, precision)


def export_graphs(run: Run, *, both: bool) -> ExportedGraphs:
    """Export the graph that the recipe's embedder needs, in fp32; with `both` the segment graph beside a stream graph.

    Raises:
        EngineError: the exporter produced a graph that is not portable.
    """
    recipe, network = run.recipe, run.network
    bands, dims = recipe.front_end.bands, network.dims
    segment = stream = None
    members: dict[str, bytes] = {}
    if both or recipe.embedder == "segment":
        bins = ClipSpectrumSpec.beside(recipe.front_end, recipe.segment).bins if network.hears_spectrum else None
        exported = export_graph(network, frames=recipe.segment.frames, bands=bands, dims=dims, bins=bins)
        members["segment.fp32.onnx"] = exported.graph
        segment = described(exported)
    if recipe.embedder == "stream":
        assert isinstance(network, TFResNet)  # the recipe refuses any other
        streamed = export_stream(network)
        members |= {"stream.fp32.onnx": streamed.stream, "head.fp32.onnx": streamed.head}
        stream = StreamGraph.of(
            streamed.tensors, bands=bands, pooled=streamed.pooled, dims=dims, reach=streamed.reach, opset=OPSET
        )
    return ExportedGraphs(Graphs(segment=segment, stream=stream), members)


def described(exported: ExportedGraph) -> SegmentGraph:
    """Return a whole-segment graph as it stands in a manifest."""
    spectrum = exported.spectrum_shape
    return SegmentGraph(
        input=Tensor(name=INPUT, shape=exported.input_shape),
        output=Tensor(name=OUTPUT, shape=exported.output_shape),
        opset=OPSET,
        spectrum=None if spectrum is None else Tensor(name=SPECTRUM, shape=spectrum),
    )
