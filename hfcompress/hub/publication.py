"""What a repository on the Hub is to hold, as data: nothing here has been sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, Field

from hfcompress.artifact import FileEntry, Origin


@dataclass(frozen=True)
class PublishedFile:
    """One file.

    Attributes:
        path: where it will be in the repository, with `/`.
        content: the local file, or the bytes of what was made for publishing.
    """

    path: str
    content: Path | bytes

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size


@dataclass(frozen=True)
class Publication:
    """A whole repository, README.md and manifest.json included.

    Attributes:
        title: of the commit: what is published, never when.
        files: by path, in order.
    """

    title: str
    files: tuple[PublishedFile, ...]

    def __iter__(self) -> Iterator[PublishedFile]:
        return iter(self.files)


def is_inside(name: str) -> bool:
    """Whether a name that a manifest says leads to a place below the manifest's folder."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\\" not in name


class PublishedArtifact(Origin):
    """What an artifact's own manifest says, with its files where the repository has them.

    Attributes:
        files: names in `RepositoryManifest.files`.
    """

    files: tuple[str, ...]


class RepositoryManifest(BaseModel):
    """`manifest.json` at the root of a repository, for all artifacts in it.

    Attributes:
        files: path in the repository -> sha256 and size; README.md among them, the manifest itself not.
        artifacts: name -> what it is; its ancestors that are not published are named by digest in `parents`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: str = Field(default="hfcompress.repository/1", alias="schema", serialization_alias="schema")
    files: dict[str, FileEntry]
    artifacts: dict[str, PublishedArtifact]
