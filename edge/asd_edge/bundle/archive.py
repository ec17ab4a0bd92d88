"""Bundle v3, reader and writer in one place (docs/bundle.md)."""

from __future__ import annotations

import hashlib
import io
import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asd_edge.atomic import atomic_write
from asd_edge.bundle.container import TOTAL_LIMIT, first_member, pack, unpack
from asd_edge.bundle.embedder import GraphBytes, load_embedder
from asd_edge.bundle.fitted import cut, size_of
from asd_edge.bundle.graph_check import check_graphs
from asd_edge.bundle.limits import CAPS
from asd_edge.bundle.manifest import FORMAT, VERSION, Description, Manifest, Member
from asd_edge.errors import BundleError
from asd_edge.pipeline import Pipeline
from asd_edge.scoring.backends.backend import Fitted
from asd_edge.scoring.conditions import Condition, ConditionSet
from asd_edge.strict import RefusalError, check_version

Arrays = Mapping[str, NDArray[np.float32]]

_NPY_MAGIC = b"\x93NUMPY\x01\x00"  # format 1.0


@dataclass(frozen=True)
class Bundle:
    """A bundle that passed every check.

    Args:
        manifest: what it says about itself.
        bundle_id: SHA-256 of the file.
        graphs: serialised ONNX by member: `segment.onnx`, or `stream.onnx` and `head.onnx`, or all three.
        arrays: `conditions` float32 [numbers] and, for log-mel, `mel` float32 [bins, mels]; read-only.
    """

    manifest: Manifest
    bundle_id: str
    graphs: GraphBytes = field(repr=False)
    arrays: Arrays = field(repr=False)

    @property
    def embedding_id(self) -> str:
        """SHA-256 of what decides an embedding and what is learned from it: front end, mel matrix, segment length, the
        graphs that serve, and the backend.

        On-device state refers to it, so that a bundle with another name, date or factory machine keeps what was
        enrolled.
        """
        manifest = self.manifest
        served = {"segment": {"segment.onnx"}, "stream": {"stream.onnx", "head.onnx"}}[manifest.embedder]
        said = (manifest.front_end, manifest.segment, manifest.backend)
        parts = "".join(part.model_dump_json() for part in said)
        digests = [m.sha256 for name, m in sorted(manifest.members.items()) if name in served | {"mel.npy"}]
        return hashlib.sha256("\n".join([parts, *digests]).encode()).hexdigest()

    def pipeline(self, threads: int = 1) -> Pipeline:
        """Build what the bundle computes; `threads` run the network.

        Raises:
            EngineError: the engine cannot load a graph, or it is not as the manifest says.
        """
        return Pipeline(
            front_end=self.manifest.front_end.spec(),
            segment=self.manifest.segment.spec(),
            window=self.manifest.window.spec(),
            aggregation=self.manifest.aggregation,
            embedder=load_embedder(self.manifest.graphs, self.graphs, self.manifest.embedder, threads=threads),
            mel=self.arrays.get("mel"),
        )

    def factory_conditions(self, machine: str, section: str) -> ConditionSet | None:
        """Return what the factory knows of a section of a machine; None when it knows nothing.

        Names begin with `factory/`, so that they differ from those enrolled on site.
        """
        for known in self.manifest.machines:
            if (known.machine, known.section) == (machine, section):
                fitted = self._fitted[known.key]
                conditions = tuple(
                    Condition(f"factory/{part.name}", fitted[part.name], part.threshold) for part in known.conditions
                )
                return ConditionSet(self.manifest.backend, conditions, known.idle_floor)
        return None

    def source(self, machine: str, section: str) -> Fitted | None:
        """Return what was learned of a machine's source condition, which a condition of few clips leans on."""
        return self._fitted.get(f"{machine}/{section}", {}).get("source")

    @cached_property
    def _fitted(self) -> dict[str, dict[str, Fitted]]:
        return fitted_of(self.manifest, self.arrays["conditions"])


def fitted_of(description: Description, numbers: NDArray[np.float32]) -> dict[str, dict[str, Fitted]]:
    """Return what was learned of each machine's conditions, by `machine/section` and name.

    Args:
        description: says which arrays there are.
        numbers: of all arrays in the order of the description, float32 [numbers].
    """
    found: dict[str, dict[str, Fitted]] = {}
    start = 0
    for machine in description.machines:
        found[machine.key] = {}
        for condition in machine.conditions:
            stop = start + size_of(condition.arrays)
            found[machine.key][condition.name] = cut(numbers[start:stop], condition.arrays)
            start = stop
    return found


def load_bundle(path: Path | str) -> Bundle:
    """Read the bundle at `path`, or the one inside this package when `path` is "default".

    Raises:
        BundleError: missing, not a bundle, truncated, altered, too large, or of another version.
    """
    if str(path) == "default":
        with resources.as_file(resources.files("asd_edge") / "models" / "default.asd") as default:
            return _load(default, "the default bundle", "Install asd-edge again, or name another bundle.")
    return _load(Path(path), f"the bundle {path}", "Copy the bundle again from where it was made.")


def _load(path: Path, what: str, remedy: str) -> Bundle:
    try:
        return _parse(_read(path))
    except OSError as error:
        found, expected = error.strerror or str(error), "a bundle file that can be read"
        raise BundleError(f"Cannot read {what}", found=found, expected=expected, remedy=remedy) from error
    except RefusalError as refusal:
        raise BundleError(
            f"Cannot use {what}",
            found=refusal.found,
            expected=refusal.expected,
            remedy=refusal.remedy or remedy,
        ) from None


def _read(path: Path) -> bytes:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # opening a FIFO would wait for ever
        raise RefusalError("a folder" if path.is_dir() else "a device or a pipe", "a bundle, which is one file")
    if status.st_size == 0:
        raise RefusalError("an empty file", "a whole bundle")
    if status.st_size > TOTAL_LIMIT:
        raise RefusalError(f"a file of {status.st_size} bytes", f"at most {TOTAL_LIMIT} bytes")
    with path.open("rb") as stream:
        return stream.read(status.st_size)


def _parse(archive: bytes) -> Bundle:
    _check_version(archive)
    members = unpack(archive)
    if "manifest.json" not in members:
        raise RefusalError("no member manifest.json", "a bundle's manifest")
    manifest = Manifest.from_json(members.pop("manifest.json"))
    names = {*manifest.graphs.members, *(f"{name}.npy" for name in manifest.shapes)}
    for place, found in (("the file", set(members)), ("its manifest", set(manifest.members))):
        if found != names:
            raise RefusalError(f"the members {sorted(found)} in {place}", f"exactly {sorted(names)}")
    for name, member in manifest.members.items():
        if _digest(members[name]) != member:
            raise RefusalError(f"{name} with another SHA-256 or size", "the member that the manifest describes")
    arrays = {name: _array(name, members[f"{name}.npy"], shape) for name, shape in manifest.shapes.items()}
    _check(manifest, arrays)
    graphs = {name: members[name] for name in manifest.graphs.members}
    check_graphs(graphs, manifest.graphs, CAPS)
    return Bundle(manifest, hashlib.sha256(archive).hexdigest(), graphs, arrays)


def _check_version(archive: bytes) -> None:
    """Call another version that, and not damaged: it may have members that this one does not know."""
    name, data = first_member(archive)
    if name != "manifest.json":
        return
    try:
        json.loads(data)
    except (ValueError, RecursionError):  # damaged, which is found and said later
        return
    check_version(data, format=FORMAT, version=VERSION)


def write_bundle(path: Path, description: Description, *, graphs: GraphBytes, arrays: Arrays) -> Bundle:
    """Write a bundle and return it as it reads back; the same content gives the same bytes.

    Args:
        path: replaced only when the new bundle passed every check of the reader.
        description: the manifest but its digests.
        graphs: serialised ONNX by member: `segment.onnx`, or `stream.onnx` and `head.onnx`, or all three.
        arrays: `conditions` float32 [numbers], all that the factory conditions have learned in the order of the
            description, and, for log-mel, `mel` float32 [bins, mels].

    Raises:
        BundleError: the parts do not make a valid bundle, or the file cannot be written.
    """
    try:
        members = dict(graphs) | {f"{name}.npy": _npy(name, arrays[name]) for name in arrays}
        digests = {name: _digest(data) for name, data in members.items()}
        manifest = Manifest(**dict(description), members=digests)
        archive = b"".join(piece for _, piece in pack({"manifest.json": manifest.to_json(), **members}))
        bundle = _parse(archive)
        with atomic_write(path) as stream:
            stream.write(archive)
    except RefusalError as refusal:
        raise BundleError(
            f"The parts of the bundle {path} do not fit together",
            found=refusal.found,
            expected=refusal.expected,
            remedy=refusal.remedy or "Export the bundle again.",
        ) from None
    except OSError as error:
        raise BundleError(
            f"Cannot write the bundle {path}",
            found=error.strerror or str(error),
            expected="a folder that exists and can be written",
            remedy="Make the folder, or make room on the disk, and export again.",
        ) from error
    return bundle


def _digest(data: bytes) -> Member:
    return Member(sha256=hashlib.sha256(data).hexdigest(), size=len(data))


def _npy(name: str, array: NDArray[np.float32]) -> bytes:
    if array.dtype != np.float32:
        raise RefusalError(f"{name}.npy of {array.dtype}", "an array of float32")
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def _array(name: str, data: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Read a .npy member; its header must be the one expected, so nothing in it is ever evaluated or unpickled."""
    if not data.startswith(_NPY_MAGIC) or len(data) < 10:
        raise RefusalError(f"{name}.npy that is not an array", "a .npy file of format 1.0")
    start = 10 + int.from_bytes(data[8:10], "little")
    header = data[10:start].decode("latin-1").strip()
    expected = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    if header != expected:
        raise RefusalError(f"{name}.npy with the header {header[:100]}", expected)
    if len(data) - start != 4 * prod(shape):
        raise RefusalError(f"{name}.npy with {len(data) - start} bytes of numbers", f"float32 {list(shape)}")
    return np.frombuffer(data, dtype="<f4", offset=start).reshape(shape)  # read-only, as bytes are


def _check(manifest: Manifest, arrays: Arrays) -> None:
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise RefusalError(f"NaN or infinity in {name}.npy", "finite numbers")
    for key, conditions in fitted_of(manifest, arrays["conditions"]).items():
        for name, fitted in conditions.items():
            try:
                manifest.backend.check(fitted, manifest.dims)
            except RefusalError as refusal:
                place = f"in the condition {key}/{name}"
                raise RefusalError(f"{refusal.found} {place}", refusal.expected, refusal.remedy) from None
