"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from pydantic import ValidationError

from hfcompress.cli import failure
from hfcompress.errors import InputError
from hfcompress.recipe.schema import Schema

if TYPE_CHECKING:
    from hfcompress.recipe.data import DataConfig

Config = TypeVar("Config", bound=Schema)


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
Split = Annotated[
    str | None, typer.Option("--split", help="The dataset's split to read; default: test, validation or train.")
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


def data_config(path: str, columns: list[str], split: str | None) -> DataConfig:
    """What `--data`, `--column` and `--split` say; the split, or the one that is there, has the role `test`.

    Raises:
        InputError: the first value that is not valid, or data that cannot be opened.
    """
    from hfcompress.recipe.data import DataConfig
    from hfcompress.tasks.dataset import split_names

    config = config_of(DataConfig, path=path, columns=columns_of(columns))
    if split is None:
        there = split_names(config)
        split = next((name for name in ("test", "validation", "train") if name in there), there[0])
    return config.model_copy(update={"splits": {"test": split}})


def columns_of(pairs: list[str]) -> dict[str, str]:
    """Role -> column, of `--column`.

    Raises:
        InputError: a pair without `=`.
    """
    return dict(_pair(text) for text in pairs)


def _pair(text: str) -> tuple[str, str]:
    role, equals, column = text.partition("=")
    if not equals:
        raise InputError(f"--column should be ROLE=COLUMN, got {text!r}")
    return role, column


def config_of(kind: type[Config], **fields: object) -> Config:
    """A config of options' values.

    Raises:
        InputError: the first value that is not valid.
    """
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{where}: {first['msg']}, got {first['input']!r}") from None
