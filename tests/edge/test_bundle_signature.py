"""Signed bundles: one signature covers every byte, and a device runs what a key that it trusts has signed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from asd_edge.bundle.archive import load_bundle
from asd_edge.bundle.trust import load_trusted
from asd_edge.config import BundleTable
from asd_edge.errors import BundleError, ConfigError
from tests.edge.device import asd_edge, write_device
from tests.edge.remote_operator import Operator
from tests.edge.signer import DOMAIN, members_of, sign, signature_of, trust, with_signatures, write_members
from tests.edge.tiny_bundle import make_tiny_bundle

FACTORY, PLANT, MALLORY = Operator("factory"), Operator("plant"), Operator("mallory")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    make_tiny_bundle(tmp_path / "tiny.asd")
    return tmp_path / "tiny.asd"


@pytest.fixture
def signed_by(bundle: Path, tmp_path: Path) -> Callable[[], tuple[str, ...]]:
    """Who signed the bundle, for a device that trusts two keys and runs unsigned bundles too."""
    keys = trust(tmp_path / "keys", FACTORY, PLANT)
    table = BundleTable(path=str(bundle), trusted_keys_file=keys, allow_unsigned=True)
    return lambda: load_trusted(table).signed_by


@pytest.mark.parametrize(
    ("signers", "names"),
    [
        ([], ()),
        ([PLANT], ("plant",)),
        ([FACTORY, PLANT], ("factory", "plant")),
        ([MALLORY], ()),
        ([MALLORY, PLANT], ("plant",)),
    ],
    ids=["nobody", "one", "two", "a stranger", "a stranger and one"],
)
def test_a_bundle_is_signed_by_the_trusted_keys_that_signed_it(
    bundle: Path, signed_by: Callable[[], object], signers: list[Operator], names: tuple[str, ...]
) -> None:
    if signers:
        sign(bundle, *signers)
    assert signed_by() == names
    assert load_bundle(bundle).signed_by == ()


def test_a_signature_changes_the_file_and_nothing_that_was_enrolled(bundle: Path) -> None:
    before = load_bundle(bundle)
    after = load_bundle(sign(bundle, PLANT))
    assert after.bundle_id != before.bundle_id
    assert after.embedding_id == before.embedding_id
    assert after.manifest == before.manifest


@pytest.mark.parametrize("what", ["manifest", "signature", "another bundle's", "a remote command"])
def test_a_signature_of_a_trusted_key_that_does_not_fit_is_an_alteration(
    bundle: Path, signed_by: Callable[[], object], tmp_path: Path, what: str
) -> None:
    sign(bundle, PLANT)
    manifest = members_of(bundle)["manifest.json"]
    if what == "manifest":
        other = manifest.replace(b'"release": 1', b'"release": 2').replace(b'"release":1', b'"release":2')
        assert other != manifest
        write_members(bundle, members_of(bundle) | {"manifest.json": other})
    elif what == "signature":
        with_signatures(bundle, [signature_of(MALLORY, DOMAIN + manifest) | {"key": PLANT.fingerprint}])
    elif what == "another bundle's":
        make_tiny_bundle(tmp_path / "other.asd", name="other")
        genuine = members_of(sign(tmp_path / "other.asd", PLANT))["signature.json"]
        write_members(bundle, members_of(bundle) | {"signature.json": genuine})
    else:
        with_signatures(bundle, [signature_of(PLANT, b"asd-edge remote command v1\0" + manifest)])
    with pytest.raises(BundleError, match="plant"):
        signed_by()


def test_another_member_under_a_genuine_signature_is_an_alteration(
    bundle: Path, signed_by: Callable[[], object]
) -> None:
    sign(bundle, PLANT)
    graph = members_of(bundle)["segment.fp32.onnx"]
    write_members(bundle, members_of(bundle) | {"segment.fp32.onnx": graph[:-1] + bytes([graph[-1] ^ 1])})
    with pytest.raises(BundleError, match="SHA-256"):
        signed_by()


ONE = signature_of(PLANT, b"anything")


@pytest.mark.parametrize(
    ("signatures", "changes", "found"),
    [
        ([], {}, "signatures"),
        ([ONE, ONE], {}, "two signatures of one key"),
        ([signature_of(Operator(), b"") for _ in range(17)], {}, "signatures"),
        ([ONE | {"key": ONE["key"][:-1]}], {}, "key"),
        ([ONE | {"signature": ONE["signature"][:-4]}], {}, "signature"),
        ([ONE | {"signature": ONE["signature"][:-3] + "B=="}], {}, "signature"),  # the same 64 bytes, written otherwise
        ([ONE | {"name": "plant"}], {}, "unknown key"),
        ([ONE], {"version": 2}, "version 2"),
        ([ONE], {"format": "else"}, "format"),
    ],
    ids=["none", "twice", "too many", "short key", "short", "other form", "extra", "newer", "foreign"],
)
def test_a_member_that_is_no_list_of_signatures_is_refused_whoever_is_trusted(
    bundle: Path, signatures: list[dict[str, str]], changes: dict[str, object], found: str
) -> None:
    with_signatures(bundle, signatures, **changes)
    with pytest.raises(BundleError) as caught:
        load_bundle(bundle)
    assert found in caught.value.found


class TestPolicy:
    """What a device file says of its bundle."""

    def test_default_needs_no_signature(self) -> None:
        assert load_trusted(BundleTable()).signed_by == ()

    def test_a_file_is_signed_by_a_trusted_key(
        self, bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        keys = trust(tmp_path / "keys", PLANT)
        table = BundleTable(path=str(bundle), trusted_keys_file=keys)
        for signer in (None, MALLORY):
            if signer:
                sign(bundle, signer)
            with pytest.raises(BundleError) as caught:
                load_trusted(table)
            assert caught.value.found == (f"signatures of {MALLORY.fingerprint} alone" if signer else "no signature")
            assert caught.value.expected == "one of plant"
            first, last = caught.value.remedy.split("; docs/security.md says how. ")
            assert first.startswith(
                f"Add the signer's line to {keys}" if signer else "Sign it with the key of one of p"
            )
            assert "allow_unsigned" in last
        sign(bundle, PLANT)
        caplog.set_level("INFO")
        assert load_trusted(table).signed_by == ("plant",)
        assert "release 1, is signed by plant" in caplog.text

    def test_a_device_whose_file_is_gone_or_damaged_is_told_how_to_get_it_back(self, tmp_path: Path) -> None:
        path = tmp_path / "bundle.asd"
        table = BundleTable(path=str(path), allow_unsigned=True)
        for damaged in (False, True):
            if damaged:
                path.write_bytes(b"damaged")
                path.with_name("bundle.previous.asd").write_bytes(b"")
            with pytest.raises(BundleError) as caught:
                load_trusted(table)
            assert "asd-edge install BUNDLE --config FILE" in caught.value.remedy
            assert ("--previous" in caught.value.remedy) == damaged

    def test_nothing_of_a_stranger_s_file_is_looked_into(self, bundle: Path, tmp_path: Path) -> None:
        write_members(bundle, members_of(bundle) | {"manifest.json": b'{"format": "asd-edge-bundle", "version": 4}'})
        with pytest.raises(BundleError, match="no signature"):
            load_trusted(BundleTable(path=str(bundle), trusted_keys_file=trust(tmp_path / "keys", PLANT)))

    def test_a_file_that_may_be_unsigned_may_not_be_altered(self, bundle: Path, tmp_path: Path) -> None:
        keys = trust(tmp_path / "keys", PLANT)
        assert load_trusted(BundleTable(path=str(bundle), allow_unsigned=True)).signed_by == ()
        table = BundleTable(path=str(bundle), allow_unsigned=True, trusted_keys_file=keys)
        assert load_trusted(table).signed_by == ()
        with_signatures(bundle, [signature_of(PLANT, b"something else")])
        with pytest.raises(BundleError, match="plant"):
            load_trusted(table)

    def test_keys_that_others_may_write_are_no_keys(self, bundle: Path, tmp_path: Path) -> None:
        keys = trust(tmp_path / "keys", PLANT)
        keys.chmod(0o666)
        with pytest.raises(ConfigError, match="chmod go-w"):
            load_trusted(BundleTable(path=str(bundle), trusted_keys_file=keys))

    @pytest.mark.parametrize(
        "command",
        [
            ("run",),
            ("run", "--check"),
            ("verify",),
            ("score", "--machine", "fan-1", "clip.wav"),
            ("enroll", "--machine", "fan-1", "--condition", "a", "clip.wav"),
        ],
        ids=lambda words: "-".join(words[:2]),
    )
    def test_every_command_of_a_device_says_what_to_do(self, bundle: Path, tmp_path: Path, command: tuple[str]) -> None:
        device = write_device(tmp_path, bundle, 1, {"id": "fan-1", "source": "sim:fan"})
        device.write_text(device.read_text().replace("allow_unsigned = true\n", ""))
        told = asd_edge(*command, "--config", device)
        assert told.returncode == 1
        said = told.stdout + told.stderr  # a check says all it finds in one place
        assert "is not signed by a key that this device trusts" in said
        assert "add the line `allow_unsigned = true` under [bundle]" in said
        assert "Traceback" not in said
