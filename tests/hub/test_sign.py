"""Signatures: ours hold, and those of others, or over other files, do not. The oracle: model-signing's own command."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from hfcompress.errors import InputError
from hfcompress.hub.sign import SIGNATURE, is_signed_by, sign, signature_fault
from hfcompress.hub.verify import verify
from tests.hub.published_folders import make_repository, publication_of

# Not `importorskip`: a package that is there and cannot be imported is a failure.
pytestmark = pytest.mark.skipif(not find_spec("model_signing"), reason="the extra `sign` is not installed")


def make_key(folder: Path, name: str, kind: str = "ec") -> tuple[Path, Path]:
    """A private key and its public one, as PEM."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    key = ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else ed25519.Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    plain = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(encoding, form))
    return private, public


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_key(tmp_path_factory.mktemp("keys"), "ours")


@pytest.fixture
def signed(tmp_path: Path, keys: tuple[Path, Path]) -> Path:
    folder = make_repository(tmp_path / "repository")
    (folder / SIGNATURE).write_bytes(sign(publication_of(folder), keys[0]).content)  # type: ignore[arg-type]
    return folder


def test_a_signature_holds_over_what_was_published(signed: Path, keys: tuple[Path, Path]) -> None:
    found = verify(signed, keys[1])
    assert found.passed
    assert found.signed is True


def test_model_signings_own_command_takes_it(signed: Path, keys: tuple[Path, Path]) -> None:
    from click.testing import CliRunner
    from model_signing._cli import main

    command = ["verify", "key", str(signed), "--signature", str(signed / SIGNATURE), "--public_key", str(keys[1])]
    assert CliRunner().invoke(main, command).exit_code == 0
    (signed / "README.md").write_text("changed")
    assert CliRunner().invoke(main, command).exit_code != 0


def test_what_the_hub_and_a_download_leave_beside_the_files_changes_nothing(
    signed: Path, keys: tuple[Path, Path]
) -> None:
    (signed / ".gitattributes").write_text("*.onnx filter=lfs")
    (signed / ".cache").mkdir()
    (signed / ".cache" / "note").write_text("x")
    assert verify(signed, keys[1]).passed


def test_a_file_of_somebody_else_changes_nothing_and_their_command_takes_it_too(
    signed: Path, keys: tuple[Path, Path]
) -> None:
    from click.testing import CliRunner
    from model_signing._cli import main

    (signed / "LICENSE").write_text("added on the Hub")
    found = verify(signed, keys[1])
    assert (found.passed, found.signed, found.notes) == (True, True, ("LICENSE",))
    command = ["verify", "key", str(signed), "--signature", str(signed / SIGNATURE), "--public_key", str(keys[1])]
    assert CliRunner().invoke(main, command).exit_code != 0
    assert CliRunner().invoke(main, [*command, "--ignore-paths", str(signed / "LICENSE")]).exit_code == 0


def test_a_file_that_the_manifest_lacks_all_at_once_is_no_file_of_somebody_else(
    signed: Path, keys: tuple[Path, Path]
) -> None:
    manifest = json.loads((signed / "manifest.json").read_text())
    del manifest["files"]["README.md"]
    (signed / "manifest.json").write_text(json.dumps(manifest))
    (signed / "README.md").write_text("another")
    found = verify(signed, keys[1])
    assert found.notes == ("README.md",)
    assert found.signed is False


@pytest.mark.parametrize("name", ["README.md", "manifest.json", "onnx/model.onnx"])
def test_a_change_of_any_file_breaks_it(signed: Path, keys: tuple[Path, Path], name: str) -> None:
    (signed / name).write_bytes((signed / name).read_bytes() + b" ")
    assert f"Hash mismatch for '{name}'" in str(signature_fault(signed, keys[1]))


def test_a_file_that_was_added_breaks_it(signed: Path, keys: tuple[Path, Path]) -> None:
    (signed / "more.py").write_text("import os")
    assert "more.py" in str(signature_fault(signed, keys[1]))


def test_whoever_changes_files_and_manifest_together_is_found_by_the_signature_alone(
    signed: Path, tmp_path: Path, keys: tuple[Path, Path]
) -> None:
    forged = make_repository(tmp_path / "forged", seed=1)
    shutil.copy(signed / SIGNATURE, forged / SIGNATURE)
    assert verify(forged).passed
    found = verify(forged, keys[1])
    assert not found.passed
    assert found.signed is False


def test_the_signature_of_another_key_does_not_hold(signed: Path, tmp_path: Path) -> None:
    fault = signature_fault(signed, make_key(tmp_path, "theirs")[1])
    assert fault is not None
    assert SIGNATURE in fault


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"mediaType": "x"}'])
def test_what_is_no_signature_does_not_hold(signed: Path, keys: tuple[Path, Path], content: bytes) -> None:
    (signed / SIGNATURE).write_bytes(content)
    assert SIGNATURE in str(signature_fault(signed, keys[1]))


def test_without_a_signature_there_is_none(signed: Path, keys: tuple[Path, Path]) -> None:
    (signed / SIGNATURE).unlink()
    assert signature_fault(signed, keys[1]) == "there is no signature: model.sig is missing"


def test_a_signature_that_is_there_is_known_so_that_a_second_push_changes_nothing(
    signed: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    publication, signature = publication_of(signed), (signed / SIGNATURE).read_bytes()
    assert is_signed_by(publication, signature, keys[1])
    assert not is_signed_by(publication, signature, make_key(tmp_path, "theirs")[1])
    (signed / "README.md").write_text("# Another\n")
    assert not is_signed_by(publication_of(signed), signature, keys[1])


@pytest.mark.parametrize("kind", ["absent", "text", "ed25519", "public"])
def test_a_key_that_cannot_sign_is_refused_with_the_way_to_make_one(
    signed: Path, tmp_path: Path, keys: tuple[Path, Path], kind: str
) -> None:
    key = {"absent": tmp_path / "absent.pem", "text": tmp_path / "text.pem", "public": keys[1]}.get(kind)
    (tmp_path / "text.pem").write_text("no key")
    with pytest.raises(InputError, match=r"no private key that can sign.*openssl ecparam"):
        sign(publication_of(signed), key or make_key(tmp_path, "other", kind)[0])
    with pytest.raises(InputError, match=r"no public key that can verify.*openssl ec"):
        signature_fault(signed, tmp_path / "text.pem")
