"""Keys are OpenSSH's: what ssh-keygen writes is read, what we write ssh-keygen reads."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from asd_edge.config import RemoteTable
from asd_edge.daemon.remote import authorised_keys
from asd_edge.errors import ConfigError
from asd_edge.keys import KEYS_LIMIT, fingerprint, read_authorised_keys, read_private_key, write_private_key
from tests.edge.device import asd_edge
from tests.edge.remote_operator import Operator
from tests.edge.required import required_tool

ANNA, BERT = Operator("anna"), Operator("bert")


def ssh_keygen(*arguments: str) -> str:
    tool = required_tool("ssh-keygen", "openssh-client")
    return subprocess.run([tool, *arguments], check=True, capture_output=True, text=True).stdout


def keys_file(folder: Path, text: str) -> Path:
    path = folder / "keys"
    path.write_text(text)
    path.chmod(0o644)
    return path


def test_a_key_of_ours_is_one_that_ssh_keygen_reads(tmp_path: Path) -> None:
    path = tmp_path / "anna.key"
    line = write_private_key(path, "anna")
    public = tmp_path / "anna.key.pub"
    assert [file.stat().st_mode & 0o777 for file in (path, public)] == [0o600, 0o644]
    assert public.read_text() == f"{line}\n"
    assert ssh_keygen("-y", "-f", str(path)).split() == line.split()[:2]
    key = read_private_key(path)
    (tmp_path / "line").write_text(line)
    assert fingerprint(key.public_key()) == ssh_keygen("-l", "-f", str(tmp_path / "line")).split()[1]
    known = read_authorised_keys(keys_file(tmp_path, line))
    signer = known.check(fingerprint(key.public_key()), b"hello", key.sign(b"hello"))
    assert (signer.name, signer.genuine) == ("anna", True)


def test_a_key_of_ssh_keygen_is_one_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "bert"
    ssh_keygen("-q", "-t", "ed25519", "-N", "", "-C", "bert", "-f", str(path))
    known = read_authorised_keys(keys_file(tmp_path, path.with_suffix(".pub").read_text()))
    key = read_private_key(path)
    assert known.check(fingerprint(key.public_key()), b"hello", key.sign(b"hello")).genuine
    assert not known.check(fingerprint(key.public_key()), b"hallo", key.sign(b"hello")).genuine


def test_a_key_that_is_not_known_is_never_genuine(tmp_path: Path) -> None:
    known = read_authorised_keys(ANNA.authorise(tmp_path / "keys"))
    for claimed in (BERT.fingerprint, ANNA.fingerprint):
        signer = known.check(claimed, b"hello", BERT.key.sign(b"hello"))
        assert not signer.genuine
    assert not known.check(ANNA.fingerprint, b"hello", b"").genuine


def test_a_key_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "anna.key"
    write_private_key(path, "anna")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="not written"):
        write_private_key(path, "anna")
    assert path.read_bytes() == before
    path.unlink()
    with pytest.raises(ConfigError, match=r"anna\.key\.pub already"):
        write_private_key(path, "anna")
    assert not path.exists()
    with pytest.raises(ConfigError, match="name"):
        write_private_key(tmp_path / "new.key", "anna@plant")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "no key"),
        ("# nobody\n", "no key"),
        (ANNA.line.rpartition(" ")[0], "line 1: a key without a name"),
        (f"# one\n{ANNA.line}@plant", "line 2"),
        (f"from=10.0.0.1 {ANNA.line}", "line 1"),
        (ANNA.line.replace("AAAAC3", "AAAAC4"), "line 1"),
        (ANNA.line[:40] + " anna", "line 1"),
        (f"{ANNA.line}\n{ANNA.line}", "line 2: a name or a key"),
        (f"{ANNA.line}\n{ANNA.line}2", "line 2: a name or a key"),
        (f"{ANNA.line}\n{BERT.line.replace('bert', 'anna')}", "line 2: a name or a key"),
        ("x" * (KEYS_LIMIT + 1), "more than"),
    ],
    ids=map(str, range(11)),  # the keys are other ones in every process
)
def test_a_keys_file_that_is_not_quite_one_is_refused_as_a_whole(tmp_path: Path, text: str, found: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_authorised_keys(keys_file(tmp_path, text))
    assert found in caught.value.found


def test_keys_of_other_kinds_and_files_in_others_hands_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "ecdsa"
    ssh_keygen("-q", "-t", "ecdsa", "-N", "", "-C", "carl", "-f", str(path))
    with pytest.raises(ConfigError) as caught:
        read_authorised_keys(path.with_suffix(".pub"))
    assert "ecdsa" in caught.value.found
    with pytest.raises(ConfigError) as caught:
        read_private_key(path)
    assert "another kind" in caught.value.found
    locked = tmp_path / "locked"
    ssh_keygen("-q", "-t", "ed25519", "-N", "secret", "-f", str(locked))
    with pytest.raises(ConfigError) as caught:
        read_private_key(locked)
    assert "passphrase" in caught.value.remedy
    locked.chmod(0o640)
    with pytest.raises(ConfigError) as caught:
        read_private_key(locked)
    assert "chmod 600" in caught.value.remedy
    keys = keys_file(tmp_path, ANNA.line)
    keys.chmod(0o664)
    with pytest.raises(ConfigError) as caught:
        read_authorised_keys(keys)
    assert "chmod go-w" in caught.value.remedy
    with pytest.raises(ConfigError, match="absent"):
        read_authorised_keys(tmp_path / "absent")


def test_a_credential_of_systemd_comes_before_the_keys_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = RemoteTable(enabled=True, keys_file=ANNA.authorise(tmp_path / "keys"))
    assert authorised_keys(table).names == ["anna"]
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    BERT.authorise(credentials / "keys")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert authorised_keys(table).names == ["bert"]


def test_keygen_says_where_the_key_is_and_where_its_line_goes(tmp_path: Path) -> None:
    done = asd_edge("keygen", tmp_path / "anna.key")
    assert (done.returncode, done.stdout) == (0, (tmp_path / "anna.key.pub").read_text())
    for words in (str(tmp_path / "anna.key"), "anna.key.pub", "trusted_keys_file"):
        assert words in done.stderr
