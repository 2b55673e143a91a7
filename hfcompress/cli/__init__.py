"""The command line: one file a command."""

from __future__ import annotations

import sys

from hfcompress.cli import failure


def main() -> None:
    """Entry point of `hfcompress`."""
    import click

    from hfcompress.cli.app import app

    failure.raise_on_sigterm()
    try:
        code = app(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = failure.BAD_INPUT
    except BaseException as error:  # noqa: BLE001 - the outermost frame: every error becomes an exit code
        code = failure.exit_code(error)
    sys.exit(code if isinstance(code, int) else 0)
