"""`hfcompress benchmark`: any models side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hfcompress.cli.console import Session
from hfcompress.cli.options import Column, Debug, Format, OutputFormat, Split, config_of, data_config


def benchmark(
    models: Annotated[list[Path], typer.Argument(help="Model folders, torch or ONNX; the first is the baseline.")],
    data: Annotated[str | None, typer.Option(help="Rows for the metric and the stream: as `data.path`.")] = None,
    split: Split = None,
    column: Column = [],  # noqa: B006 - typer copies it
    batch: Annotated[list[int], typer.Option(help="Batch sizes of the latency grid.")] = [1, 32],  # noqa: B006
    sequence: Annotated[list[int], typer.Option(help="Sequence lengths of the grid.")] = [16, 64],  # noqa: B006
    threads: Annotated[int | None, typer.Option(help="Cores of a runtime; default: all.")] = None,
    repeats: Annotated[int, typer.Option(help="Timed calls of a cell.")] = 30,
    format_: Format = OutputFormat.human,
    debug: Debug = False,
) -> None:
    """Measure models side by side: latency, throughput, size, memory, and the metric where data is given."""
    from hfcompress.pipeline.measure import measure
    from hfcompress.recipe.data import BenchmarkConfig

    config = config_of(BenchmarkConfig, batch=tuple(batch), sequence=tuple(sequence), threads=threads, repeats=repeats)
    with Session(format_.value) as session:
        rows = None if data is None else data_config(data, column, split)
        results = measure(models, data=rows, split="test", benchmark=config, progress=session.progress)
    session.show(results, None)
