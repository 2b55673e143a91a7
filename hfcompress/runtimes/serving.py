"""Where the serving files of an artifact lie, and which one is of this artifact on this host."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from hfcompress.artifact import FileEntry, model_digest
from hfcompress.results.serving import FOLDER, ServedBatches, ServedSettings, Serving, read_serving
from hfcompress.runtimes.batching import Batching
from hfcompress.runtimes.settings import Settings

logger = logging.getLogger(__name__)


def serving_path(artifact: Path, host: str) -> Path:
    """Where the file of an artifact is written: in its run, or beside it where it is in none.

    Not within the artifact, which never changes after it was made.
    """
    folder = artifact.resolve()
    beside = folder.parent.parent if folder.parent.name == "artifacts" else folder.parent
    return beside / FOLDER / f"{folder.name}-{host}.json"


def serving_folders(artifact: Path) -> tuple[Path, ...]:
    """Where the files of an artifact may lie: in its run, beside it, or within it."""
    folder = artifact.resolve()
    return tuple(place / FOLDER for place in (folder.parent.parent, folder.parent, folder))


def find_serving(folders: tuple[Path, ...], files: Callable[[], Mapping[str, FileEntry]]) -> Serving | None:
    """The serving file of an artifact on this host, if there is one.

    Args:
        folders: where to look, best first.
        files: gives the artifact's; called only where there is a file to compare with.

    Raises:
        InputError: a file of this host is damaged; names it.
    """
    there = [path for folder in folders if folder.is_dir() for path in sorted(folder.glob("*.json"))]
    if not there:
        return None
    from hfcompress.host import describe_host, host_id

    host = host_id(describe_host())
    ours = [path for path in there if path.stem.endswith(f"-{host}")]
    if not ours:
        logger.info("%s: no file of this host (%s), so the default settings are used", there[0].parent, host)
        return None
    digest = model_digest(files())  # None is nobody's
    for path in ours:
        serving = read_serving(path)
        if serving.model_digest == digest and serving.host == host:
            return serving
        logger.info("%s is of another artifact or host, so it is not used", path)
    return None


def settings_of(served: ServedSettings) -> Settings:
    """What a runtime takes."""
    return Settings(**served.model_dump())


def batching_of(served: ServedBatches) -> Batching:
    """What makes batches."""
    return Batching(**served.model_dump())
