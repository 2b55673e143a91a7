"""A publication as a folder, the way a download would leave it."""

from __future__ import annotations

from pathlib import Path

from hfcompress.hub.publication import Publication


def write_publication(publication: Publication, folder: Path) -> Path:
    """Every file at its path."""
    for file in publication:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content if isinstance(file.content, bytes) else file.content.read_bytes())
    return folder


def text_of(publication: Publication, path: str) -> str:
    """One file, as text."""
    content = next(file.content for file in publication if file.path == path)
    return content.decode("utf-8") if isinstance(content, bytes) else content.read_text(encoding="utf-8")
