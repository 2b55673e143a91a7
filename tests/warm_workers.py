"""Workers of timing sessions that begin with everything imported, in place of a new interpreter for each.

A worker that times a torch model imports for five seconds of CPU, and a tiny recipe has two or three of them. Tests
that are not about workers get theirs from a server that has imported once, and forks. `tests/benchmark` has real ones.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Mapping
from functools import cache
from multiprocessing.connection import Connection
from typing import IO, Any

from hfcompress.benchmark import process

PRELOADED = ["tests.warm_worker_imports"]


def install() -> None:
    """From here on, in this process, timing sessions use them."""
    process.subprocess = WarmSubprocess  # type: ignore[assignment]


class WarmSubprocess:
    """What `hfcompress.benchmark.process` takes of the module `subprocess`."""

    PIPE = None

    @staticmethod
    def Popen(
        command: list[str], *, stdin: None, stdout: None, stderr: IO[bytes], env: Mapping[str, str], encoding: str
    ) -> WarmWorker:
        assert command[-2:] == ["-m", "hfcompress.benchmark.worker"]
        return WarmWorker(stderr.name, env, encoding)


class WarmWorker:
    """What `WorkerProcess` takes of a `Popen`."""

    def __init__(self, errors: str, env: Mapping[str, str], encoding: str) -> None:
        requests, ours = _server().Pipe(duplex=False)
        mine, replies = _server().Pipe(duplex=False)
        self._process = _server().Process(target=_work, args=(requests, replies, errors, dict(env)))
        self._process.start()
        requests.close()
        replies.close()
        self.pid = self._process.pid
        self.stdin = os.fdopen(_own(ours), "w", encoding=encoding)
        self.stdout = os.fdopen(_own(mine), encoding=encoding)

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> int:
        self._process.join()
        code = self._process.exitcode
        assert code is not None
        return code


@cache
def _server() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def _own(connection: Connection) -> int:
    """Its descriptor, which does not go with it."""
    descriptor = os.dup(connection.fileno())
    connection.close()
    return descriptor


def _work(requests: Connection, replies: Connection, errors: str, env: dict[str, str]) -> None:
    from hfcompress.benchmark.worker import main

    os.environ.update(env)
    for there, here in ((requests.fileno(), 0), (replies.fileno(), 1)):
        os.dup2(there, here)
    os.dup2(os.open(errors, os.O_WRONLY | os.O_APPEND), 2)
    main()
