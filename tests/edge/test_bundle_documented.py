"""docs/bundle.md says what the models say: every key and limit is there, and its example is a valid manifest."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from asd_edge.bundle.container import LIMITS, MIB
from asd_edge.bundle.manifest import FORMAT, VERSION, Manifest
from asd_edge.bundle.site_store import SIZE_LIMIT, SiteState
from asd_edge.strict import Strict

pytestmark = pytest.mark.once

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "bundle.md").read_text()


def models_under(model: type[Strict]) -> set[type[Strict]]:
    """`model` and every model that its fields hold, whatever they are wrapped in."""
    found = {model}
    for field in model.model_fields.values():
        names = re.findall(r"[\w.]+", repr(field.annotation))
        found |= {
            part
            for candidate in subclasses(Strict)
            if candidate.__name__ in {name.split(".")[-1] for name in names}
            for part in models_under(candidate)
        }
    return found


def subclasses(model: type[Strict]) -> set[type[Strict]]:
    direct = set(model.__subclasses__())
    return direct.union(*(subclasses(part) for part in direct))


@pytest.mark.parametrize("model", [Manifest, SiteState])
def test_every_key_is_documented(model):
    keys = {key for part in models_under(model) for key in part.model_fields}
    assert len(keys) > 10
    missing = {key for key in keys if not re.search(rf"`(\w+(\[\])?\.)?{key}`", TEXT)}
    assert missing == set()


def test_the_example_is_a_manifest():
    example = re.search(r"```json\n(.*?)```", TEXT, re.S)
    assert example is not None
    manifest = Manifest.from_json(example[1].encode())
    assert set(manifest.model_fields_set) == set(Manifest.model_fields)
    assert set(manifest.members) == {"stream.fp32.onnx", "head.fp32.onnx", "mel.npy", "conditions.npy", "golden.npy"}


def test_format_and_version_are_those_of_the_reader():
    assert TEXT.startswith(f"# The bundle, version {VERSION}\n")
    assert f'| `format`, `version` | `"{FORMAT}"`, {VERSION} |' in TEXT


def test_the_limits_are_those_of_the_reader():
    for name, limit in LIMITS.items():
        assert re.search(rf"\| `{re.escape(name)}` \|.*\| {limit // MIB} MiB \|", TEXT), name
    assert f"most {SIZE_LIMIT // MIB} MiB" in TEXT
