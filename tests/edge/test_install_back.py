"""Going back to the bundle before: only to one that an installation put there."""

from __future__ import annotations

from pathlib import Path

import pytest

from asd_edge.errors import BundleError, StateError
from asd_edge.serving.install import take_back
from asd_edge.serving.installed import Installed
from asd_edge.serving.status import status
from tests.edge.installing import Box
from tests.edge.tiny_bundle import make_tiny_bundle


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_going_back_and_forth(box: Box) -> None:
    with pytest.raises(StateError, match="no bundle to go back to") as caught:
        take_back(box.config, author="bob")
    assert caught.value.remedy.endswith("asd-edge install BUNDLE --config FILE.")
    box.install(box.bundle("a.asd", 1))
    box.install(box.bundle("b.asd", 2))
    for releases in ((1, 2), (2, 1)):
        done = take_back(box.config, author="bob")
        assert (done.present.how, done.present.author) == ("taken back", "bob")
        assert box.releases() == releases
    assert status(box.config).highest == 2


def test_a_genuine_bundle_that_was_never_installed_does_not_come_back(box: Box) -> None:
    """An old release with a known weakness, copied to where the one before lies."""
    for release in (2, 3):
        box.install(box.bundle(f"{release}.asd", release))
    box.previous.write_bytes(box.bundle("1.asd", 1).read_bytes())
    before = box.everything()
    with pytest.raises(BundleError, match=r"never installed(?s:.*)release 1 (?s:.*)--previous --force"):
        take_back(box.config, author="bob")
    assert box.everything() == before
    assert take_back(box.config, author="bob", force=True).present.how == "forced"
    assert box.releases() == (1, 3)
    assert take_back(box.config, author="bob").present.release == 3


@pytest.mark.parametrize("state", ["damaged", "not signed"])
def test_a_file_that_does_not_serve_never_takes_the_place_of_the_one_before(box: Box, state: str) -> None:
    for release in (1, 2):
        box.install(box.bundle(f"{release}.asd", release))
    before = box.previous.read_bytes()
    if state == "damaged":
        box.path.write_bytes(box.path.read_bytes()[:-1])
    else:
        make_tiny_bundle(box.path, release=9)
    done = box.install(box.bundle("3.asd", 3))
    assert (done.replaced, box.previous.read_bytes()) == (None, before)
    assert ("cut off" if state == "damaged" else "no signature") in str(done.dropped)
    assert take_back(box.config, author="bob").present.release == 1


def test_an_old_bundle_that_was_copied_there_is_found_though_it_was_installed_once(box: Box) -> None:
    for release in (1, 2):
        box.install(box.bundle(f"{release}.asd", release))
    box.path.write_bytes((box.folder / "1.asd").read_bytes())
    present, before = status(box.config).present, status(box.config).before
    assert isinstance(present, Installed)
    assert isinstance(before, Installed)
    assert (present.how, before.how) == ("found", "installed")


def test_a_damaged_bundle_before_is_not_advised_again(box: Box) -> None:
    for release in (1, 2):
        box.install(box.bundle(f"{release}.asd", release))
    with pytest.raises(BundleError, match="To go back to the bundle before this one: --previous"):
        box.install(box.bundle("1.asd", 1))
    box.previous.write_bytes(b"damaged")
    with pytest.raises(BundleError) as caught:
        take_back(box.config, author="bob")
    assert caught.value.remedy == "Install the one that you want: asd-edge install BUNDLE --config FILE."


def test_the_present_bundle_mends_its_own_file_after_going_back(box: Box) -> None:
    for release in (1, 2):
        box.install(box.bundle(f"{release}.asd", release))
    take_back(box.config, author="bob")
    box.path.write_bytes(b"")
    assert box.install(box.folder / "1.asd").changed
    assert box.releases() == (1, 2)
