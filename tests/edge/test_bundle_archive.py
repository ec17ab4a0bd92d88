"""Bundle v4: what is written reads back, the bytes are reproducible, and any zip tool can look inside."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import fields
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from asd_edge.bundle.archive import load_bundle
from asd_edge.bundle.fields import FrontEndFields, SegmentFields, WindowFields
from asd_edge.bundle.graphs import Graphs, Tensor
from asd_edge.dsp.front_end import FrontEndSpec
from asd_edge.dsp.segments import SegmentSpec
from asd_edge.errors import BundleError
from asd_edge.scoring.aggregation import WindowSpec
from asd_edge.scoring.backends.k_means import KMeans
from tests.edge.tiny_bundle import GOLDEN, SEGMENT, make_tiny_bundle, tiny_description


def of_bands(bands: int) -> bytes:
    """The tiny graph for another number of bands: its weights are repeated or cut."""
    model = onnx.load_from_string((GOLDEN / "tiny_embedder.onnx").read_bytes())
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = bands
    (weights,) = (tensor for tensor in model.graph.initializer if tensor.name == "weights")
    weights.CopyFrom(numpy_helper.from_array(np.resize(numpy_helper.to_array(weights), (bands, 16)), "weights"))
    return model.SerializeToString()


def of_two_inputs(bins: int) -> bytes:
    """The tiny graph with a second input, which it does not listen to."""
    model = onnx.load_from_string((GOLDEN / "tiny_embedder.onnx").read_bytes())
    model.graph.input.append(helper.make_tensor_value_info("spectrum", onnx.TensorProto.FLOAT, ["batch", bins]))
    return model.SerializeToString()


@pytest.fixture
def tiny_bundle(tmp_path: Path) -> Path:
    make_tiny_bundle(tmp_path / "tiny.asd")
    return tmp_path / "tiny.asd"


def test_what_is_written_reads_back(tmp_path):
    numbers = np.arange(32, dtype=np.float32)
    written = make_tiny_bundle(tmp_path / "b.asd", arrays={"conditions": numbers})
    read = load_bundle(tmp_path / "b.asd")
    assert read.manifest == written.manifest
    assert read.graphs == written.graphs
    np.testing.assert_array_equal(read.arrays["conditions"], numbers)
    np.testing.assert_array_equal(read.arrays["mel"], FrontEndSpec().mel())
    assert read.bundle_id == hashlib.sha256((tmp_path / "b.asd").read_bytes()).hexdigest()


def test_the_same_content_gives_the_same_bytes(tmp_path):
    first = make_tiny_bundle(tmp_path / "one.asd")
    second = make_tiny_bundle(tmp_path / "two.asd")
    assert first.bundle_id == second.bundle_id
    assert (tmp_path / "one.asd").read_bytes() == (tmp_path / "two.asd").read_bytes()


def test_the_container_is_a_zip_that_zipfile_reads(tiny_bundle):
    with zipfile.ZipFile(tiny_bundle) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["manifest.json", "segment.fp32.onnx", "mel.npy", "conditions.npy", "golden.npy"]
        manifest = json.loads(archive.read("manifest.json"))
        for name, member in manifest["members"].items():
            data = archive.read(name)
            assert member == {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        with archive.open("conditions.npy") as stream:
            assert np.load(stream, allow_pickle=False).shape == (32,)


def test_a_magnitude_front_end_has_no_mel_matrix(tmp_path, tiny_bundle):
    told = load_bundle(tiny_bundle).manifest
    magnitude = told.front_end.model_copy(update={"feature": "magnitude"})
    wide = SEGMENT.model_copy(update={"input": Tensor(name="features", shape=(-1, 64, 513))})
    graphs = Graphs(segment=wide, stream=None)
    graph = {"segment.fp32.onnx": of_bands(513)}
    bundle = make_tiny_bundle(tmp_path / "m.asd", front_end=magnitude, graphs=graphs, graphs_bytes=graph)
    assert set(bundle.arrays) == {"conditions", "golden"}
    mel = np.ones((513, 128), dtype=np.float32)
    with pytest.raises(BundleError, match=r"mel\.npy"):
        make_tiny_bundle(
            tmp_path / "m.asd", front_end=magnitude, graphs=graphs, graphs_bytes=graph, arrays={"mel": mel}
        )


@pytest.mark.parametrize(
    ("model", "spec"),
    [(FrontEndFields, FrontEndSpec), (SegmentFields, SegmentSpec), (WindowFields, WindowSpec)],
)
def test_the_manifest_mirrors_the_values_that_are_computed_with(model, spec):
    assert list(model.model_fields) == [field.name for field in fields(spec)]
    assert model.of(spec()).spec() == spec()


def test_keys_that_came_later_are_absent_at_their_default_and_change_no_older_bundle(tiny_bundle):
    told = json.loads(load_bundle(tiny_bundle).manifest.to_json())
    assert told["segment"] == {"frames": 64, "step": 32}
    assert set(told["graphs"]["segment"]) == {"input", "output", "opset"}
    # What `embedding_id` is made of, so that what was enrolled with a bundle from before still belongs to it.
    assert SegmentFields.of(SegmentSpec()).model_dump_json() == '{"frames":64,"step":32}'


def test_how_a_segment_is_heard_reads_back_and_makes_another_embedding(tmp_path, tiny_bundle):
    spec = SegmentSpec(level="standardised", spectrum=True)
    heard = SEGMENT.model_copy(update={"spectrum": Tensor(name="spectrum", shape=(-1, 16_640))})
    changes = {"segment": SegmentFields.of(spec), "graphs": Graphs(segment=heard, stream=None)}
    written = make_tiny_bundle(tmp_path / "b.asd", **changes, graphs_bytes={"segment.fp32.onnx": of_two_inputs(16_640)})
    read = load_bundle(tmp_path / "b.asd")
    assert read.manifest == written.manifest
    assert read.manifest.segment.spec() == spec
    assert read.embedding_id != load_bundle(tiny_bundle).embedding_id
    assert read.pipeline().embedder.dims == 16
    with pytest.raises(BundleError, match="spectrum, as the manifest says"):
        make_tiny_bundle(tmp_path / "c.asd", **changes)  # the tiny graph has one input


def test_arrays_cannot_be_changed_by_accident(tiny_bundle):
    bundle = load_bundle(tiny_bundle)
    with pytest.raises(ValueError, match="read-only"):
        bundle.arrays["conditions"][0] = 1.0


def test_the_pipeline_embeds_with_the_graph_of_the_bundle(tiny_bundle):
    pipeline = load_bundle(tiny_bundle).pipeline(threads=1)
    assert pipeline.embedder.dims == 16
    assert pipeline.front_end == FrontEndSpec()
    assert pipeline.segment == SegmentSpec()
    assert pipeline.window == WindowSpec(segments=4, every=1)
    embeddings = pipeline.embedder.embed(np.random.default_rng(0).random((3, 64, 128), dtype=np.float32))
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-6)


def test_a_graph_of_other_dims_than_the_manifest_says_is_refused(tmp_path):
    wrong = SEGMENT.model_copy(update={"output": Tensor(name="embedding", shape=(-1, 8))})
    with pytest.raises(BundleError, match=r"embedding' of the shape \[-1, 16\] in segment"):
        make_tiny_bundle(tmp_path / "b.asd", graphs=Graphs(segment=wrong, stream=None), machines=())


def test_factory_conditions_have_their_numbers_in_the_order_of_the_manifest(tmp_path):
    fan = tiny_description().variants[0].machines[0]
    source = fan.conditions[0]
    target = source.model_copy(update={"name": "target", "arrays": {"references": (1, 16)}, "threshold": 0.3})
    both = fan.model_copy(update={"conditions": (source, target)})
    pump = fan.model_copy(update={"machine": "pump"})
    numbers = np.arange(1, 5 * 16 + 1, dtype=np.float32)
    bundle = make_tiny_bundle(tmp_path / "b.asd", machines=(both, pump), arrays={"conditions": numbers})
    rows = numbers.reshape(5, 16)
    known = bundle.factory_conditions("fan", "00")
    assert known is not None
    assert [(c.name, c.threshold) for c in known.conditions] == [("factory/source", 0.12), ("factory/target", 0.3)]
    np.testing.assert_array_equal(known.conditions[0].fitted["references"], rows[:2])
    np.testing.assert_array_equal(known.conditions[1].fitted["references"], rows[2:3])
    assert known.idle_floor == 1e-6
    source_of_pump = bundle.source("pump", "00")
    assert source_of_pump is not None
    np.testing.assert_array_equal(source_of_pump["references"], rows[3:])
    assert bundle.factory_conditions("fan", "01") is None
    assert bundle.source("fan", "01") is None


def test_a_bundle_may_know_nothing_from_the_factory(tmp_path):
    bundle = make_tiny_bundle(tmp_path / "b.asd", machines=())
    assert bundle.arrays["conditions"].shape == (0,)


def test_default_is_the_bundle_inside_the_package():
    from importlib import resources

    packaged = resources.files("asd_edge") / "models" / "default.asd"
    assert load_bundle("default").bundle_id == hashlib.sha256(packaged.read_bytes()).hexdigest()


class TestWriter:
    """What does not fit together is not written, and an older bundle in its place stays."""

    @pytest.mark.parametrize(
        ("parts", "found"),
        [
            ({"conditions": np.ones(48, np.float32)}, r"\(48,\)"),
            ({"conditions": np.ones((2, 16), np.float32)}, r"\(2, 16\)"),
            ({"conditions": np.ones(32, np.float64)}, "float64"),
            ({"conditions": np.full(32, np.nan, np.float32)}, "NaN"),
            ({"conditions": np.zeros(32, np.float32)}, "zeros in the condition fan/00/source"),
            ({"conditions": np.full(32, None)}, "of object"),
            ({"mel": np.ones((513, 64), np.float32)}, r"\(513, 64\)"),
            ({"other": np.ones((1, 1), np.float32)}, r"other\.npy"),
        ],
    )
    def test_parts_that_do_not_fit(self, tiny_bundle: Path, parts, found):
        before = tiny_bundle.read_bytes()
        with pytest.raises(BundleError, match=found):
            make_tiny_bundle(tiny_bundle, arrays=parts)
        assert tiny_bundle.read_bytes() == before
        assert list(tiny_bundle.parent.iterdir()) == [tiny_bundle]

    def test_a_folder_that_is_missing(self, tmp_path):
        with pytest.raises(BundleError, match="Cannot write"):
            make_tiny_bundle(tmp_path / "nowhere" / "b.asd")


def test_what_was_enrolled_outlives_a_bundle_that_embeds_alike(tmp_path: Path) -> None:
    first = make_tiny_bundle(tmp_path / "a.asd")
    renamed = make_tiny_bundle(tmp_path / "b.asd", name="another", machines=())
    other_step = make_tiny_bundle(tmp_path / "c.asd", segment=SegmentFields(frames=64, step=16))
    other_backend = make_tiny_bundle(tmp_path / "d.asd", backend=KMeans(centres=16))
    assert first.bundle_id != renamed.bundle_id
    assert first.embedding_id == renamed.embedding_id
    assert first.embedding_id != other_step.embedding_id
    assert first.embedding_id != other_backend.embedding_id
