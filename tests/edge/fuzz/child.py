"""The process that mutants are loaded and run in: `python -m tests.edge.fuzz.child BUNDLE FIRST STOP SECRETS`.

It must end by itself, within its memory and time, and its last line says what became of the mutants. Whoever starts it
sees from `progress` which one killed it.
"""

from __future__ import annotations

import base64
import ctypes
import hashlib
import json
import os
import resource
import struct
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidSignature

from asd_edge.bundle.archive import load_bundle
from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.trust import read_trusted
from asd_edge.config import BundleTable
from asd_edge.detector import Detector
from asd_edge.errors import AsdEdgeError, BundleError
from asd_edge.pipeline import SegmentStreams
from asd_edge.scoring.decision import DecisionSpec
from asd_edge.serving.verify import verify
from asd_edge.sources.block import Block
from tests.edge.fuzz.mutants import Mutants, members_of
from tests.edge.fuzz.signature_mutants import PLANT
from tests.edge.signer import DOMAIN, trust

MEMORY = 1 << 30
"""Bytes of address space beyond what the process has when it begins."""

CPU_S = 5.0
"""For one mutant."""

FORBIDDEN = ("open", "os.", "subprocess.", "socket.", "shutil.", "ctypes.", "exec", "pickle.")
_IN_OPEN, _IN_ISDIR, _IN_NONBLOCK = 0x20, 0x40000000, 0o4000
_NOTE = struct.Struct("iIII")  # struct inotify_event: watch, mask, cookie, length of the name behind it


def main(bundle: str, first: str, stop: str, secrets: str) -> None:
    original = Path(bundle).read_bytes()
    mutants = Mutants(original)
    mutant = Path(bundle).with_name(f"mutant-{first}.asd")
    progress = Path(bundle).with_name(f"progress-{first}")
    os.chdir(secrets)
    mutant.write_bytes(original)
    keys = trust(mutant.with_name(f"keys-{first}"), PLANT)
    policies = [None, BundleTable(trusted_keys_file=keys), BundleTable(trusted_keys_file=keys, allow_unsigned=True)]
    for policy in policies:  # everything is imported then
        run(loaded(mutant, policy))
    opened_by_libraries = watch(secrets)
    watched = _Watched((str(mutant), str(keys)))
    sys.addaudithook(watched)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))
    most_s = int(time.process_time() + 60 + 0.1 * (int(stop) - int(first)))
    resource.setrlimit(resource.RLIMIT_CPU, (most_s, most_s))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    counts: Counter[str] = Counter()
    failures: list[str] = []
    slowest = 0.0
    for number in range(int(first), int(stop)):
        progress.write_text(str(number))
        kind, data = mutants.make(number)
        policy = policies[Random(f"policy of {number}").choice([0, 0, 1, 2])]
        mutant.write_bytes(data)
        began = time.process_time()
        watched.on = True
        try:
            outcome = judge(mutant, data, original, policy)
        except BaseException as error:
            outcome = "failed"
            failures.append(f"{number} {kind}: {type(error).__name__}: {str(error)[:300]}")
        watched.on = False
        took = time.process_time() - began
        slowest = max(slowest, took)
        counts[f"{kind} {'untrusted' if policy is None else 'trusted'} {outcome}"] += 1
        failures += [f"{number} {kind}: {what}" for what in watched.touched]
        watched.touched.clear()
        failures += [f"{number} {kind}: a library opened {name}" for name in read_notes(opened_by_libraries)]
        if took > CPU_S:
            failures.append(f"{number} {kind}: took {took:.1f} s")
    mutant.unlink()
    keys.unlink()
    progress.unlink()
    print(json.dumps({"counts": counts, "failures": failures, "slowest_s": slowest, "peak_mib": peak_mib()}))


def peak_mib() -> int:
    """Return the most memory that was resident; `ru_maxrss` also knows that of the process which started this one."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM"))


def loaded(path: Path, policy: BundleTable | None) -> Bundle:
    """Load a bundle: whoever made it, or as a device does that trusts PLANT."""
    return load_bundle(path) if policy is None else read_trusted(path, policy)[0]


def judge(path: Path, data: bytes, original: bytes, policy: BundleTable | None) -> str:
    """Load and run a mutant; return what became of it."""
    try:
        bundle = loaded(path, policy)
    except BundleError:
        return "refused"
    if data == original:
        return "equal"
    members = members_of(data)
    assert bundle.bundle_id == hashlib.sha256(data).hexdigest()
    assert all(members[name] == graph for name, graph in bundle.graphs.items())
    assert all(members[f"{name}.npy"].endswith(array.tobytes()) for name, array in bundle.arrays.items())
    if policy is not None:
        assert bundle.signed_by == (("plant",) if is_genuine(members) else ())
        assert bundle.signed_by or policy.allow_unsigned
    try:
        run(bundle, changed={name for name, graph in bundle.graphs.items() if members_of(original)[name] != graph})
    except AsdEdgeError:
        return "refused when it ran"
    return "loaded and ran"


def is_genuine(members: dict[str, bytes]) -> bool:
    """Whether a signature of PLANT is over these very members."""
    for one in json.loads(members.get("signature.json", b'{"signatures": []}'))["signatures"]:
        with suppress(InvalidSignature):
            if one["key"] == PLANT.fingerprint:
                PLANT.key.public_key().verify(base64.b64decode(one["signature"]), DOMAIN + members["manifest.json"])
                return True
    return False


def run(bundle: Bundle, changed: set[str] | None = None) -> None:
    """Use all of a bundle: a second of sound through each variant, and its golden segments.

    Of a mutant only the variants of the graphs that `changed` are used, or any one where none did.
    """
    variants = bundle.manifest.variants
    if changed is not None:
        any_one = variants[int(bundle.bundle_id[:8], 16) % len(variants)]
        variants = tuple(one for one in variants if changed & set(one.members)) or (any_one,)
    for variant in variants:
        seen = bundle.at(variant.precision, variant.kind)
        pipeline = seen.pipeline()
        verify(seen, pipeline)
        known = [seen.factory_conditions(machine.machine, machine.section) for machine in seen.machines]
        detector = Detector("fan", SegmentStreams(pipeline), known[0] if known else None, DecisionSpec())
        noise = np.random.default_rng(0).normal(0.0, 0.1, detector.rate).astype(np.float32)
        detector.process(Block(noise, start=0, time=0.0))
        detector.flush()


@dataclass
class _Watched:
    """Notes, while it is on, what this process does beyond reading the mutant and the trusted keys."""

    allowed: tuple[str, str]
    on: bool = False
    touched: list[str] = field(default_factory=list)

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if self.on and event.startswith(FORBIDDEN) and not (event == "open" and args[0] in self.allowed):
            self.touched.append(f"{event} {args[:1]}")


def watch(folder: str) -> int:
    """Have the kernel note every open of a file in a folder, also by libraries that Python cannot look into."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor: int = libc.inotify_init1(_IN_NONBLOCK)
    if descriptor < 0 or libc.inotify_add_watch(descriptor, os.fsencode(folder), _IN_OPEN) < 0:
        raise OSError(ctypes.get_errno(), "cannot watch a folder")
    return descriptor


def read_notes(descriptor: int) -> list[str]:
    """Return the names of the files that were opened since the last call; others may look through folders meanwhile."""
    try:
        notes = os.read(descriptor, 1 << 16)
    except BlockingIOError:
        return []
    names = []
    while notes:
        _, mask, _, length = _NOTE.unpack_from(notes)
        if not mask & _IN_ISDIR:
            names.append(os.fsdecode(notes[_NOTE.size : _NOTE.size + length].rstrip(b"\0")))
        notes = notes[_NOTE.size + length :]
    return names


if __name__ == "__main__":
    main(*sys.argv[1:])
