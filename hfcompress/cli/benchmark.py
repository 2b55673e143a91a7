"""`hfcompress benchmark`: any models side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic import ValidationError

from hfcompress.cli.console import Session
from hfcompress.cli.options import Debug, Format, OutputFormat
from hfcompress.errors import InputError
from hfcompress.recipe.schema import Schema

Config = TypeVar("Config", bound=Schema)


def benchmark(
    models: Annotated[list[Path], typer.Argument(help="Model folders, torch or ONNX; the first is the baseline.")],
    data: Annotated[str | None, typer.Option(help="Rows for the metric and the stream: as `data.path`.")] = None,
    split: Annotated[str, typer.Option(help="The dataset's split to read.")] = "test",
    column: Annotated[
        list[str], typer.Option("--column", metavar="ROLE=COLUMN", help="text=sentence; default: the role's own name.")
    ] = [],  # noqa: B006 - typer copies it
    batch: Annotated[list[int], typer.Option(help="Batch sizes of the latency grid.")] = [1, 32],  # noqa: B006
    sequence: Annotated[list[int], typer.Option(help="Sequence lengths of the grid.")] = [16, 64],  # noqa: B006
    threads: Annotated[int | None, typer.Option(help="Cores of a runtime; default: all.")] = None,
    repeats: Annotated[int, typer.Option(help="Timed calls of a cell.")] = 30,
    format_: Format = OutputFormat.human,
    debug: Debug = False,
) -> None:
    """Measure models side by side: latency, throughput, size, memory, and the metric where data is given."""
    from hfcompress.pipeline.measure import measure
    from hfcompress.recipe.data import BenchmarkConfig, DataConfig

    config = parsed(BenchmarkConfig, batch=tuple(batch), sequence=tuple(sequence), threads=threads, repeats=repeats)
    columns = parse_columns(column)
    rows = None if data is None else parsed(DataConfig, path=data, columns=columns, splits={"test": split})
    with Session(format_.value) as session:
        results = measure(models, data=rows, split="test", benchmark=config, progress=session.progress)
    session.show(results, None)


def parse_columns(texts: Sequence[str]) -> dict[str, str]:
    """`ROLE=COLUMN` texts to role -> column."""
    return dict(_pair(text) for text in texts)


def _pair(text: str) -> tuple[str, str]:
    role, equals, column = text.partition("=")
    if not equals:
        raise InputError(f"--column should be ROLE=COLUMN, got {text!r}")
    return role, column


def parsed(kind: type[Config], **fields: object) -> Config:
    """A config from options; an option that it does not take is named as `InputError`."""
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{where}: {first['msg']}, got {first['input']!r}") from None
