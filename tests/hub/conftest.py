"""A Hub of the tests' own, and a process that publishes to it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hub.server import SIGNATURE, TOKEN, HubServer

#: Seconds that an answer may take, on a machine that does much else.
_PATIENCE_S = 120

Ask = Callable[..., dict[str, Any]]


def client_environment(hub: HubServer, home: Path) -> dict[str, str]:
    """The environment of a process that knows this Hub only."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    ours = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "*"}
    return {**kept, **ours, **quiet}


@pytest.fixture(scope="session")
def running_hub() -> Iterator[HubServer]:
    """One server for all tests."""
    with HubServer().running() as hub:
        yield hub


@pytest.fixture
def hub(running_hub: HubServer) -> HubServer:
    """An empty Hub on which nothing goes wrong yet."""
    running_hub.clear()
    return running_hub


@pytest.fixture(scope="session")
def client(running_hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Ask the publishing process for something; its outputs are searched for the token at every answer."""
    home = tmp_path_factory.mktemp("hub-client")
    errors = home / "stderr"
    with errors.open("wb") as stderr, errors.open(encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", "tests.hub.hub_client"],
            env=client_environment(running_hub, home),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(do: str, **arguments: Any) -> dict[str, Any]:
            print(json.dumps({"do": do, **arguments}), file=process.stdin, flush=True)
            if not select.select([process.stdout], [], [], _PATIENCE_S)[0]:
                process.send_signal(signal.SIGABRT)  # after which faulthandler says where it is
                process.wait()
            line = process.stdout.readline()
            logged = log.read()
            assert line, logged
            assert TOKEN not in line + logged
            assert SIGNATURE not in line + logged
            answer: dict[str, Any] = json.loads(line)
            return answer

        try:
            yield ask
        finally:
            process.stdin.close()
            process.wait(timeout=30)
            process.stdout.close()
