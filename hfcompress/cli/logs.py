"""Log lines that do not tear the bars: all go through the console that draws them. Configured by commands only."""

from __future__ import annotations

import logging
import os
from typing import Literal

from rich.console import Console
from rich.text import Text

from hfcompress.credentials import hide_addresses

Verbosity = Literal["quiet", "normal", "debug"]

#: verbosity -> level of hfcompress, level of everybody else.
_LEVELS: dict[Verbosity, tuple[int, int]] = {
    "quiet": (logging.ERROR, logging.ERROR),
    "normal": (logging.INFO, logging.WARNING),
    "debug": (logging.DEBUG, logging.INFO),
}
#: Libraries that bring their own handlers, which write to stderr and so across the bars.
_LIBRARIES = ("transformers", "datasets", "huggingface_hub", "accelerate", "optimum", "evaluate")
_STYLES = {logging.WARNING: "yellow", logging.ERROR: "red", logging.CRITICAL: "red"}


class ConsoleHandler(logging.Handler):
    """Prints records through a console: `loss scale 4`, `warning: transformers: ...`."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record, after the bars' own way of making room."""
        try:
            self.console.print(Text(_worded(record), style=_STYLES.get(record.levelno, "")), soft_wrap=True)
        except Exception:  # noqa: BLE001 - what logging asks of every handler: a log line must not end the work
            self.handleError(record)


def configure_logging(verbosity: Verbosity, console: Console) -> None:
    """Send all logs and Python's warnings through the console; undoes an earlier call."""
    reset_logging()
    ours, others = _LEVELS[verbosity]
    root = logging.getLogger()
    handler = ConsoleHandler(console)
    # Libraries set levels of their own, which the root's does not change: what is too quiet to show is cut here.
    handler.setLevel(min(ours, others))
    root.addHandler(handler)
    root.setLevel(others)
    logging.getLogger("hfcompress").setLevel(ours)
    logging.captureWarnings(True)
    adopt_library_logs()


def reset_logging() -> None:
    """Take back what `configure_logging` did."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, ConsoleHandler)]:
        root.removeHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("hfcompress").setLevel(logging.NOTSET)
    logging.captureWarnings(False)


def adopt_library_logs() -> None:
    """Route libraries' logs to ours, if there are any.

    A library adds its handler when it is imported, which may be long after logging was configured: so this is called
    again whenever a bar opens.
    """
    if not any(isinstance(handler, ConsoleHandler) for handler in logging.getLogger().handlers):
        return
    for name in _LIBRARIES:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True


def silence_library_bars(*, downloads: bool) -> None:
    """Keep the bars of `datasets` (and, with `downloads`, of the Hub) from showing beside ours; the user's word holds.

    The libraries read this when they are imported, so it has to be said before.
    """
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    if downloads:
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def _worded(record: logging.LogRecord) -> str:
    message = hide_addresses(record.getMessage())
    source = record.name.partition(".")[0]
    if source == "py":  # `py.warnings`: the second line is the source code, which tells a user nothing
        source, message = "Python", message.partition("\n")[0]
    named = message if source == "hfcompress" else f"{source}: {message}"
    return named if record.levelno <= logging.INFO else f"{record.levelname.lower()}: {named}"
