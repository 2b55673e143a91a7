"""A small Hub on a real socket: what huggingface_hub asks of a model repository when it publishes and downloads.

It can be told to fail at a request, by its name:

    whoami, create, info, tree, resolve, branch, discussions, validate, preupload, batch, put, verify, commit
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

from tests.hub.repositories import Blob, Commit, Repository, Store, is_large

#: The licenses that base models of the tests have, and some more; the Hub's own list is longer.
LICENSES = {"apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0", "gpl-3.0", "llama3.1", "other", "unknown"}
TOKEN = "hf_" + "NotARealTokenButLooksLikeOne123"
#: In the addresses that large files go to.
SIGNATURE = "sigNature4Secret"
USER = "tester"
_JSON = "application/json"


@dataclass
class Fault:
    """What goes wrong at a request.

    Attributes:
        status: is answered in place of doing it.
        said: the server's own words in that answer.
        headers: of that answer.
        drop_after: the connection is cut after so many bytes of the request's body.
        lost_reply: it is done, and the connection cut before the answer.
        reply: is the body of the answer in place of the true one.
        before: is called first.
        delay_s: seconds before anything.
        skip: so many requests of the name go well first.
        times: so many requests of the name fail; all others go well.
    """

    status: int | None = None
    said: str = "injected"
    headers: dict[str, str] = field(default_factory=dict)
    drop_after: int | None = None
    lost_reply: bool = False
    reply: bytes | None = None
    before: Callable[[], None] | None = None
    delay_s: float = 0
    skip: int = 0
    times: int = 1_000_000


@dataclass(frozen=True)
class Request:
    """A request as the server saw it."""

    name: str
    method: str
    path: str
    token: str | None


class Refused(Exception):  # noqa: N818 - not an error of the test's
    """An answer with a status above 399."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


class HubServer:
    """The server, what it keeps, what it was asked, and what it is told to do wrong."""

    def __init__(self) -> None:
        self.store = Store()
        self.requests: list[Request] = []
        self.faults: dict[str, Fault] = {}
        self.page = 1000  # entries of a tree in one answer
        self._lock = threading.RLock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator[HubServer]:
        """Serve until the block ends."""
        thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join()

    def clear(self) -> None:
        """An empty Hub without faults."""
        self.store = Store()
        self.requests.clear()
        self.faults.clear()
        self.page = 1000

    def names(self) -> list[str]:
        """The requests so far, by name."""
        return [request.name for request in self.requests]

    def fault_of(self, name: str) -> Fault | None:
        """What is to go wrong at this request, counted down."""
        with self._lock:
            fault = self.faults.get(name)
            if fault is None:
                return None
            if fault.skip > 0:
                fault.skip -= 1
                return None
            fault.times -= 1
            if fault.times <= 0:
                del self.faults[name]
            return fault

    # What each request does. They take the parts of the path, the query and the body, and give what is answered.

    def whoami(self, _parts: list[str], _query: dict[str, str], _body: bytes) -> Any:
        return {"name": USER, "type": "user", "auth": {"type": "access_token"}, "orgs": []}

    def create(self, _parts: list[str], _query: dict[str, str], body: bytes) -> Any:
        asked = json.loads(body)
        name = f"{asked.get('organization') or USER}/{asked['name']}"
        answer = {"url": f"{self.url}/{name}", "name": name}
        if not name.startswith(f"{USER}/"):
            raise Refused(403, f"You don't have the rights to create a model under the namespace {name.split('/')[0]}")
        if name in self.store.repositories:
            return 409, {"error": "You already created this model repo", **answer}
        self.store.make(name, private=bool(asked.get("private")) or asked.get("visibility") == "private")
        return answer

    def info(self, parts: list[str], _query: dict[str, str], _body: bytes) -> Any:
        repository, commit = self._commit(parts[0], unquote(parts[1] or "main"))
        siblings = [{"rfilename": path} for path in commit.tree]
        found = {"sha": commit.oid, "private": repository.private, "siblings": siblings, "tags": [], "downloads": 0}
        return {"id": repository.name, "modelId": repository.name, **found}

    def tree(self, parts: list[str], query: dict[str, str], _body: bytes) -> Any:
        _, commit = self._commit(parts[0], unquote(parts[1]))
        entries = [_entry(path, blob) for path, blob in sorted(commit.tree.items())]
        start, page = int(query.get("cursor", 0)), self.page
        if start + page >= len(entries):
            return entries[start:]
        following = f"{self.url}/api/models/{parts[0]}/tree/{parts[1]}?recursive=True&cursor={start + page}"
        return 200, entries[start : start + page], {"Link": f'<{following}>; rel="next"'}

    def branch(self, parts: list[str], _query: dict[str, str], _body: bytes) -> Any:
        repository, commit = self._commit(parts[0], "main")
        name = unquote(parts[1])
        if name in repository.refs:
            raise Refused(409, f"Reference already exists: {name}")
        repository.refs[name] = commit.oid
        return {"ok": True}

    def discussions(self, parts: list[str], query: dict[str, str], _body: bytes) -> Any:
        repository, _ = self._commit(parts[0], "main")
        found = [_discussion(repository, number) for number in range(len(repository.pull_requests), 0, -1)]
        return {"discussions": found if query.get("p", "0") == "0" else [], "count": len(found), "start": 0}

    def validate(self, _parts: list[str], _query: dict[str, str], body: bytes) -> Any:
        content = json.loads(body)["content"]
        if not content.startswith("---\n"):
            return {"warnings": [{"message": "empty or missing yaml metadata in repo card"}], "errors": []}
        said = yaml.safe_load(content.split("---\n")[1]) or {}
        errors = [{"message": fault} for fault in _metadata_faults(said)]
        return 400 if errors else 200, {"warnings": [], "errors": errors}

    def preupload(self, parts: list[str], _query: dict[str, str], body: bytes) -> Any:
        _, commit = self._commit(parts[0], unquote(parts[1]))
        asked = json.loads(body)
        assert len(asked["files"]) <= 256
        held = commit.tree.get(".gitignore")
        ignored = asked.get("gitIgnore") or (held.content.decode() if held else "")
        patterns = [line for line in ignored.splitlines() if line and not line.startswith("#")]
        return {"files": [_upload_mode(file, commit, patterns) for file in asked["files"]]}

    def batch(self, parts: list[str], _query: dict[str, str], body: bytes) -> Any:
        self._repository(parts[0])
        asked = json.loads(body)
        assert asked["operation"] == "upload"
        return {"transfer": "basic", "objects": [self._object(each) for each in asked["objects"]]}

    def _object(self, asked: dict[str, Any]) -> dict[str, Any]:
        oid = asked["oid"]
        if oid in self.store.large:
            return asked
        actions = {
            "upload": {"href": f"{self.url}/large/{oid}?X-Amz-Signature={SIGNATURE}", "header": {}},
            "verify": {"href": f"{self.url}/verify/{oid}"},
        }
        return {**asked, "actions": actions}

    def put(self, parts: list[str], _query: dict[str, str], body: bytes) -> Any:
        if hashlib.sha256(body).hexdigest() != parts[0]:
            raise Refused(400, "the checksum does not match")
        self.store.large[parts[0]] = body
        return {}

    def verify(self, _parts: list[str], _query: dict[str, str], body: bytes) -> Any:
        asked = json.loads(body)
        held = self.store.large.get(asked["oid"])
        if held is None or len(held) != asked["size"]:
            raise Refused(404, "there is no such large file")
        return {}

    def commit(self, parts: list[str], query: dict[str, str], body: bytes) -> Any:
        repository, base = self._commit(parts[0], unquote(parts[1]))
        lines = [json.loads(line) for line in body.splitlines()]
        header, operations = lines[0]["value"], lines[1:]
        assert lines[0]["key"] == "header"
        if header.get("parentCommit", base.oid) != base.oid:
            raise Refused(412, "A commit has happened since. Please refresh and try again.")
        tree = dict(base.tree)
        for operation in operations:
            self._apply(operation["key"], operation["value"], tree)
        ref, proposed = unquote(parts[1]), query.get("create_pr") == "1"
        if proposed:
            repository.pull_requests.append(header["summary"])
            ref = f"refs/pr/{len(repository.pull_requests)}"
        made = repository.add(ref, header["summary"], tree, base.oid)
        answer = {"success": True, "commitOid": made.oid, "commitUrl": f"{self.url}/{parts[0]}/commit/{made.oid}"}
        number = len(repository.pull_requests)
        return {**answer, **({"pullRequestUrl": f"{self.url}/{parts[0]}/discussions/{number}"} if proposed else {})}

    def _apply(self, key: str, value: dict[str, Any], tree: dict[str, Blob]) -> None:
        path = value["path"]
        if key == "file":
            tree[path] = Blob(base64.b64decode(value["content"]), large=False)
        elif key == "lfsFile":
            if value["oid"] not in self.store.large:
                raise Refused(400, f"there is no large file for {path}")
            tree[path] = Blob(self.store.large[value["oid"]], large=True)
        elif path not in tree:
            raise Refused(404, "A file with this name doesn't exist", "EntryNotFound")
        else:
            del tree[path]

    def resolve(self, parts: list[str], _query: dict[str, str], _body: bytes) -> Any:
        _, commit = self._commit(parts[0], unquote(parts[1]))
        blob = commit.tree.get(unquote(parts[2]))
        if blob is None:
            raise Refused(404, "Entry not found", "EntryNotFound")
        etag = blob.sha256 if blob.large else blob.oid
        headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
        return 200, blob.content, headers

    def _repository(self, name: str) -> Repository:
        found = self.store.repositories.get(name)
        if found is None:
            raise Refused(404, "Repository not found", "RepoNotFound")
        return found

    def _commit(self, name: str, revision: str) -> tuple[Repository, Commit]:
        repository = self._repository(name)
        commit = repository.at(revision)
        if commit is None:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return repository, commit


_REPO = r"([\w.-]+/[\w.-]+)"
_ROUTES = [
    (name, method, re.compile(pattern))
    for name, method, pattern in (
        ("whoami", "GET", r"/api/whoami-v2"),
        ("create", "POST", r"/api/repos/create"),
        ("validate", "POST", r"/api/validate-yaml"),
        ("preupload", "POST", rf"/api/models/{_REPO}/preupload/([^/]+)"),
        ("commit", "POST", rf"/api/models/{_REPO}/commit/([^/]+)"),
        ("branch", "POST", rf"/api/models/{_REPO}/branch/([^/]+)"),
        ("discussions", "GET", rf"/api/models/{_REPO}/discussions"),
        ("tree", "GET", rf"/api/models/{_REPO}/tree/([^/]+)"),
        ("info", "GET", rf"/api/models/{_REPO}(?:/revision/([^/]+))?"),
        ("batch", "POST", rf"/{_REPO}\.git/info/lfs/objects/batch"),
        ("verify", "POST", r"/verify/(\w+)"),
        ("put", "PUT", r"/large/(\w+)"),
        ("resolve", "GET", rf"/{_REPO}/resolve/([^/]+)/(.+)"),
    )
]
#: What is asked without a token: addresses that are signed.
_SIGNED = ("put",)


def _metadata_faults(said: dict[str, Any]) -> Iterator[str]:
    if said.get("license", "unknown") not in LICENSES:
        yield f'"license" must be one of [{", ".join(sorted(LICENSES))}]'
    link = said.get("license_link", "LICENSE")
    if link not in ("LICENSE", "LICENSE.md") and not re.match("https?://", link):
        yield '"license_link" must be a URL'


def _entry(path: str, blob: Blob) -> dict[str, Any]:
    entry = {"type": "file", "path": path, "oid": blob.oid, "size": len(blob.content)}
    pointer = {"oid": blob.sha256, "size": len(blob.content), "pointerSize": len(blob.pointer)}
    return {**entry, "lfs": pointer} if blob.large else entry


def _discussion(repository: Repository, number: int) -> dict[str, Any]:
    return {
        "num": number,
        "title": repository.pull_requests[number - 1],
        "author": {"name": USER},
        "status": "open",
        "isPullRequest": True,
        "createdAt": "2025-01-01T00:00:00.000Z",
        "repo": {"name": repository.name, "type": "model"},
    }


def _upload_mode(file: dict[str, Any], commit: Commit, ignored: list[str]) -> dict[str, Any]:
    path, held = file["path"], commit.tree.get(file["path"])
    mode = "lfs" if is_large(path, file["size"]) else "regular"
    base64.b64decode(file["sample"], validate=True)
    skipped = any(fnmatch(path, pattern) for pattern in ignored)
    oid = {} if held is None else {"oid": held.sha256 if held.large else held.oid}
    return {"path": path, "uploadMode": mode, "shouldIgnore": skipped, **oid}


def _handler(hub: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60  # seconds; of a client that has gone without a word
        # Without these each answer waits 40 ms for the client's system to say that it has had the headers.
        disable_nagle_algorithm = True
        wbufsize = -1

        def log_message(self, *_args: object) -> None:
            """Nothing: a test reads `HubServer.requests`."""

        def _serve(self) -> None:
            url = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(url.query).items()}
            method = "GET" if self.command == "HEAD" else self.command
            matches = ((name, pattern.fullmatch(url.path)) for name, verb, pattern in _ROUTES if verb == method)
            name, match = next(((name, match) for name, match in matches if match), ("unknown", None))
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
            hub.requests.append(Request(name, self.command, self.path, token))
            fault = hub.fault_of(name)
            if fault is not None and fault.drop_after is not None:
                self.rfile.read(min(fault.drop_after, int(self.headers.get("Content-Length") or 0)))
                self._cut()
                return
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or self._chunks()
            if fault is not None:
                time.sleep(fault.delay_s)
                if fault.before is not None:
                    fault.before()
                if fault.status is not None:
                    self._answer(fault.status, {"error": fault.said}, fault.headers)
                    return
            answer = self._do(name, [part or "" for part in match.groups()] if match else [], query, body, token)
            if fault is not None and fault.lost_reply:
                self._cut()
                return
            status, content, headers = answer
            self._answer(status, content if fault is None or fault.reply is None else fault.reply, headers)

        do_GET = do_HEAD = do_POST = do_PUT = _serve  # noqa: N815 - what http.server looks for

        def _do(
            self, name: str, parts: list[str], query: dict[str, str], body: bytes, token: str | None
        ) -> tuple[int, Any, dict[str, str]]:
            try:
                if name == "unknown":
                    raise Refused(404, f"this Hub does not know {self.command} {self.path}")
                if token != TOKEN and name not in _SIGNED:
                    raise Refused(401, "Invalid credentials in Authorization header")
                with hub._lock:
                    answer = getattr(hub, name)(parts, query, body)
            except Refused as refused:
                headers = {
                    "X-Error-Message": refused.message,
                    **({"X-Error-Code": refused.code} if refused.code else {}),
                }
                return refused.status, {"error": refused.message}, headers
            if isinstance(answer, tuple):
                status, content, *rest = answer
                return status, content, rest[0] if rest else {}
            return 200, answer, {}

        def _answer(self, status: int, content: Any, headers: dict[str, str]) -> None:
            raw = content if isinstance(content, bytes) else json.dumps(content).encode()
            total, asked = len(raw), re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
            if status == 200 and asked and "ETag" in headers:
                first, last = int(asked[1]), min(int(asked[2] or total - 1), total - 1)
                status, raw = 206, raw[first : last + 1]
                headers = {**headers, "Content-Range": f"bytes {first}-{last}/{total}"}
            self.send_response(status)
            for name, value in {"Content-Type": _JSON, "Content-Length": str(len(raw)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(raw)
            self.wfile.flush()

        def _chunks(self) -> bytes:
            """A body of `Transfer-Encoding: chunked`."""
            if self.headers.get("Transfer-Encoding") != "chunked":
                return b""
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def _cut(self) -> None:
            """End the connection without a word, so that the other side sees a reset."""
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    return Handler
