"""What long work says about how far it is, without knowing who listens.

The command line shows bars with remaining time, a script may pass nothing: `SILENT` takes every word and says none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Bar(Protocol):
    """One piece of long work with a known number of steps."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """`steps` more are done; `note` is shown beside the bar (a loss, a file)."""


class Progress(Protocol):
    """Where long work reports to."""

    def bar(self, description: str, total: int) -> AbstractContextManager[Bar]:
        """A bar for `total` steps, which closes with the block."""

    def say(self, line: str) -> None:
        """One line for the reader: a stage began, was taken from the run folder, or ended."""


class _SilentBar:
    def advance(self, steps: int = 1, note: str = "") -> None:
        pass


class _Silent:
    @contextmanager
    def bar(self, description: str, total: int) -> Iterator[Bar]:
        yield _SilentBar()

    def say(self, line: str) -> None:
        pass


SILENT: Progress = _Silent()
