"""Every file against SHA256SUMS."""

from __future__ import annotations

import hashlib
from pathlib import Path

from .failures import RefusedError


def verify(folder: Path) -> None:
    """Refuse a bundle of which a file is not what SHA256SUMS says; a file that was added later is none of it."""
    sums = folder / "SHA256SUMS"
    if not sums.is_file():
        raise RefusedError(f"{sums.name} is missing: this is no whole bundle; copy it again")
    for line in sums.read_text(encoding="utf-8").splitlines():
        expected, _, name = line.partition("  ")
        if not (folder / name).is_file():
            raise RefusedError(f"{name} is missing; copy the bundle again")
        if sha256(folder / name) != expected:
            raise RefusedError(f"{name} is not what it was when the bundle was made; copy the bundle again")


def sha256(path: Path) -> str:
    """In hex, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
