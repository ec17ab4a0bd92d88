"""What root's commands write in a folder of the service's user: it becomes that user's, and nothing else does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asd_edge.atomic import atomic_write, make_folder
from asd_edge.lock import holder_of, locked

SERVICE = 61_234
ROOT_ALONE = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The service's, beside a file that is root's."""
    path = tmp_path / "state"
    path.mkdir()
    if os.geteuid() == 0:
        os.chown(path, SERVICE, SERVICE)
    return path


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_text("secret")
    path.chmod(0o600)
    return path


def is_untouched(victim: Path) -> bool:
    status = victim.stat()
    return (status.st_uid, status.st_mode & 0o777, victim.read_text()) == (os.geteuid(), 0o600, "secret")


@ROOT_ALONE
def test_what_root_writes_is_the_services(folder: Path) -> None:
    make_folder(folder / "fan", folder)
    with locked(folder / "fan" / "site.lock", "root", like=folder), atomic_write(folder / "file", like=folder) as file:
        file.write(b"content")
    for path in (folder / "fan", folder / "fan" / "site.lock", folder / "file"):
        assert (path.stat().st_uid, path.stat().st_gid) == (SERVICE, SERVICE)


def test_a_lock_that_is_a_link_is_not_followed(folder: Path, victim: Path) -> None:
    lock = folder / "site.lock"
    lock.symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"), locked(lock, "root", like=folder):
        pass
    assert is_untouched(victim)
    with locked(victim, "secret", like=victim.parent):
        assert holder_of(lock) is None
    lock.unlink()
    lock.symlink_to(folder / "absent")  # nor is a file made at the other end
    with pytest.raises(OSError, match="symbolic links"), locked(lock, "root", like=folder):
        pass
    assert not (folder / "absent").exists()


@ROOT_ALONE
def test_a_lock_that_is_another_files_second_name_is_left_alone(folder: Path, victim: Path) -> None:
    os.link(victim, folder / "site.lock")
    with pytest.raises(PermissionError), locked(folder / "site.lock", "root", like=folder):
        pass
    assert is_untouched(victim)


@ROOT_ALONE
def test_a_folder_that_is_a_link_is_not_given_away(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (folder / "fan").symlink_to(tmp_path / "etc")
    with pytest.raises(NotADirectoryError):
        make_folder(folder / "fan", folder)
    assert (tmp_path / "etc").stat().st_uid == 0


@ROOT_ALONE
def test_a_link_in_the_place_of_a_half_written_file_is_not_followed(folder: Path, victim: Path) -> None:
    def written() -> None:
        with atomic_write(folder / "file", mode=0o666, like=folder) as file:
            file.write(b"content")
            (temporary,) = folder.glob(".file.*")
            temporary.unlink()
            temporary.symlink_to(victim)

    with pytest.raises(OSError, match="one name"):
        written()
    assert is_untouched(victim)
    assert list(folder.iterdir()) == []
