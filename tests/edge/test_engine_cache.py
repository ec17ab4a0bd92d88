"""Engines on the disk: what is asked for, whole and in nobody else's hands, or nothing."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from asd_edge.engines.cache import EngineCache, EngineKey
from asd_edge.errors import StateError

KEY = EngineKey(
    graph_sha256="0" * 64,
    precision="fp16",
    flavour="tensorrt",
    version="10.3.0",
    gpu="Orin",
    compute_capability="8.7",
    flags=("strongly_typed", "no_tf32"),
    batch=16,
    frames=32,
    workspace_mib=256,
)
ENGINE = bytes(range(256)) * 40


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "state" / "engines")


def kept(cache: EngineCache, key: EngineKey = KEY, engine: bytes = ENGINE) -> Path:
    return cache.store(key, engine, member="segment.fp16.onnx", build_s=1.5)


def test_an_engine_comes_back_as_it_was(cache: EngineCache) -> None:
    assert cache.load(KEY) is None
    kept(cache)
    assert cache.load(KEY) == ENGINE
    assert EngineCache(cache.folder).load(KEY) == ENGINE
    (entry,) = cache.entries()
    assert entry.problem is None
    assert entry.header is not None
    assert (entry.header.key, entry.size) == (KEY, len(ENGINE))


@pytest.mark.parametrize(
    "change",
    [
        {"graph_sha256": "1" * 64},
        {"precision": "int8"},
        {"flavour": "tensorrt_rtx"},
        {"version": "10.3.1"},
        {"gpu": "Thor"},
        {"gpu": None},
        {"compute_capability": "11.0"},
        {"flags": ("strongly_typed",)},
        {"batch": 8},
        {"frames": 6},
        {"workspace_mib": 512},
    ],
)
def test_everything_that_changes_an_engine_is_in_its_key(cache: EngineCache, change: dict[str, object]) -> None:
    kept(cache)
    other = EngineKey.model_validate(KEY.model_dump() | change)
    assert cache.load(other) is None
    kept(cache, other, b"another")
    assert (cache.load(KEY), cache.load(other)) == (ENGINE, b"another")


def cut(path: Path) -> None:
    path.write_bytes(ENGINE[:-1])


def grow(path: Path) -> None:
    path.write_bytes(ENGINE + b"\0")


def flip(path: Path) -> None:
    path.write_bytes(ENGINE[:100] + bytes([ENGINE[100] ^ 1]) + ENGINE[101:])


def lose_header(path: Path) -> None:
    path.with_suffix(".json").unlink()


def spoil_header(path: Path) -> None:
    path.with_suffix(".json").write_text("{")


def lie_in_header(path: Path) -> None:
    header = path.with_suffix(".json")
    header.write_text(json.dumps(json.loads(header.read_text()) | {"trusted": True}))


def answer_for_another_key(path: Path) -> None:
    header = path.with_suffix(".json")
    content = json.loads(header.read_text())
    content["key"]["version"] = "10.3.1"
    header.write_text(json.dumps(content))


def let_others_write(path: Path) -> None:
    path.chmod(0o664)


def let_others_write_the_header(path: Path) -> None:
    path.with_suffix(".json").chmod(0o646)


def make_a_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def make_a_pipe(path: Path) -> None:  # which would be waited for
    path.unlink()
    os.mkfifo(path)


def make_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: list[Callable[[Path], None]] = [
    cut,
    grow,
    flip,
    lose_header,
    spoil_header,
    lie_in_header,
    answer_for_another_key,
    let_others_write,
    let_others_write_the_header,
    make_a_link,
    make_a_pipe,
]


@pytest.mark.parametrize("damage", [*DAMAGES, make_a_folder])
def test_what_is_damaged_or_foreign_is_not_loaded(cache: EngineCache, damage: Callable[[Path], None]) -> None:
    damage(kept(cache))
    assert cache.load(KEY) is None


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_or_foreign_is_listed_as_that_built_again_and_cleaned(
    cache: EngineCache, damage: Callable[[Path], None]
) -> None:
    damage(kept(cache))
    (entry,) = cache.entries()
    if damage is not answer_for_another_key:  # which is whole: only nobody asks for it
        assert entry.header is None
        assert entry.problem
    kept(cache)
    assert cache.load(KEY) == ENGINE
    assert cache.clean()
    assert cache.entries() == []
    assert cache.load(KEY) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_not_loaded_and_one_of_root_is(cache: EngineCache) -> None:
    path = kept(cache)
    os.chown(path, 12_345, -1)
    assert cache.load(KEY) is None
    os.chown(path, 0, -1)
    assert cache.load(KEY) == ENGINE


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_the_service_loads_what_root_builds_for_it_and_root_not_what_the_service_builds() -> None:
    service = 61_234
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are root's alone
        os.chown(name, service, service)
        cache = EngineCache(Path(name, "engines"))
        path = kept(cache)
        assert (cache.folder.stat().st_uid, path.stat().st_uid) == (service, 0)
        assert cache.load(KEY) == ENGINE
        os.seteuid(service)
        try:
            assert cache.load(KEY) == ENGINE
            kept(cache)
            assert cache.load(KEY) == ENGINE
        finally:
            os.seteuid(0)
        assert path.stat().st_uid == service
        assert cache.load(KEY) is None
        (entry,) = cache.entries()  # which is the service's, and good for it
        assert (entry.owner, entry.problem) == (service, None)
        kept(cache)
        assert cache.load(KEY) == ENGINE


def test_nobody_else_can_write_what_is_kept(cache: EngineCache) -> None:
    kept(cache)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (cache.folder, *cache.folder.iterdir())]
    assert len(modes) == 3
    assert all(not mode & 0o022 for mode in modes)


def test_the_oldest_goes_when_there_is_no_room_and_the_newest_stays(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path / "engines", limit_mib=1)
    keys = [EngineKey.model_validate(KEY.model_dump() | {"batch": batch}) for batch in (1, 2, 3)]
    for number, key in enumerate(keys):
        path = kept(cache, key, bytes(400_000))
        header = path.with_suffix(".json")  # as if built on another day
        header.write_text(
            header.read_text().replace(json.loads(header.read_text())["built_utc"], f"202{number}-01-01T00:00:00Z")
        )
    assert [cache.load(key) is not None for key in keys] == [False, True, True]
    kept(cache, KEY, bytes(3 << 20))  # larger than the limit by itself
    assert len(cache.entries()) == 1
    assert cache.load(KEY) is not None


def test_what_a_killed_process_left_is_cleaned_and_what_is_not_an_engine_stays(cache: EngineCache) -> None:
    path = kept(cache)
    left, other = cache.folder / f".{path.name}.abc.tmp", cache.folder / "failures.json"
    left.write_bytes(ENGINE)
    other.write_text("{}")
    cache.clean()
    assert list(cache.folder.iterdir()) == [other]


def test_one_that_another_process_removes_meanwhile_is_not_there(
    cache: EngineCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(cache)
    gone = cache.folder / "0.engine"  # as if it were removed between the look into the folder and the look at it
    seen = Path.glob
    monkeypatch.setattr(Path, "glob", lambda folder, pattern: [gone, *seen(folder, pattern)])
    assert [entry.problem for entry in cache.entries()] == [None]


def test_a_folder_that_cannot_be_made_is_told_and_one_that_is_not_there_is_empty(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="Cannot keep engines"):
        kept(EngineCache(tmp_path / "file" / "engines"))
    nowhere = EngineCache(tmp_path / "nowhere")
    assert (nowhere.load(KEY), nowhere.entries(), nowhere.clean()) == (None, [], [])
