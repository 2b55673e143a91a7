"""Where the serving files of an artifact lie, and which one is of this artifact on this host."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from hfcompress.artifact import FileEntry, model_digest
from hfcompress.errors import InputError
from hfcompress.results.serving import FOLDER, Chosen, ServedBatches, ServedSettings, Serving, read_serving
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


def find_serving(
    folders: tuple[Path, ...], files: Callable[[], Mapping[str, FileEntry]], artifact: Path | None = None
) -> Serving | None:
    """The serving file of an artifact on this host, if there is one.

    Args:
        folders: where to look, best first.
        files: gives the artifact's; called only where there is a file to compare with.
        artifact: its folder, where `hfcompress tune` may have been here.

    Raises:
        InputError: the file that `hfcompress tune` wrote for it is damaged; others that are, are left alone.
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
    own = None if artifact is None else serving_path(artifact, host)
    for path in sorted(ours, key=lambda path: path != own):
        serving = _read(path, own)
        if serving is not None and serving.model_digest == digest and serving.host == host:
            return serving
        if serving is not None:
            logger.info("%s is of another artifact or host, so it is not used", path)
    return None


def _read(path: Path, own: Path | None) -> Serving | None:
    """A serving file; None where it is damaged and not our own."""
    try:
        return read_serving(path)
    except InputError as error:
        if path == own:
            raise
        logger.warning("%s", error)
        return None


def usable(chosen: Chosen, runtimes: Collection[str]) -> bool:
    """Whether what a file says can be run here and changes no answer; the log says what it cannot.

    A file that came with a download is somebody else's word.

    Args:
        chosen: of the file.
        runtimes: those that are here for the artifact.
    """
    from hfcompress.host import usable_cores

    said, cores = chosen.settings, usable_cores()
    faults = {
        f"{said.threads} threads x {said.streams} streams are more than the {cores} cores": (
            said.threads * said.streams > cores
        ),
        f"the runtime `{said.runtime}` is none of {', '.join(runtimes) or 'those that are installed'}": (
            said.runtime not in runtimes
        ),
        f"{said.precision} may answer otherwise": said.precision not in (None, "fp32"),
    }
    for fault in (fault for fault, there in faults.items() if there):
        logger.warning("the serving file's settings for %s are not used: %s", chosen.goal, fault)
    return not any(faults.values())


def settings_of(served: ServedSettings) -> Settings:
    """What a runtime takes."""
    return Settings(**served.model_dump())


def batching_of(served: ServedBatches) -> Batching:
    """What makes batches."""
    return Batching(**served.model_dump())
