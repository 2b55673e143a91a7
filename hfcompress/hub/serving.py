"""Serving files of a run as they are published: those of the artifacts that are, whichever host they are of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hfcompress.artifact import model_digest
from hfcompress.hub.places import Placed
from hfcompress.hub.publication import PublishedFile
from hfcompress.results.serving import FOLDER, for_others, read_serving, serving_text


def published_serving(run: Path, placed: Sequence[Placed]) -> list[PublishedFile]:
    """What of them may be published: see `for_others`.

    Args:
        run: the run folder.
        placed: what is published.

    Raises:
        InputError: a file is damaged; names it.
    """
    digests = {model_digest(artifact.manifest.files) for artifact in placed}
    files = []
    for path in sorted((run / FOLDER).glob("*.json")):
        serving = read_serving(path)
        if serving.model_digest in digests:
            files.append(PublishedFile(f"{FOLDER}/{path.name}", serving_text(for_others(serving)).encode()))
    return files
