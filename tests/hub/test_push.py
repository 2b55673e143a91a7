"""Pushes to a Hub on a real socket, through the real huggingface_hub: what arrives, and what every failure leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hfcompress.hub.sign import signature_fault
from tests.hub.conftest import Ask
from tests.hub.server import TOKEN, Fault, HubServer
from tests.hub.test_sign import make_key

NAME = "tester/student"
CARD = b"---\nlicense: mit\n---\n# A student\n"
FIRST = {
    "README.md": CARD,
    "config.json": b"{}",
    "empty.txt": b"",
    "model.safetensors": b"weights " * 5000,
    "onnx/model.onnx": b"graph " * 3000,
}
#: What a second version changes: one large file, one small one, one gone, one new.
SECOND = {
    "README.md": CARD + b"Again.\n",
    "config.json": b"{}",
    "model.safetensors": b"others! " * 5000,
    "onnx/model_quantized.onnx": b"int8 " * 1000,
}


def manifest_of(files: dict[str, bytes]) -> bytes:
    """A repository's manifest, as far as a push reads it."""
    listed = {path: {"sha256": "0" * 64, "size": len(content)} for path, content in files.items()}
    return json.dumps({"schema": "hfcompress.repository/1", "files": listed, "artifacts": {}}).encode()


def whole(files: dict[str, bytes]) -> dict[str, bytes]:
    """Files and their manifest."""
    return {**files, "manifest.json": manifest_of(files)}


def write(folder: Path, files: dict[str, bytes]) -> str:
    """A folder of these files."""
    for path, content in whole(files).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return str(folder)


def read(folder: Path) -> dict[str, bytes]:
    """The files of a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def first(tmp_path: Path) -> str:
    """A folder of `FIRST`."""
    return write(tmp_path / "first", FIRST)


@pytest.fixture
def second(tmp_path: Path) -> str:
    """A folder of `SECOND`."""
    return write(tmp_path / "second", SECOND)


def test_a_push_makes_one_commit_and_another_one_none(hub: HubServer, client: Ask, first: str) -> None:
    pushed = client("push", folder=first, repo_id="student", title="a student")
    repository = hub.store.repositories[NAME]
    assert pushed["repo_id"] == NAME
    assert pushed["url"] == f"{hub.url}/{NAME}/commit/{repository.refs['main']}"
    assert sorted(pushed["added"]) == sorted(whole(FIRST))
    assert repository.files() == whole(FIRST)
    assert repository.titles() == ["a student"]
    assert not repository.private
    assert {path for path, blob in repository.at("main").tree.items() if blob.large} == {
        "model.safetensors",
        "onnx/model.onnx",
    }
    hub.requests.clear()
    again = client("push", folder=first, repo_id=NAME, title="a student")
    assert (again["url"], again["added"], again["deleted"]) == (None, [], [])
    assert again["commit"] == pushed["commit"]
    assert repository.titles() == ["a student"]
    assert set(hub.names()) == {"info", "tree", "resolve"}


def test_a_signature_comes_with_the_files_stays_while_it_holds_and_goes_when_nobody_signs(
    hub: HubServer, client: Ask, first: str, second: str, tmp_path: Path
) -> None:
    pytest.importorskip("model_signing", reason="the extra `sign` is not installed")
    private, public = make_key(tmp_path, "ours")
    asked = {"repo_id": NAME, "sign": str(private)}
    assert client("push", folder=first, title="one", **asked)["url"] is not None
    repository = hub.store.repositories[NAME]
    signature = repository.files()["model.sig"]
    (tmp_path / "copy").mkdir()
    for path, content in repository.files().items():
        (tmp_path / "copy" / path).parent.mkdir(exist_ok=True)
        (tmp_path / "copy" / path).write_bytes(content)
    assert signature_fault(tmp_path / "copy", public) is None
    assert client("push", folder=first, title="again", **asked)["url"] is None
    assert client("push", folder=second, title="two", **asked)["url"] is not None
    assert repository.files()["model.sig"] != signature
    assert client("push", folder=second, repo_id=NAME, title="three")["deleted"] == ["model.sig"]
    assert repository.titles() == ["three", "two", "one"]
    assert private.read_bytes() not in b"".join(repository.files().values())


def test_a_key_that_cannot_sign_is_found_before_the_hub_is_asked(
    hub: HubServer, client: Ask, first: str, tmp_path: Path
) -> None:
    pytest.importorskip("model_signing", reason="the extra `sign` is not installed")
    (tmp_path / "key.pem").write_text("no key")
    answer = client("push", folder=first, repo_id=NAME, title="one", sign=str(tmp_path / "key.pem"))
    assert "key.pem is no private key that can sign" in answer["error"]
    assert hub.names() == []


def test_a_second_version_sends_what_differs_and_deletes_what_is_published_no_more(
    hub: HubServer, client: Ask, first: str, second: str
) -> None:
    client("push", folder=first, repo_id=NAME, title="one")
    repository = hub.store.repositories[NAME]
    repository.edit(NOTES_md=b"somebody's notes")
    hub.requests.clear()
    pushed = client("push", folder=second, repo_id=NAME, title="two")
    assert repository.files() == {**whole(SECOND), "NOTES.md": b"somebody's notes"}
    assert sorted(pushed["deleted"]) == ["empty.txt", "onnx/model.onnx"]
    assert "config.json" not in pushed["added"]
    assert repository.titles() == ["two", "somebody else's", "one"]
    assert hub.names().count("put") == 2


def test_somebody_elses_model_is_replaced_only_when_that_is_said(hub: HubServer, client: Ask, first: str) -> None:
    repository = hub.store.make(NAME)
    repository.edit(config_json=b"theirs", README_md=b"theirs")
    before = repository.files()
    asked = {"folder": first, "repo_id": NAME, "title": "two"}
    answer = client("push", **asked)
    assert f"{NAME} holds `config.json`, which hfcompress did not put there and a push would replace" in answer["error"]
    assert "--replace" in answer["error"]
    assert repository.files() == before
    client("push", **asked, replace=True)
    assert repository.files() == whole(FIRST)


@pytest.mark.parametrize(
    "manifest", [b"not json", b"[]", json.dumps({"schema": "mine", "files": {"notes.txt": 1}}).encode()]
)
def test_only_a_manifest_of_ours_says_what_may_be_deleted(
    hub: HubServer, client: Ask, first: str, manifest: bytes
) -> None:
    hub.store.make(NAME).edit(manifest_json=manifest, notes_txt=b"keep me")
    pushed = client("push", folder=first, repo_id=NAME, title="one", replace=True)
    assert pushed["deleted"] == []
    assert hub.store.repositories[NAME].files() == {**whole(FIRST), "notes.txt": b"keep me"}


def test_a_gitignore_in_the_repository_leaves_nothing_out(hub: HubServer, client: Ask, first: str) -> None:
    hub.store.make(NAME).edit(_gitignore=b"*.onnx\nconfig.json\n")
    client("push", folder=first, repo_id=NAME, title="one")
    assert whole(FIRST).items() <= hub.store.repositories[NAME].files().items()


def test_many_files_are_one_commit(hub: HubServer, client: Ask, tmp_path: Path) -> None:
    many = write(tmp_path / "many", {f"part-{number}.txt": b"%d" % number for number in range(300)})
    hub.page = 70
    client("push", folder=many, repo_id=NAME, title="many")
    assert client("push", folder=many, repo_id=NAME, title="many")["url"] is None
    assert len(hub.store.repositories[NAME].files()) == 301
    assert hub.names().count("commit") == 1


def test_a_private_repository_is_created_so_and_a_public_one_refused(hub: HubServer, client: Ask, first: str) -> None:
    client("push", folder=first, repo_id=NAME, title="one", private=True)
    assert hub.store.repositories[NAME].private
    hub.store.make("tester/public")
    refused = client("push", folder=first, repo_id="tester/public", title="one", private=True)
    assert (refused["kind"], refused["exit_code"]) == ("InputError", 2)
    assert "is public, and a private repository is asked for" in refused["error"]
    assert hub.store.repositories["tester/public"].files() == {}


def test_a_branch_is_created_where_it_is_not_there(hub: HubServer, client: Ask, first: str) -> None:
    for _ in range(2):
        client("push", folder=first, repo_id=NAME, title="one", revision="v1/int8")
    repository = hub.store.repositories[NAME]
    assert repository.files("v1/int8") == whole(FIRST)
    assert repository.titles("v1/int8") == ["one"]
    assert repository.files() == {}


def test_a_pull_request_is_opened_once(hub: HubServer, client: Ask, first: str, second: str) -> None:
    client("push", folder=first, repo_id=NAME, title="one")
    repository = hub.store.repositories[NAME]
    repository.pull_requests.append("two")  # somebody's, with other contents
    repository.add("refs/pr/1", "two", {}, repository.refs["main"])
    opened = client("push", folder=second, repo_id=NAME, title="two", create_pr=True)
    assert opened["url"] == f"{hub.url}/{NAME}/discussions/2"
    assert repository.files("refs/pr/2") == whole(SECOND)
    assert repository.files() == whole(FIRST)
    again = client("push", folder=second, repo_id=NAME, title="two", create_pr=True)
    assert again["url"] is None
    assert repository.pull_requests == ["two", "two"]
    refused = client("push", folder=second, repo_id=NAME, title="two", create_pr=True, revision="v1")
    assert "leave out --create-pr or --revision v1" in refused["error"]


# Failures. Each row: what goes wrong, and what the error says; None: the push goes well in spite of it.

Row = tuple[Callable[[], Fault], str | None]
REFUSALS: dict[str, Row] = {
    "401": (lambda: Fault(status=401), "does not know the token"),
    "403": (lambda: Fault(status=403), "the token may not do this"),
    "404": (lambda: Fault(status=404), "does not have it"),
    "409": (lambda: Fault(status=409), None),
    "412": (lambda: Fault(status=412), "committed in between"),
    "413": (lambda: Fault(status=413), "more than the Hub takes"),
    "418": (lambda: Fault(status=418), "the Hub refused (418)"),
}
BREAKS: dict[str, Callable[[], Fault]] = {
    "429": lambda: Fault(status=429, headers={"Retry-After": "7"}),
    "503": lambda: Fault(status=503),
    "dropped in the middle": lambda: Fault(drop_after=1000),
    "no answer although it was done": lambda: Fault(lost_reply=True),
    "an answer that makes no sense": lambda: Fault(reply=b"<html>502 Bad Gateway</html>"),
}
#: The requests of a push that creates the repository, and one more of a push that finds an earlier one, of one to a
#: branch, and of a pull request.
SEQUENCE = ["info", "create", "tree", "preupload", "batch", "put", "verify", "validate", "commit"]
MORE = ["whoami", "resolve", "branch", "discussions"]


class Pushing:
    """A push of `SECOND` that passes a request, as often as one likes, each time to a Hub as it was before."""

    def __init__(self, request: str, hub: HubServer, client: Ask, second: str) -> None:
        self.hub, self._client, self._second = hub, client, second
        self._before = whole(FIRST) if request not in ("create", "whoami") else {}
        self.name = NAME if request != "whoami" else "student"
        self.options: dict[str, Any] = {
            "branch": {"revision": "v1"},
            "discussions": {"create_pr": True},
        }.get(request, {})

    def begin(self) -> None:
        """A Hub with the first version, or an empty one where that is what the request is about."""
        self.hub.clear()
        if self._before:
            self.hub.store.make(NAME).put("one", self._before)

    def push(self) -> dict[str, Any]:
        """The push itself."""
        return self._client("push", folder=self._second, repo_id=self.name, title="two", **self.options)

    @property
    def arrived(self) -> bool:
        """Whether the second version is there; it is whole, or there is nothing of it, or this raises."""
        repository = self.hub.store.repositories.get(NAME)
        if repository is None:
            return False
        revision = self.options.get("revision", "main")
        if self.options.get("create_pr"):
            assert repository.files() == self._before
            assert len(repository.pull_requests) <= 1
            revision = "refs/pr/1"
        if revision not in repository.refs:
            return False
        files, titles = repository.files(revision), repository.titles(revision)
        assert files in (self._before, whole(SECOND)), "a part of a repository"
        made = titles.count("two")
        assert made == (files == whole(SECOND)), "a commit too many, or an empty one"
        return files == whole(SECOND)


@pytest.mark.parametrize("request_", [*SEQUENCE, *MORE])
def test_each_failure_at_each_request_leaves_all_or_nothing_and_the_same_command_mends_it(
    request_: str, hub: HubServer, client: Ask, second: str
) -> None:
    pushing = Pushing(request_, hub, client, second)
    for what, (fault, said) in REFUSALS.items():
        pushing.begin()
        hub.faults[request_] = fault()
        answer = pushing.push()
        case = f"{what} at {request_}: {answer}"
        assert request_ in hub.names(), case
        if "error" in answer:
            assert (answer["kind"], answer["exit_code"]) == ("PublishError", 4), case
            assert said is None or said in answer["error"], case
            assert "what is here is untouched" in answer["error"], case
            assert NAME in answer["error"] or request_ == "whoami", case
            assert not pushing.arrived, case
        else:
            assert said is None, case  # a 409 may mean that it is there already, which is looked at
            assert pushing.arrived, case
        _mended(pushing, case)
    assert read(Path(second)) == whole(SECOND)


@pytest.mark.parametrize("request_", [*SEQUENCE, *MORE])
def test_what_passes_is_waited_for_and_what_does_not_ends_after_some_tries(
    request_: str, hub: HubServer, client: Ask, second: str
) -> None:
    pushing = Pushing(request_, hub, client, second)
    for what, fault in BREAKS.items():
        pushing.begin()
        passing = fault()
        passing.times = 1
        hub.faults[request_] = passing
        answer = pushing.push()
        case = f"{what} once at {request_}: {answer}"
        assert "error" not in answer, case
        assert pushing.arrived, case
        pushing.begin()
        hub.faults[request_] = fault()
        answer = pushing.push()
        case = f"{what} always at {request_}: {answer}"
        if pushing.arrived:  # it was done all the same, which the next try found
            assert "error" not in answer, case
        else:
            assert (answer["kind"], answer["exit_code"]) == ("PublishError", 4), case
            assert "untouched" in answer["error"], case
            assert len(answer["waited"]) >= 3, case
        _mended(pushing, case)
    assert read(Path(second)) == whole(SECOND)


def _mended(pushing: Pushing, case: str) -> None:
    """Once nothing goes wrong any more, the same command ends well."""
    pushing.hub.faults.clear()
    answer = pushing.push()
    assert "error" not in answer, f"{case}; then {answer}"
    assert pushing.arrived, case


def test_an_empty_repository_that_a_failed_push_leaves_is_told_of(hub: HubServer, client: Ask, first: str) -> None:
    hub.faults["put"] = Fault(drop_after=10_000)
    answer = client("push", folder=first, repo_id=NAME, title="one")
    assert f"{NAME} was created and holds no model yet" in answer["error"]
    assert hub.store.repositories[NAME].files() == {}


def test_a_large_file_that_is_dropped_in_the_middle_is_sent_again(hub: HubServer, client: Ask, first: str) -> None:
    hub.faults["put"] = Fault(drop_after=10_000, times=2)
    client("push", folder=first, repo_id=NAME, title="one")
    assert hub.store.repositories[NAME].files() == whole(FIRST)
    assert hub.names().count("put") == 4


def test_somebody_elses_commit_in_between_is_never_lost(hub: HubServer, client: Ask, first: str, second: str) -> None:
    client("push", folder=first, repo_id=NAME, title="one")
    repository = hub.store.repositories[NAME]
    hub.faults["commit"] = Fault(before=lambda: repository.edit(NOTES_md=b"theirs"), times=1)
    answer = client("push", folder=second, repo_id=NAME, title="two")
    assert answer["kind"] == "PublishError"
    assert "somebody else has committed in between (412)" in answer["error"]
    assert repository.files() == {**whole(FIRST), "NOTES.md": b"theirs"}
    client("push", folder=second, repo_id=NAME, title="two")
    assert repository.files() == {**whole(SECOND), "NOTES.md": b"theirs"}


def test_a_commit_whose_answer_was_lost_is_found_and_not_made_again(hub: HubServer, client: Ask, first: str) -> None:
    for fault in (Fault(lost_reply=True), Fault(reply=b"<html>502</html>"), Fault(reply=b"{}")):
        hub.clear()
        hub.faults["commit"] = fault
        pushed = client("push", folder=first, repo_id=NAME, title="one")
        repository = hub.store.repositories[NAME]
        assert pushed["url"] == f"{hub.url}/{NAME}/commit/{repository.refs['main']}"
        assert repository.titles() == ["one"]
        assert hub.names().count("commit") == 1


def test_a_commit_that_comes_late_is_found_by_the_try_that_it_makes_fail(
    hub: HubServer, client: Ask, first: str
) -> None:
    repository = hub.store.make(NAME)
    hub.faults["commit"] = Fault(drop_after=0, times=1)
    # The first one arrives while the second one is on its way, which is refused: it has the same parent.
    hub.faults["validate"] = Fault(before=lambda: repository.put("one", whole(FIRST)), delay_s=0.05, skip=1, times=1)
    pushed = client("push", folder=first, repo_id=NAME, title="one")
    assert pushed["commit"] == repository.refs["main"]
    assert repository.titles() == ["one"]
    assert hub.names().count("commit") == 2


def test_when_nobody_can_say_whether_a_commit_was_made_the_message_does_not(
    hub: HubServer, client: Ask, first: str
) -> None:
    client("push", folder=first, repo_id=NAME, title="one")
    (Path(first) / "config.json").write_text('{"changed": true}')
    hub.faults["commit"] = Fault(lost_reply=True, before=lambda: hub.faults.update(info=Fault(status=503)))
    answer = client("push", folder=first, repo_id=NAME, title="two")
    assert "whether it was published is not known" in answer["error"]
    assert "finding out whether it was made" in answer["error"]
    hub.faults.clear()
    assert client("push", folder=first, repo_id=NAME, title="two")["url"] is None
    assert hub.store.repositories[NAME].titles() == ["two", "one"]


def test_a_pull_request_whose_answer_was_lost_is_found_and_never_opened_twice(
    hub: HubServer, client: Ask, first: str, second: str
) -> None:
    client("push", folder=first, repo_id=NAME, title="one")
    hub.faults["commit"] = Fault(lost_reply=True)
    found = client("push", folder=second, repo_id=NAME, title="two", create_pr=True)
    assert found["url"] == f"{hub.url}/{NAME}/discussions/1"
    hub.store.repositories[NAME].pull_requests.clear()
    hub.faults["commit"] = Fault(drop_after=0)
    answer = client("push", folder=second, repo_id=NAME, title="two", create_pr=True)
    assert "there is no pull request yet" in answer["error"]
    assert hub.store.repositories[NAME].pull_requests == []


def test_a_busy_hub_is_waited_for_as_long_as_it_asks_within_reason(hub: HubServer, client: Ask, first: str) -> None:
    hub.faults["commit"] = Fault(status=429, headers={"Retry-After": "42"}, times=1)
    pushed = client("push", folder=first, repo_id=NAME, title="one")
    assert 42 in pushed["waited"]
    assert "the Hub has had too many requests (429)" in pushed["said"][0]
    hub.clear()
    hub.faults["commit"] = Fault(status=429, headers={"Retry-After": "3600"})
    answer = client("push", folder=first, repo_id=NAME, title="one")
    assert answer["waited"] == []
    assert "wait 3600 s and run the same command again" in answer["error"]


def test_what_a_server_says_is_quoted_without_secrets(hub: HubServer, client: Ask, first: str) -> None:
    said = (
        f"quota of {TOKEN} and hf_{'abcdefghijkl' * 2} exceeded, see https://x.test/a?Signature=secret; Bearer s3cret"
    )
    hub.faults["create"] = Fault(status=403, said=said)
    answer = client("push", folder=first, repo_id=NAME, title="one")  # which looks for TOKEN in everything
    assert (
        "quota of (hidden) and hf_(hidden) exceeded, see https://x.test/a?(hidden) Bearer (hidden)" in answer["error"]
    )
    for secret in ("abcdefghijkl", "Signature", "s3cret"):
        assert secret not in answer["error"]
    unusual = "a-token-of-no-usual-form"
    hub.faults["info"] = Fault(status=403, said=f"{unusual} may not")
    answer = client("push_as", token=unusual, folder=first, repo_id=NAME, title="one")
    assert "(hidden) may not" in answer["error"]
    assert unusual not in answer["error"]


def test_a_license_that_the_hub_does_not_know_is_refused_by_it(hub: HubServer, client: Ask, tmp_path: Path) -> None:
    card = {"README.md": b"---\nlicense: acme-proprietary\n---\n"}
    refused = client("push", folder=write(tmp_path / "run", whole(card)), repo_id=NAME, title="Acme")
    assert (refused["kind"], refused["exit_code"]) == ("PublishError", 4)
    assert "license" in refused["error"]
    assert hub.store.repositories[NAME].files() == {}


@pytest.mark.parametrize("name", ["a/b/c", "with space", "a--b", "x.git", "-begins", "", "a" * 97, "ä/b", "../x"])
def test_a_name_that_no_repository_can_have_is_refused_before_the_hub_is_asked(
    name: str, hub: HubServer, client: Ask, first: str
) -> None:
    answer = client("push", folder=first, repo_id=name, title="one")
    assert answer["kind"] == "InputError"
    assert hub.names() == []


def test_without_a_token_or_offline_the_hub_is_not_asked(hub: HubServer, client: Ask, first: str) -> None:
    answer = client("push_as", token=None, folder=first, repo_id=NAME, title="one")
    assert (answer["kind"], answer["exit_code"]) == ("InputError", 2)
    assert "set HF_TOKEN, or log in with `hf auth login`" in answer["error"]
    answer = client("push_offline", folder=first, repo_id=NAME, title="one")
    assert answer["kind"] == "InputError"
    assert "HF_HUB_OFFLINE" in answer["error"]
    assert hub.names() == []
