"""`asd-export sign`: what it writes is a bundle that a device trusts, with keys that ssh-keygen made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from asd_edge.bundle.archive import load_bundle
from asd_edge.bundle.trust import load_trusted
from asd_edge.config import BundleTable
from asd_edge.errors import BundleError
from asd_edge.keys import read_private_key
from asd_export.sign import sign_bundle
from tests.edge.remote_operator import Operator
from tests.edge.required import required_tool
from tests.edge.signer import members_of, signature_of, trust, with_signatures
from tests.edge.tiny_bundle import make_tiny_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    make_tiny_bundle(tmp_path / "tiny.asd")
    return tmp_path / "tiny.asd"


def ssh_key(folder: Path, name: str) -> Path:
    """Make a key as a person would; NAME.pub is its line."""
    tool = required_tool("ssh-keygen", "openssh-client")
    arguments = (tool, "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name))
    subprocess.run(arguments, check=True)
    return folder / name


def test_a_factory_and_a_plant_sign_one_bundle_and_a_device_trusts_either(bundle: Path, tmp_path: Path) -> None:
    unsigned = bundle.read_bytes()
    factory, plant = ssh_key(tmp_path, "factory"), ssh_key(tmp_path, "plant")
    signed = tmp_path / "signed.asd"
    code = "from asd_export.cli import main; main()"
    command = (sys.executable, "-c", code, "sign", str(bundle), "--key", str(factory), "--out", str(signed))
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert bundle.read_bytes() == unsigned
    assert str(signed) in told
    both = sign_bundle(signed, read_private_key(plant), signed)
    assert both.embedding_id == load_bundle(bundle).embedding_id
    for names in (("factory",), ("plant",), ("factory", "plant")):
        keys = tmp_path / "keys"
        keys.write_text("".join((tmp_path / f"{name}.pub").read_text() for name in names))
        table = BundleTable(path=str(signed), trusted_keys_file=keys)
        assert load_trusted(table).signed_by == names


def test_signing_again_replaces_the_signature_of_that_key_alone(bundle: Path, tmp_path: Path) -> None:
    factory, plant = Operator("factory"), Operator("plant")
    manifest = members_of(bundle)["manifest.json"]
    genuine = signature_of(factory, b"asd-edge bundle v1\0" + manifest)
    with_signatures(bundle, [signature_of(plant, b"torn"), genuine])
    sign_bundle(bundle, plant.key, bundle)
    table = BundleTable(path=str(bundle), trusted_keys_file=trust(tmp_path / "keys", factory, plant))
    assert load_trusted(table).signed_by == ("factory", "plant")
    once = bundle.read_bytes()
    sign_bundle(bundle, plant.key, bundle)
    assert bundle.read_bytes() == once  # Ed25519 has one signature for one message


def test_what_cannot_be_signed_leaves_the_file_as_it_was(bundle: Path, tmp_path: Path) -> None:
    whole, key = bundle.read_bytes(), Operator().key
    with pytest.raises(BundleError, match="Cannot write"):
        sign_bundle(bundle, key, tmp_path / "nowhere" / "b.asd")
    bundle.write_bytes(whole[:-1])
    with pytest.raises(BundleError, match="cut off"):
        sign_bundle(bundle, key, bundle)
    assert bundle.read_bytes() == whole[:-1]
    bundle.write_bytes(whole)
    with_signatures(bundle, [signature_of(Operator(), b"") for _ in range(16)])
    full = bundle.read_bytes()
    with pytest.raises(BundleError, match="16 signatures"):
        sign_bundle(bundle, key, bundle)
    assert bundle.read_bytes() == full
    assert {path.name for path in tmp_path.iterdir()} == {"tiny.asd"}
