"""Mutants of a valid bundle, each from its number alone: damage to the file, and lies behind digests that are right."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from random import Random
from typing import Any

from asd_edge.bundle.container import LIMITS, pack
from asd_edge.bundle.graph_check.limits import CAPS, GraphLimits
from tests.edge.fuzz.graph_mutants import NUMBERS, mutated
from tests.edge.fuzz.signature_mutants import PLANT, mutated_signature, signed
from tests.edge.graph_attacks import ATTACKS

NAMES = ["../mel.npy", "/etc/passwd", "mel.npy\0.txt", "C:\\mel.npy", "m\u00e9l.npy", "mel.npy/", ".", "MEL.NPY"]
NAMES += ["a/" * 200 + "x", "\u202egnp.lem", "manifest.json "]
VALUES: list[Any] = [None, True, False, 1e308, -0.0, 0.5, "", "x", "../..", "\0", [], {}, [[]], "x" * 10_000, *NUMBERS]


class Mutants:
    """Mutants of one bundle.

    Args:
        archive: the file of a valid bundle, signed by PLANT.
    """

    def __init__(self, archive: bytes) -> None:
        self._archive = archive
        self._members = members_of(archive)
        self._graphs = [name for name in self._members if name.endswith(".onnx")]
        magics = (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06")
        self._headers = [at for at in range(len(archive)) if archive.startswith(magics, at)]
        self._attacks = [make() for make, _ in ATTACKS.values()]
        self._kinds: list[Callable[[Random], bytes]] = [
            *[self.flipped, self.cut, self.spliced, self.header] * 2,
            *[self.rezipped, self.renamed, self.swapped],
            *[self.told] * 5,
            *[self.array] * 3,
            *[self.attacked, self.signature] * 2,
            *[self.graph_bytes] * 3,
            *[self.graph] * 9,
        ]

    def make(self, number: int) -> tuple[str, bytes]:
        """Return what was done, and the mutant."""
        random = Random(number)
        kind = self._kinds[number % len(self._kinds)]
        return kind.__name__, kind(random)

    # the file

    def flipped(self, random: Random) -> bytes:
        data = bytearray(self._archive)
        for _ in range(random.choice([1, 1, 1, 3, 50])):
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
        return bytes(data)

    def cut(self, random: Random) -> bytes:
        start, end = sorted(random.randrange(len(self._archive)) for _ in range(2))
        return random.choice([self._archive[:end], self._archive[start:], self._archive[:start] + self._archive[end:]])

    def spliced(self, random: Random) -> bytes:
        at, start, length = (random.randrange(len(self._archive)) for _ in range(3))
        piece = random.choice([self._archive[start : start + length], random.randbytes(length % 300)])
        over = random.choice([0, len(piece)])
        return self._archive[:at] + piece + self._archive[at + over :]

    def header(self, random: Random) -> bytes:
        """A field of a local header, of the directory or of the end record that lies."""
        at = random.choice(self._headers)
        data, field = bytearray(self._archive), random.choice([struct.Struct("<H"), struct.Struct("<L")])
        at += random.randrange(4, min(30, len(data) - at) - field.size)
        field.pack_into(data, at, random.choice(NUMBERS) & (256**field.size - 1))
        return bytes(data)

    def rezipped(self, random: Random) -> bytes:
        """The members in another zip: compressed, twice, in another order, or with a bomb among them."""
        members = list(self._members.items())
        match random.randrange(5):
            case 0:
                random.shuffle(members)
            case 1:
                members.append(random.choice(members))
            case 2:
                members.insert(random.randrange(len(members)), ("manifest.json", bytes(4 << 20)))
            case 3:
                members.insert(0, ("segment.fp32.onnx", zipped(members, zipfile.ZIP_DEFLATED)))
            case _:
                del members[random.randrange(len(members))]
        method = random.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
        return zipped(members, method)

    def renamed(self, random: Random) -> bytes:
        members = list(self._members.items())
        at = random.randrange(len(members))
        members[at] = random.choice([*NAMES, *LIMITS]), members[at][1]
        return zipped(members)

    # behind right digests

    def swapped(self, random: Random) -> bytes:
        one, other = random.sample(sorted(set(self._members) - {"manifest.json", "signature.json"}), 2)
        return self._with(random, {one: self._members[other], other: self._members[one]})

    def told(self, random: Random) -> bytes:
        """The manifest says something else."""
        text = self._members["manifest.json"]
        match random.randrange(8):
            case 0:  # as text
                at = random.randrange(len(text))
                piece = random.choice([b"", b"NaN", b"1e999", b"[" * 5_000, b'"name": 1,', b"\xff", b"9" * 5_000])
                text = text[:at] + piece + text[at + random.randrange(20) :]
            case _:
                manifest = json.loads(text)
                for _ in range(random.choice([1, 1, 1, 2, 5])):
                    _change(random, manifest)
                text = json.dumps(manifest).encode()
        return self._signed(random, self._members | {"manifest.json": text})

    def array(self, random: Random) -> bytes:
        name = random.choice([name for name in self._members if name.endswith(".npy")])
        data = bytearray(self._members[name])
        for _ in range(random.choice([1, 1, 3])):
            match random.randrange(4):
                case 0:  # in the header
                    data[random.randrange(min(128, len(data)))] = random.randrange(256)
                case 1:
                    value = random.choice([float("nan"), float("inf"), 3e38, -3e38, 0.0, 1e-45])
                    struct.pack_into("<f", data, 128 + 4 * random.randrange((len(data) - 128) // 4), value)
                case 2:
                    del data[random.randrange(128, len(data)) :]
                    data.extend(bytes(132 - len(data)) if len(data) < 132 else b"")
                case 3:
                    data.extend(random.randbytes(random.choice([1, 4, 128])))
        return self._with(random, {name: bytes(data)})

    def attacked(self, random: Random) -> bytes:
        return self._with(random, {random.choice(self._graphs): random.choice(self._attacks)})

    def graph_bytes(self, random: Random) -> bytes:
        """Bytes of the protobuf, mostly of its structure: it lies around the weights."""
        name = random.choice(self._graphs)
        data = bytearray(self._members[name])
        for _ in range(random.choice([1, 1, 2, 8])):
            near_an_end = random.randrange(min(400, len(data)))
            at = random.choice([near_an_end, len(data) - 1 - near_an_end])
            match random.randrange(4):
                case 0:
                    data[at] ^= 1 << random.randrange(8)
                case 1:
                    data[at] = random.randrange(256)
                case 2:
                    data[at:at] = random.randbytes(random.randrange(1, 9))
                case 3:
                    del data[at : at + random.randrange(1, 9)]
        return self._with(random, {name: bytes(data)})

    def graph(self, random: Random) -> bytes:
        name = random.choice(self._graphs)
        limits = CAPS if random.random() < 0.7 else None  # or whatever was added would be above the limits
        return self._with(random, {name: mutated(random, self._members[name])}, limits)

    def signature(self, random: Random) -> bytes:
        members = {name: data for name, data in self._members.items() if name != "signature.json"}
        data = mutated_signature(random, members["manifest.json"])
        return packed(members if data is None else members | {"signature.json": data})

    def _with(self, random: Random, changed: dict[str, bytes], limits: GraphLimits | None = None) -> bytes:
        """The bundle with other members, whose digests are right, and other limits."""
        manifest = json.loads(self._members["manifest.json"])
        if limits is not None:
            manifest["limits"] = limits.model_dump()
        for name, data in changed.items():
            manifest["members"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        return self._signed(random, self._members | changed | {"manifest.json": json.dumps(manifest).encode()})

    def _signed(self, random: Random, members: dict[str, bytes]) -> bytes:
        """The bundle of these members: half the time signed anew, so that whoever asks for that looks into it too."""
        if random.random() < 0.5:
            members = members | {"signature.json": signed(members["manifest.json"], PLANT)}
        return packed(members)


def _change(random: Random, manifest: dict[str, Any]) -> None:
    """Change one place of a JSON document, mostly by a little."""
    places = list(_places(manifest))
    holder, key = random.choice(places)
    value = holder[key]
    match random.randrange(6):
        case 0:
            holder[key] = deepcopy(random.choice(VALUES))
        case 1:
            other, its_key = random.choice(places)
            holder[key] = deepcopy(other[its_key])
        case 2 if isinstance(holder, dict):
            del holder[key]
        case 3 if isinstance(holder, dict):
            holder[random.choice(["x", "format", "limits", "__proto__", str(key)[:-1]])] = deepcopy(value)
        case _ if type(value) in (int, float):
            holder[key] = random.choice([value + 1, value - 1, value * 2, -value, value * 1_000_000, float(value)])
        case _ if isinstance(value, str):
            holder[key] = random.choice([value + "x", value[1:], value.upper(), value[::-1]])
        case _ if isinstance(value, list):
            value.append(deepcopy(value[0]) if value else 1)
        case _:
            holder[key] = [deepcopy(value)]


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(document, list | dict):
        for key, value in list(document.items() if isinstance(document, dict) else enumerate(document)):
            yield document, key
            yield from _places(value)


def members_of(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def packed(members: dict[str, bytes]) -> bytes:
    return b"".join(piece for _, piece in pack(members))


def zipped(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", method) as archive:
        warnings.simplefilter("ignore")  # of members twice
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, method)  # of 1980, whatever the clock says
    return stream.getvalue()
