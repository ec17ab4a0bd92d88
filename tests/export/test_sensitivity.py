"""The sweep: noise where it counts, and which layers it keeps in higher precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from asd_edge.engines.onnx_session import open_session
from asd_export.heard import Embeds, Feed
from asd_export.precision.plan import QuantisationPlan
from asd_export.precision.sensitivity import Sweep, noise_of, sweep

from . import int8_graphs

MACHINES = 2
Array = NDArray[np.float32]


def run(graph: bytes, feed: Feed) -> Array:
    outputs = ["embedding"]
    return np.asarray(
        open_session(graph, inputs=list(feed), outputs=outputs, threads=1, arena=True).run(outputs, feed)[0]
    )


def embeds_with(feeds: Sequence[Feed]) -> Embeds:
    """Embed by one graph behind the other, some feeds a machine."""

    def embeds(graphs: Mapping[str, bytes]) -> list[Array]:
        machines: list[list[Array]] = [[] for _ in range(MACHINES)]
        for i, feed in enumerate(feeds):
            (x,) = feed.values()
            for graph in graphs.values():
                x = run(graph, {"features": x})
            machines[i % MACHINES].append(x.reshape(len(x), -1))
        return [np.concatenate(embeddings) for embeddings in machines]

    return embeds


@pytest.fixture(scope="module")
def whole() -> dict[str, bytes]:
    return {"segment": int8_graphs.inverted_residuals()}


def layers(seed: int, *outputs: int) -> bytes:
    """Convolutions one behind the other, of so many output channels."""
    graph, x, channels = int8_graphs.Graph(seed), "features", 16
    for count in outputs:
        x, channels = graph.add("Relu", [graph.convolution(x, count, channels, 3, 3)]), count
    return graph.finish({"embedding": x}, {"features": ["batch", 16, 8, 8]})


def swept(graphs: dict[str, bytes], *, budget: float) -> Sweep:
    feeds = int8_graphs.feeds(next(iter(graphs.values())))
    taken = {}
    given = feeds
    for part, graph in graphs.items():
        taken[part] = given
        given = [{"features": run(graph, feed)} for feed in given]
    return sweep(graphs, taken, embeds_with(int8_graphs.feeds(next(iter(graphs.values())), seed=1)), budget=budget)


def test_noise_is_that_within_a_machine_without_a_constant_shift() -> None:
    """Independent: variances by NumPy, of machines that are far apart and shifted each by its own."""
    random = np.random.default_rng(0)
    normals = [random.normal(centre, 1.0, (500, 8)) for centre in (0.0, 100.0)]
    noises = [random.normal(0.0, size, (500, 8)) for size in (0.1, 0.3)]
    found = [x + noise + shift for x, noise, shift in zip(normals, noises, (5.0, -7.0), strict=True)]
    expected = noises[1].var(axis=0).sum() / normals[1].var(axis=0).sum()
    assert noise_of(found, normals) == pytest.approx(expected, rel=1e-6)  # type: ignore[arg-type]
    assert noise_of([x + 3.0 for x in normals], normals) < 1e-20  # type: ignore[arg-type]


def test_a_sweep_is_measured_and_reproducible(whole: dict[str, bytes]) -> None:
    found = swept(whole, budget=1.0)
    assert found == swept(whole, budget=1.0)
    assert found.plans == {"segment": QuantisationPlan(float32=("node_conv_0",))}  # one input channel
    assert found.noise == found.unplanned > 0.0
    strict = swept(whole, budget=0.0)
    assert strict.unplanned == found.unplanned
    assert strict.noise < found.noise
    kept = {each.layer for each in strict.layers if each.precision == "weights"}
    assert kept == set(strict.plans["segment"].weights) != set()
    first = max(found.layers, key=lambda layer: layer.noise)
    assert found.table().splitlines()[1].split()[:2] == ["segment", first.layer]


def test_a_layer_that_is_too_large_is_passed_over() -> None:
    found = swept({"segment": layers(4, 16, 64)}, budget=0.0)
    small, large = found.layers
    assert large.noise > small.noise > 0.0
    assert large.weights > 3 * small.weights
    assert (small.precision, large.precision) == ("weights", "int8")


def test_the_share_is_that_of_all_graphs() -> None:
    """One layer is all of its own graph, and a fifth of both."""
    found = swept({"stream": layers(4, 16), "head": layers(5, 64)}, budget=0.0)
    assert found.plans["stream"].weights == ("node_conv_0",)
    assert found.plans["head"].weights == ()
    assert found.noise < found.unplanned
