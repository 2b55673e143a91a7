"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from hfcompress.cli import failure


class OutputFormat(StrEnum):
    """How a command speaks."""

    human = "human"
    json = "json"
    quiet = "quiet"


def _debug(value: bool) -> None:
    failure.show_traceback(value)


Format = Annotated[
    OutputFormat, typer.Option("--format", help="human: bars and tables; json: one object a line; quiet: errors only.")
]
Debug = Annotated[
    bool, typer.Option("--debug", is_eager=True, callback=_debug, help="Show a traceback with every error.")
]
Set = Annotated[
    list[str],
    typer.Option("--set", metavar="PATH=VALUE", help="Override a field: stages.student.distill.temperature=4"),
]
Column = Annotated[
    list[str], typer.Option("--column", metavar="ROLE=COLUMN", help="text=sentence; default: the role's own name.")
]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Let a model run code of its own. Read that code first.")
]
Accelerate = Annotated[
    str | None,
    typer.Option(
        "--accelerate",
        metavar="CONFIG",
        help="Train in several processes: cpu2, multi_gpu, fsdp2, deepspeed_zero2, multi_node, or a file of "
        "`accelerate config`.",
    ),
]
LaunchFields = Annotated[
    list[str],
    typer.Option("--launch", metavar="FIELD=VALUE", help="Override a field of that config: num_processes=4"),
]
