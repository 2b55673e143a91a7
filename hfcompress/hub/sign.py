"""Signatures in the format of OpenSSF's model-signing: one file beside the others, which its own command verifies too.

https://github.com/sigstore/model-transparency: a Sigstore bundle over the sha256 of every file.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hfcompress.errors import InputError
from hfcompress.extras import require
from hfcompress.hub.publication import Publication, PublishedFile

#: The file of the signature at the root of a repository.
SIGNATURE = "model.sig"
#: What is not signed: the signature itself, and what a download leaves beside the files. Files of git are left out too.
_UNSIGNED = (SIGNATURE, ".cache")


def sign(publication: Publication, key: Path) -> PublishedFile:
    """The signature of a publication, to be published with it.

    Two signatures of equal files differ, since ECDSA draws a number for each: where `is_signed_by` says that the
    repository has one already, that one is to stay.

    Args:
        publication: what is signed; a signature in it is replaced.
        key: a private key on an elliptic curve (P-256, P-384 or P-521), PEM, without a password.

    Raises:
        ExtraError: the extra `sign` is not installed.
        InputError: the key cannot be used.
    """
    require("sign", "signing")
    from model_signing import signing

    try:
        config = signing.Config().use_elliptic_key_signer(private_key=key)
    except (OSError, TypeError, ValueError, AttributeError) as error:  # the last: a key of another kind, such as RSA
        raise _unusable(key, error) from None
    with tempfile.TemporaryDirectory() as temporary:
        folder, signature = Path(temporary) / "model", Path(temporary) / SIGNATURE
        _lay_out(publication, folder)
        config.set_hashing_config(_hashing()).sign(folder, signature)
        return PublishedFile(SIGNATURE, signature.read_bytes())


def signed(publication: Publication, key: Path, existing: bytes | None = None) -> Publication:
    """A publication with its signature: the existing one, where it is that of this key over these files.

    Raises:
        ExtraError, InputError: as `sign`.
    """
    with tempfile.TemporaryDirectory() as temporary:
        public_key = Path(temporary) / "PUB.pem"
        public_key.write_bytes(public_key_of(key))
        kept = existing is not None and is_signed_by(publication, existing, public_key)
    file = PublishedFile(SIGNATURE, existing) if kept and existing is not None else sign(publication, key)
    return Publication(publication.title, tuple(sorted((*publication, file), key=lambda each: each.path)))


def public_key_of(key: Path) -> bytes:
    """The public key of a private one, PEM.

    Raises:
        ExtraError: the extra `sign` is not installed.
        InputError: the key cannot be used.
    """
    require("sign", "signing")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    try:
        private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    except (OSError, TypeError, ValueError) as error:
        raise _unusable(key, error) from None
    if not isinstance(private, EllipticCurvePrivateKey):
        raise _unusable(key, "it is of another kind")
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    pem: bytes = private.public_key().public_bytes(serialization.Encoding.PEM, form)
    return pem


def _unusable(key: Path, why: object) -> InputError:
    return InputError(
        f"{key} is no private key that can sign: {why}; give one on an elliptic curve, PEM, without a password: "
        "openssl ecparam -name prime256v1 -genkey -noout -out KEY.pem"
    )


def signature_fault(folder: Path, public_key: Path, foreign: Iterable[str] = ()) -> str | None:
    """What is wrong with the signature of a folder, in words; None when it is that of this key, over these files.

    Args:
        folder: with the signature in it.
        public_key: PEM.
        foreign: files of others in that folder, which nobody signed.

    Raises:
        ExtraError: the extra `sign` is not installed.
        InputError: the public key cannot be used.
    """
    require("sign", "verifying a signature")
    from cryptography.exceptions import InvalidSignature
    from model_signing import verifying

    if not (folder / SIGNATURE).is_file():
        return f"there is no signature: {SIGNATURE} is missing"
    try:
        config = verifying.Config().use_elliptic_key_verifier(public_key=public_key)
    except (OSError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{public_key} is no public key that can verify: {error}; give the PEM of the signer: "
            "openssl ec -in KEY.pem -pubout -out PUB.pem"
        ) from None
    try:
        # What to leave out is ours to say, and not the signature's.
        config.set_hashing_config(_hashing(foreign)).verify(folder, folder / SIGNATURE)
    except InvalidSignature:
        return f"{SIGNATURE} was not made with the private key of {public_key.name}"
    except (ValueError, KeyError, TypeError, IndexError) as error:
        # The library shows the digests as Python would: the names are enough.
        told = re.sub(r": Expected 'Digest\(.*?\)', Actual 'Digest\(.*?\)'", "", " ".join(str(error).split()))
        return f"{SIGNATURE} does not hold: {told}"
    return None


def is_signed_by(publication: Publication, signature: bytes, public_key: Path) -> bool:
    """Whether a signature is that of this key over the files of a publication.

    Raises:
        ExtraError, InputError: as `signature_fault`.
    """
    with tempfile.TemporaryDirectory() as temporary:
        _lay_out(publication, Path(temporary) / "model")
        (Path(temporary) / "model" / SIGNATURE).write_bytes(signature)
        return signature_fault(Path(temporary) / "model", public_key) is None


def _hashing(foreign: Iterable[str] = ()) -> Any:
    from model_signing import hashing

    return hashing.Config().set_ignored_paths(paths=(*_UNSIGNED, *foreign), ignore_git_paths=True)


def _lay_out(publication: Publication, folder: Path) -> None:
    """The files where a repository has them; a file of this disk is linked and takes no room."""
    folder.mkdir()
    for file in publication:
        if file.path == SIGNATURE:
            continue
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(file.content, bytes):
            path.write_bytes(file.content)
            continue
        try:
            os.link(file.content, path)
        except OSError:  # another disk, or one without links
            shutil.copyfile(file.content, path)
