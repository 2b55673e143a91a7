"""What a Hub keeps, in memory: repositories with commits, branches and pull requests, and a store of large files."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field

_LARGE = (".safetensors", ".onnx", ".onnx_data", ".png", ".bin", ".pkl")
_SERIAL = itertools.count()


@dataclass(frozen=True)
class Blob:
    """One file of a commit: its bytes, and whether git holds a pointer to it only."""

    content: bytes
    large: bool

    @property
    def oid(self) -> str:
        """What git calls it: the sha1 of the file, or of the pointer to it."""
        held = self.pointer if self.large else self.content
        return hashlib.sha1(b"blob %d\0" % len(held) + held).hexdigest()

    @property
    def sha256(self) -> str:
        """Of the bytes."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def pointer(self) -> bytes:
        """What git holds of a large file."""
        lines = ("version https://git-lfs.github.com/spec/v1", f"oid sha256:{self.sha256}", f"size {len(self.content)}")
        return "".join(f"{line}\n" for line in lines).encode()


@dataclass(frozen=True)
class Commit:
    """One state of a repository."""

    title: str
    tree: dict[str, Blob]
    parent: str | None
    oid: str


@dataclass
class Repository:
    """A model repository; as on the Hub, its first commit holds `.gitattributes`."""

    name: str
    private: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    pull_requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        attributes = Blob(b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n", large=False)
        self.add("main", "initial commit", {".gitattributes": attributes})

    def add(self, ref: str, title: str, tree: dict[str, Blob], parent: str | None = None) -> Commit:
        """Move a ref to a new commit."""
        named = f"{next(_SERIAL)} {title} {sorted((path, blob.oid) for path, blob in tree.items())}"
        commit = Commit(title, tree, parent, hashlib.sha1(named.encode()).hexdigest())
        self.commits[commit.oid] = commit
        self.refs[ref] = commit.oid
        return commit

    def at(self, revision: str) -> Commit | None:
        """The commit of a branch, a pull request or an id."""
        return self.commits.get(self.refs.get(revision, revision))

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """What a revision holds, without the Hub's own `.gitattributes`."""
        commit = self.at(revision)
        assert commit is not None
        return {path: blob.content for path, blob in commit.tree.items() if path != ".gitattributes"}

    def titles(self, revision: str = "main") -> list[str]:
        """Of the commits of a revision, the newest first, without the Hub's own."""
        found, commit = [], self.at(revision)
        while commit is not None and commit.parent is not None:
            found.append(commit.title)
            commit = self.at(commit.parent)
        return found

    def put(self, title: str, files: dict[str, bytes]) -> None:
        """A commit of these files on `main`, as a push makes it."""
        commit = self.at("main")
        assert commit is not None
        tree = {path: Blob(content, is_large(path, len(content))) for path, content in files.items()}
        self.add("main", title, {**commit.tree, **tree}, commit.oid)

    def edit(self, revision: str = "main", **files: bytes) -> None:
        """Somebody else's commit; `_` in a name stands for the dot."""
        commit = self.at(revision)
        assert commit is not None
        changed = {name.replace("_", "."): Blob(content, large=False) for name, content in files.items()}
        self.add(revision, "somebody else's", {**commit.tree, **changed}, commit.oid)


@dataclass
class Store:
    """Everything that a Hub keeps."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)

    def make(self, name: str, *, private: bool = False) -> Repository:
        """A new repository."""
        self.repositories[name] = Repository(name, private)
        return self.repositories[name]


def is_large(path: str, size: int) -> bool:
    """Whether a file goes to the store of large files."""
    return path.endswith(_LARGE) or size > 10_000_000
