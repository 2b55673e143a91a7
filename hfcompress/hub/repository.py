"""A model repository on the Hub, request by request. Each failure is a `PublishError` that says what to do."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from hfcompress._version import __version__
from hfcompress.errors import InputError, PublishError, UnsafeError
from hfcompress.hub.difference import Change, RemoteFile, Snapshot
from hfcompress.hub.failures import Failure, failure_of
from hfcompress.hub.publication import PublishedFile, RepositoryManifest
from hfcompress.hub.sign import SIGNATURE
from hfcompress.intake.json_text import LARGEST_FILE, parse_mapping
from hfcompress.progress import Progress
from hfcompress.recipe.publish import repo_id_fault

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete
    from huggingface_hub.hf_api import RepoFile

    Operation = CommitOperationAdd | CommitOperationDelete

Answer = TypeVar("Answer")

MAIN = "main"
MANIFEST = "manifest.json"
#: Seconds before the second, third and fourth try of a request.
WAITS_S = (1.0, 4.0, 15.0)
#: A .gitignore in the repository would leave files out of a commit in silence. A comment ignores nothing, and is not
#: empty, which might count as not given.
_IGNORE_NOTHING = "# every file is meant\n"
#: Open pull requests of one title that are looked at.
_MOST_PROPOSALS = 10


class Repository:
    """One repository.

    Args:
        repo_id: `namespace/name`, or `name` in the namespace of the token's owner.
        progress: hears of every further try.

    Attributes:
        id: `namespace/name`.
        is_new: whether it was created here.
        in_doubt: whether a commit was asked for of which nobody knows whether it was made.

    Raises:
        InputError: no repository can be called so, there is no token, or huggingface_hub is kept offline.
        PublishError: the Hub does not say whose token it is.
    """

    def __init__(self, repo_id: str, progress: Progress) -> None:
        from huggingface_hub import HfApi

        check_ready(repo_id)
        self.id, self.is_new, self.in_doubt = repo_id, False, False
        self._progress = progress
        self._api = HfApi(token=True, library_name="hfcompress", library_version=__version__)
        if "/" not in repo_id:
            owner = self._ask("asking whose token it is", self._api.whoami)
            self.id = f"{owner['name']}/{repo_id}"

    def url(self, *parts: str) -> str:
        """Where people look at it, or at something of it."""
        return "/".join((self._api.endpoint, self.id, *parts))

    def create(self, private: bool | None) -> None:
        """Create it; nothing happens when it is there. `private` None: as the namespace has it."""
        self._ask("creating the repository", lambda: self._api.create_repo(self.id, private=private, exist_ok=True))
        self.is_new = True

    def create_branch(self, revision: str) -> None:
        """Begin a branch at `main`; nothing happens when it is there."""
        self._ask(
            f"creating the branch {revision}", lambda: self._api.create_branch(self.id, branch=revision, exist_ok=True)
        )

    def find(self, revision: str, doing: str = "looking at what is there") -> Snapshot | None:
        """What a revision holds; None: there is no such repository, or no such revision in it.

        Args:
            revision: a branch, or `refs/pr/<number>`.
            doing: what it is looked at for.
        """
        from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
        from huggingface_hub.hf_api import RepoFile

        def look() -> Snapshot | None:
            try:
                info = self._api.model_info(self.id, revision=None if revision == MAIN else revision)
            except (RepositoryNotFoundError, RevisionNotFoundError) as error:
                if error.response is None or error.response.status_code != 404:
                    raise
                return None
            commit = str(info.sha)
            entries = self._api.list_repo_tree(self.id, revision=commit, recursive=True)
            files = {entry.path: _remote(entry) for entry in entries if isinstance(entry, RepoFile)}
            return Snapshot(commit, bool(info.private), files)

        return self._ask(doing, look)

    def published(self, there: Snapshot) -> frozenset[str]:
        """The paths that an earlier push has put there, as its manifest says; none where there was none."""
        listed = there.files.get(MANIFEST)
        if listed is None or listed.size > LARGEST_FILE:
            return frozenset()

        try:
            content = parse_mapping(self.read(MANIFEST, there), MANIFEST)
            return frozenset({*RepositoryManifest.model_validate(content).files, SIGNATURE})
        except (UnsafeError, ValidationError):  # somebody else's
            return frozenset()

    def read(self, path: str, there: Snapshot) -> bytes:
        """A small file of what is there."""

        def read() -> bytes:
            with tempfile.TemporaryDirectory() as cache:
                found = self._api.hf_hub_download(self.id, path, revision=there.commit, cache_dir=cache)
                content = Path(found).read_bytes()
            if not there.files[path].holds(PublishedFile(path, content)):
                raise ValueError(f"{path} came otherwise than the Hub lists it")
            return content

        return self._ask(f"reading {path}", read)

    def upload(self, change: Change, revision: str, *, create_pr: bool) -> list[Operation]:
        """Bring large files to where a commit can name them; until then they are nobody's.

        Returns:
            What `commit` takes.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        added = [CommitOperationAdd(file.path, file.content) for file in change.added]

        def send() -> None:
            self._api.preupload_lfs_files(
                self.id,
                added,
                revision=revision,
                create_pr=create_pr,
                free_memory=False,
                gitignore_content=_IGNORE_NOTHING,
            )

        self._ask("uploading the files", send)
        return [*added, *(CommitOperationDelete(path, is_folder=False) for path in change.deleted)]

    def commit(
        self, operations: list[Operation], title: str, parent: str, revision: str, *, create_pr: bool
    ) -> CommitInfo | Failure:
        """One commit, asked for once: whether it may be asked for again depends on what is there then.

        Args:
            operations: of `upload`.
            title: the first line of its message.
            parent: the commit that the operations were made for. The Hub refuses it on top of any other.
            revision: the branch.
            create_pr: propose it in a pull request in place of moving the branch.
        """
        try:
            return self._api.create_commit(
                self.id,
                operations,
                commit_message=title,
                parent_commit=parent,
                revision=revision,
                create_pr=create_pr,
            )
        except _errors() as error:
            failure = failure_of(error, "committing")
            self.in_doubt = failure.undecided
            return failure

    def proposals(self, title: str) -> Iterator[int]:
        """The numbers of the open pull requests of this title, the newest first."""
        found = self._ask(
            "looking for pull requests",
            lambda: list(
                self._api.get_repo_discussions(self.id, discussion_type="pull_request", discussion_status="open")
            ),
        )
        return iter([each.num for each in found if each.title == title][:_MOST_PROPOSALS])

    def error(self, failure: Failure) -> PublishError:
        """The failure, what it leaves behind, and the way out."""
        if self.in_doubt:
            left = "whether it was published is not known"
        else:
            left = f"{self.id} was created and holds no model yet" if self.is_new else "nothing was published"
        return PublishError(f"{self.id}: {failure}; {left}, what is here is untouched; {failure.way_out}")

    def wait(self, failure: Failure, seconds: float) -> None:
        """Say why, and wait."""
        seconds = max(seconds, failure.wait_s)
        self._progress.say(f"{self.id}: {failure}; tries again in {seconds:g} s")
        time.sleep(seconds)

    def _ask(self, doing: str, call: Callable[[], Answer]) -> Answer:
        """What may be asked for any number of times; a few times where waiting may help.

        Raises:
            InputError: huggingface_hub is kept offline.
            PublishError: it failed, or failed each time.
        """
        for seconds in (*WAITS_S, None):
            try:
                return call()
            except _errors() as error:
                failure = failure_of(error, doing)
                if seconds is None or not failure.transient:
                    raise self.error(failure) from None  # without the cause: its text may hold signed addresses
            self.wait(failure, seconds)
        raise AssertionError("the last try returns or raises")


def full_name(repo_id: str, progress: Progress) -> str:
    """`namespace/name`; the Hub is asked only where the namespace is not said.

    Raises:
        InputError, PublishError: as `Repository`.
    """
    return Repository(repo_id, progress).id


def check_ready(repo_id: str) -> None:
    """What can be known before the Hub is asked.

    Raises:
        InputError: no repository can be called so, there is no token, or huggingface_hub is kept offline.
    """
    from huggingface_hub import constants, get_token

    fault = repo_id_fault(repo_id)
    if fault is not None:
        raise InputError(f"{fault}, got {repo_id!r}")
    if constants.HF_HUB_OFFLINE:
        raise InputError(f"HF_HUB_OFFLINE keeps the Hub from being asked; unset it to push to {repo_id}")
    if get_token() is None:
        raise InputError("there is no token to push with; set HF_TOKEN, or log in with `hf auth login`")


def _remote(file: RepoFile) -> RemoteFile:
    return RemoteFile(file.size, file.blob_id, None if file.lfs is None else file.lfs.sha256)


def _errors() -> tuple[type[Exception], ...]:
    """What huggingface_hub lets through: its own errors and those of the HTTP library that this version is built on.

    RuntimeError: an upload in a thread. ValueError and KeyError: an answer that makes no sense.
    """
    from huggingface_hub.errors import HfHubHTTPError

    library = next(base for base in HfHubHTTPError.__mro__ if base.__name__ in ("RequestException", "HTTPError"))
    return (library, OSError, RuntimeError, ValueError, KeyError)
