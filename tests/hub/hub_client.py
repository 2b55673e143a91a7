"""A process that publishes: huggingface_hub reads the Hub's address when it is imported, so it is told before.

Reads one command a line, as JSON, and answers in the same way. Nothing waits: the seconds that would be waited are
answered.
"""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

from hfcompress.errors import HfcompressError
from hfcompress.hub.publication import Publication, PublishedFile
from hfcompress.hub.push import PushOptions, push

waited: list[float] = []
said: list[str] = []


class Said:
    """Keeps what progress says."""

    def say(self, line: str) -> None:
        """One line."""
        said.append(line)


def publication_of(folder: Path, title: str) -> Publication:
    """The files of a folder; README.md as bytes, as a rendered card is."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = [PublishedFile(path.relative_to(folder).as_posix(), path) for path in paths]
    made = [PublishedFile(file.path, file.content.read_bytes()) if file.path == "README.md" else file for file in files]
    return Publication(title, tuple(made))


def push_folder(folder: str, repo_id: str, title: str, **options: Any) -> dict[str, Any]:
    """`hfcompress.hub.push.push` of a folder."""
    key = options.pop("sign", None)
    asked = PushOptions(**options, sign=None if key is None else Path(key))
    pushed = push(publication_of(Path(folder), title), repo_id, asked, Said())
    return {name: getattr(pushed, name) for name in ("repo_id", "url", "commit", "files", "added", "deleted")}


def push_as(*, token: str | None, **arguments: Any) -> dict[str, Any]:
    """With another token, or as somebody who is not logged in."""
    ours = os.environ.pop("HF_TOKEN")
    try:
        if token is not None:
            os.environ["HF_TOKEN"] = token
        return push_folder(**arguments)
    finally:
        os.environ["HF_TOKEN"] = ours


def push_offline(**arguments: Any) -> dict[str, Any]:
    """With HF_HUB_OFFLINE=1, which huggingface_hub reads when it is imported."""
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = True
    try:
        return push_folder(**arguments)
    finally:
        constants.HF_HUB_OFFLINE = False


def command_line(*, arguments: list[str]) -> dict[str, Any]:
    """A command as a user types it."""
    from hfcompress.cli import main as hfcompress

    sys.argv = ["hfcompress", *arguments]
    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            hfcompress()
        except SystemExit as ended:
            code = ended.code or 0
    return {"code": code, "out": out.getvalue(), "err": err.getvalue(), "imports": sorted({"torch"} & set(sys.modules))}


def with_trainers(name: str, **arguments: Any) -> dict[str, Any]:
    """A command of `trainer_client`."""
    from tests.hub import trainer_client

    answer: dict[str, Any] = getattr(trainer_client, name)(**arguments)
    return answer


def main(commands: dict[str, Callable[..., dict[str, Any]]]) -> None:
    """Answer until there is nothing more to read."""
    time.sleep = waited.append
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    logging.getLogger("huggingface_hub").setLevel(logging.DEBUG)
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        asked = json.loads(line)
        waited.clear()
        said.clear()
        try:
            with redirect_stdout(sys.stderr):
                answer = commands[asked.pop("do")](**asked)
        except HfcompressError as error:
            answer = {"error": str(error), "kind": type(error).__name__, "exit_code": error.exit_code}
        except Exception as error:  # noqa: BLE001 - the test says that there is none
            answer = {"error": repr(error), "kind": "defect"}
        print(json.dumps({**answer, "waited": waited, "said": said}), file=answers, flush=True)


if __name__ == "__main__":
    main(
        {
            "push": push_folder,
            "push_as": push_as,
            "push_offline": push_offline,
            "command_line": command_line,
            "train": partial(with_trainers, "train"),
            "save": partial(with_trainers, "save"),
        }
    )
