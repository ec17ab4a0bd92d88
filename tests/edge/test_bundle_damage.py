"""A truncated, altered, hostile or foreign bundle gets a clear error; nobody gets half a bundle."""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asd_edge.bundle.archive import load_bundle
from asd_edge.bundle.container import LIMITS, MIB, TOTAL_LIMIT, pack
from asd_edge.bundle.graphs import Graphs
from asd_edge.bundle.variants import PRECISIONS
from asd_edge.errors import BundleError
from tests.edge.tiny_bundle import SEGMENT, STREAM, make_tiny_bundle

NUMBERS = 6 * 2 * 16
"""Of all conditions: six variants, two centres."""
SPECTRUM = {"name": "spectrum", "shape": [-1, 16_640]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("bundle") / "whole.asd"
    make_tiny_bundle(path, graphs=Graphs(segment=SEGMENT, stream=STREAM), precisions=PRECISIONS)
    return path.read_bytes()


@pytest.fixture
def refuse(tmp_path: Path) -> Callable[[bytes, str], BundleError]:
    """Load these bytes as a bundle; return the error, which must say what was found and what to do."""

    def check(data: bytes, found: str) -> BundleError:
        path = tmp_path / "damaged.asd"
        path.write_bytes(data)
        with pytest.raises(BundleError, match=found) as caught:
            load_bundle(path)
        error = caught.value
        assert str(path) in error.what
        assert error.found
        assert error.expected
        assert error.remedy.endswith(".")
        assert path.read_bytes() == data
        return error

    return check


def members_of(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def packed(members: dict[str, bytes]) -> bytes:
    return b"".join(piece for _, piece in pack(members))


def zipped(members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", compression) as archive:
        warnings.simplefilter("ignore")  # zipfile warns of duplicate names
        for name, data in members:
            archive.writestr(name, data)
    return stream.getvalue()


def told_otherwise(archive: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The same bundle with another manifest, everything around it consistent."""
    members = members_of(archive)
    manifest = json.loads(members["manifest.json"])
    change(manifest)
    return packed({**members, "manifest.json": json.dumps(manifest).encode()})


def with_member(archive: bytes, name: str, data: bytes) -> bytes:
    """The same bundle with another member, its digest in the manifest too."""
    members = {**members_of(archive), name: data}
    digest = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    return told_otherwise(packed(members), lambda manifest: manifest["members"].update({name: digest}))


def fan_of(told: dict[str, Any]) -> dict[str, Any]:
    """What the first variant knows of its machine."""
    found: dict[str, Any] = told["variants"][0]["machines"][0]
    return found


def arrays_of(told: dict[str, Any]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = fan_of(told)["conditions"][0]["arrays"]
    return found


def npy(array: np.ndarray, allow_pickle: bool = False) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=allow_pickle)
    return stream.getvalue()


class TestContainer:
    def test_cut_off_anywhere(self, whole, refuse):
        ends = {*range(0, len(whole), 7_919), *range(1, 60), *range(len(whole) - 400, len(whole))}
        for end in sorted(ends):
            refuse(whole[:end], "cut off|empty file|begins with")

    def test_every_byte_counts(self, whole, refuse):
        """A bit flips in every byte of the headers and the directory, and here and there in each member."""
        members = members_of(whole)
        directory = whole.index(b"PK\x01\x02")
        positions = {*range(0, len(whole), 3_989), *range(directory, len(whole))}
        at = 0
        for name, data in members.items():
            header = at + 30 + len(name)
            positions |= {
                *range(at, header + 64),
                *range(header, header + len(data), max(1, len(data) // 20)),
            }
            at = header + len(data)
        for position in sorted(positions):
            altered = bytearray(whole)
            altered[position] ^= 1 << position % 8
            refuse(bytes(altered), "found:")

    @pytest.mark.parametrize("more", [b"\0", b"PK\x05\x06", b"#!/bin/sh\n"])
    def test_bytes_behind_the_end(self, whole, refuse, more):
        refuse(whole + more, "behind its end")

    def test_bytes_before_the_beginning(self, whole, refuse):
        refuse(b"\0" + whole, "begins with")

    @pytest.mark.parametrize("data", [b"hello", b"\x7fELF" + bytes(100), b"{}", b"PK"])
    def test_not_a_bundle(self, refuse, data):
        refuse(data, "begins with")

    def test_empty(self, refuse):
        refuse(b"", "empty file")

    def test_an_ordinary_zip(self, refuse):
        refuse(zipped([("letter.txt", b"Dear all")]), r"'letter\.txt'")

    def test_an_empty_zip(self, refuse):
        refuse(zipped([]), "begins with")

    @pytest.mark.parametrize("name", ["extra.bin", "/etc/passwd", "../../boot.onnx", "C:\\segment.onnx", "a\u00e9"])
    def test_a_member_with_another_name(self, whole, refuse, name):
        refuse(zipped([*members_of(whole).items(), (name, b"x")]), "a member named")

    def test_a_member_twice(self, whole, refuse):
        refuse(zipped([*members_of(whole).items(), ("mel.npy", b"x")]), r"mel\.npy twice")

    @pytest.mark.parametrize("name", [name for name in LIMITS if name != "signature.json"])
    def test_a_member_less(self, whole, refuse, name):
        members = members_of(whole)
        del members[name]
        error = refuse(packed(members), "member")
        assert name in error.found + error.expected

    def test_members_in_another_order(self, whole, refuse):
        refuse(zipped(list(reversed(members_of(whole).items()))), "other bytes")

    def test_compressed_members(self, whole, refuse):
        refuse(zipped(list(members_of(whole).items()), zipfile.ZIP_DEFLATED), "compressed")

    def test_a_bomb_is_refused_before_it_grows(self, refuse):
        bomb = zipped([("manifest.json", bytes(300 << 20))], zipfile.ZIP_DEFLATED)
        tracemalloc.start()
        refuse(bomb, "compressed")
        grown = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert grown < 8 << 20

    def test_a_declared_size_beyond_the_file(self, whole, refuse):
        refuse(whole[:18] + struct.pack("<LL", 1 << 21, 1 << 21) + whole[26:], "cut off")

    def test_a_declared_size_above_the_limit(self, whole, refuse):
        refuse(
            whole[:18] + struct.pack("<LL", 1 << 30, 1 << 30) + whole[26:],
            r"manifest\.json of 1073741824 bytes",
        )

    def test_a_member_above_its_limit(self, whole, refuse):
        padded = members_of(whole)["manifest.json"] + b" " * LIMITS["manifest.json"]
        refuse(packed({**members_of(whole), "manifest.json": padded}), f"at most {4 * MIB} bytes")

    def test_a_file_above_the_limit_is_not_read_whole(self, tmp_path):
        path = tmp_path / "huge.asd"
        with path.open("wb") as stream:
            stream.truncate(TOTAL_LIMIT * 100)  # sparse
        with pytest.raises(BundleError, match=f"at most {TOTAL_LIMIT} bytes"):
            load_bundle(path)


class TestFile:
    def test_missing(self, tmp_path):
        with pytest.raises(BundleError, match="No such file"):
            load_bundle(tmp_path / "nowhere.asd")

    def test_a_folder(self, tmp_path):
        with pytest.raises(BundleError, match="a folder"):
            load_bundle(tmp_path)

    def test_a_pipe_does_not_block(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(BundleError, match="pipe"):
            load_bundle(tmp_path / "pipe")


class TestManifest:
    @pytest.mark.parametrize(
        ("version", "found"),
        [
            (5, "newer asd-edge"),
            (3, "version 3"),
            (2, "version 2"),
            (1, "version 1"),
            (0, "version 0"),
            ("3", "'3'"),
            (True, "True"),
            (3.0, "3.0"),
        ],
    )
    def test_another_version(self, whole, refuse, version, found):
        error = refuse(told_otherwise(whole, lambda told: told.update(version=version)), found)
        assert ("Update asd-edge" in error.remedy) == (version == 5)

    def test_a_newer_version_is_named_although_its_keys_are_unknown(self, whole, refuse):
        refuse(told_otherwise(whole, lambda told: told.update(version=5, novelty={})), "newer asd-edge")

    def test_another_format(self, whole, refuse):
        refuse(told_otherwise(whole, lambda told: told.update(format="other")), "'other'")

    @pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"format": NaN}'])
    def test_not_a_json_object(self, whole, refuse, text):
        refuse(packed({**members_of(whole), "manifest.json": text}), "JSON|format")

    def test_a_key_twice(self, whole, refuse):
        text = members_of(whole)["manifest.json"].replace(b'"name":', b'"name": "other", "name":', 1)
        refuse(packed({**members_of(whole), "manifest.json": text}), "twice")

    @pytest.mark.parametrize(
        ("change", "found"),
        [
            (lambda told: told.update(nmae="x"), r"unknown key nmae\n.*'name'"),
            (lambda told: told["front_end"].update(hopp=512), r"unknown key front_end\.hopp\n.*'hop'"),
            (lambda told: told["front_end"].pop("hop"), r"no front_end\.hop"),
            (lambda told: told["front_end"].update(hop="512"), r"front_end\.hop = '512'"),
            (lambda told: told["front_end"].update(high_hz=9000.0), "front_end: .*9000"),
            (lambda told: told["segment"].update(step=65), "segment: "),
            (lambda told: told["segment"].update(level="loud"), r"segment\.level"),
            (lambda told: told["segment"].update(level="standardised"), "in a stream"),
            (lambda told: told["segment"].update(spectrum=True), "a graph that hears it"),
            (lambda told: told["graphs"]["segment"].update(spectrum=SPECTRUM), "without segment.spectrum"),
            (lambda told: told["window"].update(every=5), "window: "),
            (lambda told: told["graphs"]["segment"]["input"].update(shape=[-1, 64, 64]), r"segment\.input\.shape"),
            (lambda told: told["graphs"]["segment"]["output"].update(shape=[1, 16]), r"segment\.output\.shape"),
            (lambda told: told["backend"].update(kind="vae"), r"backend = .*'vae'"),
            (lambda told: told["backend"].pop("kind"), "backend"),
            (lambda told: told.update(backend={"kind": "knn", "neighbours": 0, "distance": "cosine"}), "neighbours"),
            (lambda told: told.update(backend={"kind": "k_means", "centers": 16}), r"centers.*\n.*'centres'"),
            (
                lambda told: told.update(backend={"kind": "gmm", "components": 2}),
                r"'references'\] in the condition",
            ),
            (lambda told: told["variants"][0]["machines"].append(fan_of(told)), "twice"),
            (
                lambda told: fan_of(told).update(machine="../fan"),
                r"variants\[0\]\.machines\[0\]\.machine",
            ),
            (
                lambda told: fan_of(told).update(conditions=[]),
                r"variants\[0\]\.machines\[0\]\.conditions",
            ),
            (
                lambda told: fan_of(told)["conditions"][0].update(threshold=0.0),
                r"variants\[0\]\.machines\[0\]\.conditions\[0\]\.threshold = 0\.0",
            ),
            (
                lambda told: fan_of(told)["conditions"][0].update(arrays={}),
                r"conditions\.npy with the header",
            ),
            (lambda told: arrays_of(told).update(references=[2]), "162,"),
            (lambda told: arrays_of(told).update(references=[2, 0]), r"arrays\.references\[1\] = 0"),
            (lambda told: arrays_of(told).update(references=[2, 2, 2, 4]), r"arrays\.references"),
            (lambda told: arrays_of(told).update(references=[4, 8]), r"shape \[4, 8\] in the condition fan/00/source"),
            (lambda told: arrays_of(told).update(references=[1, 16], more=[16]), r"\['more', 'references'\]"),
            (lambda told: arrays_of(told).update({"../x": [2]}), r"arrays"),
            (
                lambda told: fan_of(told)["conditions"][0].update(labels=[]),
                r"conditions\[0\]\.labels",
            ),
            (
                lambda told: fan_of(told)["conditions"][0]["calibration"].update(gamma=None),
                "gamma",
            ),
            (lambda told: told["members"].pop("mel.npy"), "in its manifest"),
            (lambda told: told["members"].update({"x.npy": told["members"]["mel.npy"]}), "in its manifest"),
            (
                lambda told: told["members"]["mel.npy"].update(sha256="0" * 64),
                r"mel\.npy with another SHA-256",
            ),
            (
                lambda told: told["members"]["mel.npy"].update(size=7),
                r"mel\.npy with another SHA-256 or size",
            ),
        ],
    )
    def test_what_it_must_not_say(self, whole, refuse, change, found):
        refuse(told_otherwise(whole, change), found)


class TestArrays:
    @pytest.mark.parametrize(
        ("array", "found"),
        [
            (np.full(NUMBERS, np.nan, np.float32), "NaN or infinity"),
            (np.full(NUMBERS, np.inf, np.float32), "NaN or infinity"),
            (np.zeros(NUMBERS, np.float32), "zeros"),
            (np.ones(48, np.float32), r"\(48,\)"),
            (np.ones(31, np.float32), r"\(31,\)"),
            (np.ones((2, 16), np.float32), r"\(2, 16\)"),
            (np.ones(NUMBERS, np.float64), "<f8"),
            (np.ones(NUMBERS, ">f4"), ">f4"),
        ],
    )
    def test_numbers_that_do_not_fit(self, whole, refuse, array, found):
        refuse(with_member(whole, "conditions.npy", npy(array)), found)

    def test_a_mel_matrix_in_another_order(self, whole, refuse):
        turned = np.asfortranarray(np.ones((513, 128), np.float32))
        refuse(with_member(whole, "mel.npy", npy(turned)), "'fortran_order': True")

    def test_a_mel_matrix_of_another_shape(self, whole, refuse):
        refuse(with_member(whole, "mel.npy", npy(np.ones((513, 64), np.float32))), r"mel\.npy .*\(513, 64\)")

    def test_a_pickle_is_never_opened(self, whole, refuse, tmp_path):
        class Trap:
            def __reduce__(self):
                return (os.mkdir, (str(tmp_path / "sprung"),))

        trap = npy(np.array([Trap()], dtype=object), allow_pickle=True)
        refuse(with_member(whole, "conditions.npy", trap), r"'\|O'")
        assert not (tmp_path / "sprung").exists()

    def test_a_header_that_declares_more_than_there_is(self, whole, refuse):
        wide = npy(np.ones(NUMBERS, np.float32))[:-4]
        refuse(with_member(whole, "conditions.npy", wide), f"{4 * NUMBERS - 4} bytes of numbers")

    @pytest.mark.parametrize("data", [b"", b"PK", b"\x93NUMPY\x02\x00\x02\x00{}", b"\x93NUMPY\x01\x00"])
    def test_not_an_array(self, whole, refuse, data):
        refuse(with_member(whole, "conditions.npy", data), "not an array")

    @pytest.mark.parametrize("header", [b"(" * 4_000, b"__import__('os')", b"{", b"\0" * 9, b""])
    def test_a_hostile_header(self, whole, refuse, header):
        data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(128)
        refuse(with_member(whole, "conditions.npy", data), "with the header")

    def test_a_graph_that_is_none(self, whole, refuse):
        refuse(with_member(whole, "segment.fp32.onnx", b"not a graph"), "not a protobuf .* in segment.fp32.onnx")
