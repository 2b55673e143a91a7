"""What cannot be measured, said in one line."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class RefusedError(Exception):
    """What cannot be measured, why, and the way out."""


def load_library(name: str, how: str) -> Any:
    """Import the runtime, or say how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise RefusedError(f"the Python package {name} cannot be imported ({error}); {how}") from error


@contextmanager
def refusing(what: str, kinds: tuple[type[Exception], ...]) -> Iterator[None]:
    """Say in one line what a runtime fails with.

    Args:
        what: could not be done.
        kinds: the exceptions that the runtime raises; others are faults of this program, and keep their traceback.
    """
    try:
        yield
    except kinds as error:
        said = " ".join(str(error).split())[:600] or type(error).__name__
        raise RefusedError(f"{what}: {said}") from error
