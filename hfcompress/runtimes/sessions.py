"""Sessions of ONNX Runtime for calls side by side."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from typing import Any


class Sessions:
    """One graph, open once or several times.

    A session without threads of its own takes calls from several threads side by side: one copy of the weights,
    whatever the number of streams. A pool of threads is one for all calls of a session, so that streams of several
    threads each get a session, and a copy of the weights.

    Args:
        open_session: opens one.
        streams: calls that will run side by side; more than that wait.
        threads: cores of one call.

    Attributes:
        first: one of them; all have the same inputs and outputs.
    """

    def __init__(self, open_session: Callable[[], Any], streams: int, threads: int) -> None:
        self.first = open_session()
        self._free: SimpleQueue[Any] | None = None
        if streams > 1 and threads > 1:
            self._free = SimpleQueue()
            self._free.put(self.first)
            for _ in range(streams - 1):
                self._free.put(open_session())

    def run(self, outputs: list[str], inputs: dict[str, Any]) -> list[Any]:
        """The outputs of one call."""
        if self._free is None:
            found: list[Any] = self.first.run(outputs, inputs)
            return found
        session = self._free.get()
        try:
            found = session.run(outputs, inputs)
        finally:
            self._free.put(session)
        return found
