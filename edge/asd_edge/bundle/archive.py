"""Bundle v4, reader and writer in one place (docs/bundle.md)."""

from __future__ import annotations

import hashlib
import io
import json
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asd_edge.atomic import atomic_write
from asd_edge.bundle.bundle import Arrays, Bundle, fitted_of
from asd_edge.bundle.container import TOTAL_LIMIT, first_member, pack, unpack
from asd_edge.bundle.embedder import GraphBytes
from asd_edge.bundle.golden import Golden
from asd_edge.bundle.graph_check.check import check_graph, limits_of
from asd_edge.bundle.graph_check.limits import GraphLimits
from asd_edge.bundle.graph_check.tensors import GraphTensors
from asd_edge.bundle.manifest import FORMAT, VERSION, Description, Manifest, Member
from asd_edge.bundle.signature import MEMBER, Signatures
from asd_edge.errors import BundleError
from asd_edge.strict import RefusalError, check_version

Vouched = Callable[[Signatures | None, bytes], tuple[str, ...]]

_NPY_MAGIC = b"\x93NUMPY\x01\x00"  # format 1.0


def load_bundle(path: Path | str) -> Bundle:
    """Read the bundle at `path`, or the one inside this package when `path` is "default".

    Nobody's signature is asked for: what a device file names is read with `load_trusted`.

    Raises:
        BundleError: missing, not a bundle, truncated, altered, too large, or of another version.
    """
    return read_bundle(path)[0]


def read_bundle(
    path: Path | str, vouched: Vouched | None = None, *, only: str | None = None, remedy: str | None = None
) -> tuple[Bundle, bytes]:
    """Return the bundle as `load_bundle` does, and its file: what is written elsewhere is what was checked.

    Args:
        path: of the file.
        vouched: gets the signatures and the manifest's bytes; returns who signed, or raises. It comes before anything
            but the container is looked into, so that no parser of graphs or arrays meets a stranger's bytes.
        only: a bundle id; a file that is another one is refused before anything of it is looked into.
        remedy: what to do about a file that is missing or damaged; None for one that somebody named just now.
    """
    if str(path) == "default":
        with resources.as_file(resources.files("asd_edge") / "models" / "default.asd") as default:
            return _load(
                default, vouched, only, "the default bundle", "Install asd-edge again, or name another bundle."
            )
    return _load(Path(path), vouched, only, f"the bundle {path}", remedy)


def _load(path: Path, vouched: Vouched | None, only: str | None, what: str, remedy: str | None) -> tuple[Bundle, bytes]:
    try:
        archive = _read(path)
        if only is not None and (found := hashlib.sha256(archive).hexdigest()) != only:
            raise RefusalError(
                f"another one, with the SHA-256 {found}", only, "Load that one, or restart asd-edge run."
            )
        return _parse(archive, vouched), archive
    except OSError as error:
        found, expected = error.strerror or str(error), "a bundle file that can be read"
        if isinstance(error, PermissionError):
            remedy = "Run the command with sudo, or as a user who may read that file."
        remedy = remedy or "Correct the name of the file."
        raise BundleError(f"Cannot read {what}", found=found, expected=expected, remedy=remedy) from error
    except RefusalError as refusal:
        raise BundleError(
            f"Cannot use {what}",
            found=refusal.found,
            expected=refusal.expected,
            remedy=refusal.remedy or remedy or "Copy the bundle again from where it was made.",
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


def _parse(archive: bytes, vouched: Vouched | None = None) -> Bundle:
    _check_version(archive)
    members = unpack(archive)
    if "manifest.json" not in members:
        raise RefusalError("no member manifest.json", "a bundle's manifest")
    signatures = Signatures.from_json(members.pop(MEMBER)) if MEMBER in members else None
    signed_by = vouched(signatures, members["manifest.json"]) if vouched is not None else ()
    manifest = Manifest.from_json(members.pop("manifest.json"))
    graph_names = {name for variant in manifest.variants for name in variant.members}
    names = {*graph_names, *(f"{name}.npy" for name in manifest.shapes)}
    for place, found in (("the file", set(members)), ("its manifest", set(manifest.members))):
        if found != names:
            raise RefusalError(f"the members {sorted(found)} in {place}", f"exactly {sorted(names)}")
    for name, member in manifest.members.items():
        if _digest(members[name]) != member:
            raise RefusalError(f"{name} with another SHA-256 or size", "the member that the manifest describes")
    arrays = {name: _array(name, members[f"{name}.npy"], shape) for name, shape in manifest.shapes.items()}
    _check(manifest, arrays)
    graphs = {name: members[name] for name in sorted(graph_names)}
    for name, graph in graphs.items():
        _check_graph(name, graph, manifest)
    bundle_id = hashlib.sha256(archive).hexdigest()
    return Bundle(manifest, bundle_id, graphs, arrays, manifest.embedder, signatures=signatures, signed_by=signed_by)


def _check_version(archive: bytes) -> None:
    """Call another version that, and not damaged: it may have members that this one does not know."""
    name, data = first_member(archive)
    if name != "manifest.json":
        return
    try:
        json.loads(data.decode())
    except (ValueError, RecursionError):  # damaged, which is found and said later
        return
    check_version(data, format=FORMAT, version=VERSION)


def write_bundle(path: Path, description: Description, *, graphs: GraphBytes, arrays: Arrays, golden: Golden) -> Bundle:
    """Write a bundle and return it as it reads back; the same content gives the same bytes.

    Args:
        path: replaced only when the new bundle passed every check of the reader.
        description: the manifest but its digests.
        graphs: serialised ONNX by member, those of every variant.
        arrays: `conditions` float32 [numbers], all that the factory conditions have learned in the order of the
            description, and, for log-mel, `mel` float32 [bins, mels].
        golden: segments with what the trained network and every variant make of them.

    Raises:
        BundleError: the parts do not make a valid bundle, or the file cannot be written.
    """
    try:
        whole = dict(arrays) | {"golden": golden.joined()}
        members = dict(graphs) | {f"{name}.npy": _npy(name, array) for name, array in whole.items()}
        digests = {name: _digest(data) for name, data in members.items()}
        needs = [_needs(name, graph, description) for name, graph in graphs.items()]
        manifest = Manifest(**dict(description), limits=GraphLimits.over(needs), members=digests)
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


def _check_graph(name: str, graph: bytes, manifest: Manifest) -> None:
    with _refused_in(name):
        check_graph(graph, GraphTensors.of(manifest.graphs, name), manifest.limits)


def _needs(name: str, graph: bytes, description: Description) -> GraphLimits:
    with _refused_in(name):
        return limits_of(graph, GraphTensors.of(description.graphs, name))


@contextmanager
def _refused_in(name: str) -> Iterator[None]:
    """Say in which member the reason of a refusal is."""
    try:
        yield
    except RefusalError as refusal:
        raise RefusalError(f"{refusal.found} in {name}", refusal.expected, refusal.remedy) from None


def _check(manifest: Manifest, arrays: Arrays) -> None:
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise RefusalError(f"NaN or infinity in {name}.npy", "finite numbers")
    for (kind, precision), known in fitted_of(manifest, arrays["conditions"]).items():
        for place, fitted in ((f"{key}/{name}", part[name]) for key, part in known.items() for name in part):
            try:
                manifest.backend.check(fitted, manifest.dims)
            except RefusalError as refusal:
                found = f"{refusal.found} in the condition {place} of {kind}/{precision}"
                raise RefusalError(found, refusal.expected, refusal.remedy) from None
