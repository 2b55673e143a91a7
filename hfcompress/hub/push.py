"""Brings a repository to hold a publication: with one commit, or with none when it does already."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from hfcompress.artifact import MANIFEST
from hfcompress.errors import InputError, PublishError
from hfcompress.hub.difference import UNCHANGED, Change, Snapshot, difference
from hfcompress.hub.failures import Failure, masked_logs
from hfcompress.hub.layout import README
from hfcompress.hub.publication import Publication
from hfcompress.hub.repository import MAIN, WAITS_S, Repository
from hfcompress.hub.scan import scan
from hfcompress.hub.sign import SIGNATURE, public_key_of, signed
from hfcompress.progress import SILENT, Progress
from hfcompress.recipe.faults import listed
from hfcompress.recipe.publish import revision_fault


@dataclass(frozen=True)
class PushOptions:
    """Where to and how.

    Attributes:
        private: create a private repository, and refuse one that is public; None: as the namespace has it.
        create_pr: propose the commit in a pull request.
        revision: the branch, which is created when it is not there.
        sign: a private key, PEM: the repository gets a signature of it.
        replace: replace files that no earlier push has put there. A pull request may always propose it.
    """

    private: bool | None = None
    create_pr: bool = False
    revision: str = MAIN
    sign: Path | None = None
    replace: bool = False


@dataclass(frozen=True)
class Pushed:
    """What a push has done.

    Attributes:
        repo_id: `namespace/name`.
        url: of the commit or the pull request; None: everything was there already.
        commit: the commit that holds the publication.
        commit_url: where people look at it.
        files: paths of the publication.
        added: paths that are new or differed before.
        deleted: paths of an earlier push that are published no more.
    """

    repo_id: str
    url: str | None
    commit: str
    commit_url: str
    files: tuple[str, ...]
    added: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()


def push(
    publication: Publication, repo_id: str, options: PushOptions = PushOptions(), progress: Progress = SILENT
) -> Pushed:
    """Publish: at every moment the repository holds all of it or nothing new, and repeating it changes nothing.

    The token is that of HF_TOKEN or of the login. Requests that may be repeated are, a few times, when the Hub is busy
    or the connection is lost. A commit whose answer was lost is looked for, and asked for again only on top of the same
    parent, so that it is never made twice.

    Args:
        publication: what the repository is to hold. What others have put there stays.
        repo_id: `namespace/name`, or `name` in the namespace of the token's owner. It is created when it is not there.
        options: where to and how.
        progress: hears of every further try.

    Raises:
        InputError: no token, a name or options that cannot be used, a public repository where a private one is asked
            for, files of somebody else in the way, or something in the publication that must not leave this machine.
        PublishError: the Hub did not take it; what is here is untouched, and the message says what is there.
    """
    if options.create_pr and options.revision != MAIN:
        raise InputError(f"a pull request is against {MAIN}; leave out --create-pr or --revision {options.revision}")
    fault = revision_fault(options.revision)
    if fault is not None:
        raise InputError(f"no branch can be called {options.revision!r}: it {fault}")
    scan(publication)
    if options.sign is not None:
        public_key_of(options.sign)  # before the Hub is asked
    with masked_logs():
        return _Push(publication, Repository(repo_id, progress), options).run()


def open_repository(repo_id: str, private: bool | None = None, progress: Progress = SILENT) -> str:
    """Create a repository unless it is there.

    Returns:
        `namespace/name`.

    Raises:
        InputError, PublishError: as `push`.
    """
    repository = Repository(repo_id, progress)
    _opened(repository, private)
    return repository.id


@dataclass
class _Push:
    publication: Publication
    repository: Repository
    options: PushOptions

    def run(self) -> Pushed:
        there = self._open()
        if self.options.sign is not None:
            existing = self.repository.read(SIGNATURE, there) if SIGNATURE in there.files else None
            self.publication = signed(self.publication, self.options.sign, existing)
        earlier = self.repository.published(there)
        change = difference(self.publication, there, earlier)
        self._check_ours(change, there, earlier)
        if not change:
            return self._pushed(there.commit)
        if self.options.create_pr and (found := self._proposal(change)) is not None:
            return self._pushed(found[1].commit)
        return self._committed(there, change)

    def _check_ours(self, change: Change, there: Snapshot, earlier: Collection[str]) -> None:
        """A repository may hold somebody's model, which a push would overwrite file by file."""
        ours = {README, *earlier, *([MANIFEST] if earlier else ())}
        others = [file.path for file in change.added if file.path in there.files and file.path not in ours]
        if others and not (self.options.replace or self.options.create_pr):
            raise InputError(
                f"{self.repository.id} holds {listed(others, 'and')}, which hfcompress did not put there and a push "
                "would replace; choose another repository, propose it with --create-pr, or say --replace"
            )

    def _open(self) -> Snapshot:
        """What is there; the repository and the branch are created where they are not."""
        repository, revision = self.repository, self.options.revision
        there = _opened(repository, self.options.private)
        if revision == MAIN:
            return there
        found = repository.find(revision)
        if found is None:
            repository.create_branch(revision)
        return found or _found(repository, revision)

    def _committed(self, there: Snapshot, change: Change) -> Pushed:
        repository, options = self.repository, self.options
        operations = repository.upload(change, options.revision, create_pr=options.create_pr)
        for tried in count():
            outcome = repository.commit(
                operations, self.publication.title, there.commit, options.revision, create_pr=options.create_pr
            )
            if not isinstance(outcome, Failure):
                return self._pushed(outcome.oid, outcome.pr_url or outcome.commit_url, change)
            made = self._made_after_all(outcome, change)
            if made is not None:
                return made
            if tried == len(WAITS_S) or not (outcome.transient or outcome.status == 409):
                raise repository.error(outcome)
            repository.wait(outcome, WAITS_S[tried])
        raise AssertionError("the last try returns or raises")

    def _made_after_all(self, failure: Failure, change: Change) -> Pushed | None:
        """The commit, when it is there in spite of a failure; None when it is not, and may safely be asked for again.

        Raises:
            PublishError: nobody can know.
        """
        repository = self.repository
        if not (failure.undecided or failure.conflict):
            return None
        if self.options.create_pr:
            found = self._proposal(change)
            if found is not None:
                return self._pushed(found[1].commit, self.repository.url("discussions", str(found[0])), change)
            if failure.undecided:  # a second one would be a second pull request, should the first one come late
                raise self._unknown(failure)
            return None
        now = _found(repository, self.options.revision, f"{failure}; finding out whether it was made")
        repository.in_doubt = False
        if _holds(now, self.publication, change):
            return self._pushed(now.commit, repository.url("commit", now.commit), change)
        # If somebody else has committed, the next try is refused: it has the same parent.
        return None

    def _unknown(self, failure: Failure) -> PublishError:
        place = self.repository.url("discussions")
        return PublishError(
            f"{self.repository.id}: {failure}, and there is no pull request yet; what is here is untouched; look at "
            f"{place} in a while, or run the same command again, which looks for it first"
        )

    def _proposal(self, change: Change) -> tuple[int, Snapshot] | None:
        """The number and contents of an open pull request that does what this push would."""
        for number in self.repository.proposals(self.publication.title):
            proposed = self.repository.find(f"refs/pr/{number}")
            if proposed is not None and _holds(proposed, self.publication, change):
                return number, proposed
        return None

    def _pushed(self, commit: str, url: str | None = None, change: Change = UNCHANGED) -> Pushed:
        files = tuple(file.path for file in self.publication)
        added = tuple(file.path for file in change.added)
        return Pushed(
            self.repository.id, url, commit, self.repository.url("commit", commit), files, added, change.deleted
        )


def _opened(repository: Repository, private: bool | None) -> Snapshot:
    there = repository.find(MAIN)
    if there is None:
        repository.create(private)
        there = _found(repository, MAIN)
    if private and not there.private:
        raise InputError(
            f"{repository.id} is public, and a private repository is asked for; make it private in its settings, or "
            "leave out `private`"
        )
    return there


def _found(repository: Repository, revision: str, doing: str = "looking at what is there") -> Snapshot:
    found = repository.find(revision, doing)
    if found is None:
        raise repository.error(Failure(doing, 404))
    return found


def _holds(there: Snapshot, publication: Publication, change: Change) -> bool:
    """Whether a state is what a push was to make."""
    return not difference(publication, there, change.deleted)
