"""What a push has to change: what is to be published against what a repository holds."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hfcompress.errors import InputError
from hfcompress.hub.publication import Publication, PublishedFile

_CHUNK = 1 << 20


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository, as the Hub lists it.

    Attributes:
        size: bytes.
        oid: git's sha1 of it, or of the pointer to it.
        sha256: of a large file, which git only points to; None otherwise.
    """

    size: int
    oid: str
    sha256: str | None = None

    def holds(self, file: PublishedFile) -> bool:
        """Whether it has these bytes."""
        if self.size != file.size:
            return False
        with _opened(file) as stream:
            if self.sha256 is not None:
                return self.sha256 == _digest(stream, hashlib.sha256())
            # A git object's name, not a safeguard: see "Git Objects" in Pro Git, 10.2.
            return self.oid == _digest(stream, hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False))


@dataclass(frozen=True)
class Snapshot:
    """A repository at one commit.

    Attributes:
        commit: its id.
        private: whether the repository is.
        files: by path.
    """

    commit: str
    private: bool
    files: Mapping[str, RemoteFile]


@dataclass(frozen=True)
class Change:
    """What one commit does.

    Attributes:
        added: files that are new or differ.
        deleted: paths.
    """

    added: tuple[PublishedFile, ...] = ()
    deleted: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.deleted)


UNCHANGED = Change()


def difference(publication: Publication, there: Snapshot, earlier: Collection[str]) -> Change:
    """What makes a repository hold the publication.

    Args:
        publication: what it is to hold.
        there: what it holds.
        earlier: paths that an earlier push has put there. Those that are published no more are deleted; what others
            have put there stays.

    Raises:
        InputError: a local file cannot be read.
    """
    added = tuple(file for file in publication if not _is_there(file, there))
    gone = set(earlier) & set(there.files) - {file.path for file in publication}
    return Change(added, tuple(sorted(gone)))


def _is_there(file: PublishedFile, there: Snapshot) -> bool:
    try:
        return file.path in there.files and there.files[file.path].holds(file)
    except OSError as error:
        raise InputError(f"{file.content!s} cannot be read: {error.strerror}; run the recipe again") from error


def _opened(file: PublishedFile) -> IO[bytes]:
    return file.content.open("rb") if isinstance(file.content, Path) else io.BytesIO(file.content)


def _digest(stream: IO[bytes], digest: hashlib._Hash) -> str:
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
