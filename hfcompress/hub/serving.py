"""Serving files of a run as they are published: those of the artifacts that are, whichever host they are of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from hfcompress.artifact import model_digest
from hfcompress.hub.places import Placed
from hfcompress.hub.publication import PublishedFile
from hfcompress.results.serving import FOLDER, read_serving


def published_serving(run: Path, placed: Sequence[Placed]) -> list[PublishedFile]:
    """Without what could not be tried: its reasons are words of libraries, which may name folders of that machine.

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
            content = serving.model_copy(update={"left_out": ()}).model_dump(mode="json", by_alias=True)
            text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
            files.append(PublishedFile(f"{FOLDER}/{path.name}", text.encode()))
    return files
