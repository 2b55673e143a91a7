"""The command line: one file a command."""

from __future__ import annotations

import sys

from hfcompress.cli import failure
from hfcompress.distributed.launch import leave_exit_code
from hfcompress.distributed.world import leave


def main() -> None:
    """Entry point of `hfcompress`."""
    failure.raise_on_sigterm()
    try:
        from hfcompress.cli.app import app

        code = app(standalone_mode=False)
        leave()
    except BaseException as error:  # noqa: BLE001 - the outermost frame: every error becomes an exit code
        code = failure.exit_code(error)
    if code == failure.INTERRUPTED:
        failure.say_interrupted()
    sys.exit(leave_exit_code(code if isinstance(code, int) else 0))
