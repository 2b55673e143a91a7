"""The parent's side of a worker: start it, ask it, say clearly how it died, and never leave one behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import hfcompress
from hfcompress.errors import MeasurementError
from hfcompress.recipe.tasks import TaskName
from hfcompress.runtimes.settings import Settings

_LAST_LINES = 8


@dataclass(frozen=True)
class Subject:
    """What is timed.

    Attributes:
        name: names it in progress, results and errors; unique in a session.
        path: the artifact's folder.
        format: `torch`, `onnx` or `openvino`.
        task: what the model does.
        settings: what runs it, and how; threads that it leaves open are those of the session, over its streams.
        trusted: whether it may run its own code.
    """

    name: str
    path: Path
    format: str
    task: TaskName
    settings: Settings = Settings()
    trusted: bool = False


class WorkerProcess:
    """A worker of one subject; a context manager, whose end kills it: a worker has nothing to save.

    Args:
        subject: what it will load.
        folder: where its stderr is kept while it lives.

    Attributes:
        pid: of the process.
    """

    def __init__(self, subject: Subject, folder: Path) -> None:
        self.subject = subject
        self._errors = folder / f"{subject.name.replace(os.sep, '_')}.stderr"
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", "-m", "hfcompress.benchmark.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=_environment(),
                encoding="utf-8",
            )
        self.pid = self._process.pid
        self._requests: IO[str] = self._process.stdin  # type: ignore[assignment]
        self._replies: IO[str] = self._process.stdout  # type: ignore[assignment]

    def load(self, threads: int) -> None:
        """Send the request to load; `receive` waits for it."""
        about = {"path": str(self.subject.path.resolve()), "format": self.subject.format, "task": self.subject.task}
        settings = self.subject.settings
        settings = replace(settings, threads=settings.threads_of(threads))
        self.send("load", **about, settings=asdict(settings), trust_remote_code=self.subject.trusted)

    def send(self, do: str, **fields: Any) -> None:
        """Send one request."""
        try:
            self._requests.write(json.dumps({"do": do, **fields}) + "\n")
            self._requests.flush()
        except BrokenPipeError as error:
            raise self._death() from error

    def receive(self) -> dict[str, Any]:
        """Wait for the reply to the last request.

        Raises:
            MeasurementError: the worker says that it failed, or it died.
        """
        for line in self._replies:
            if line.startswith("{"):  # anything else was printed before the worker took its channel
                reply: dict[str, Any] = json.loads(line)
                if "error" in reply:
                    raise MeasurementError(f"`{self.subject.name}` could not be measured: {reply['error']}")
                return reply
        raise self._death()

    def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """Send one request and wait for its reply."""
        self.send(do, **fields)
        return self.receive()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._replies.close()
        with suppress(BrokenPipeError):  # of a request that the worker did not live to read
            self._requests.close()

    def _death(self) -> MeasurementError:
        code = self._process.wait()
        lines = self._errors.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
        said = "; its last words:\n  " + "\n  ".join(lines) if lines else ", without a word"
        return MeasurementError(f"`{self.subject.name}` could not be measured: its worker {_how(code)}{said}")


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    hint = " (often the system running out of memory: free some, or use fewer artifacts or rows)"
    return f"was killed by {name}{hint if name == 'SIGKILL' else ''}, exit code {code}"


def _environment() -> dict[str, str]:
    """This process's environment, in which the package is found and the Hub is not asked: artifacts are folders."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    home = Path(hfcompress.__file__).resolve().parents[1]
    if home.name not in ("site-packages", "dist-packages"):
        known = [path for path in (os.environ.get("PYTHONPATH"), str(home)) if path]
        environment["PYTHONPATH"] = os.pathsep.join(known)
    return environment
