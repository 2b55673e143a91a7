"""`hfcompress bundle`: an artifact as a folder that measures itself on another machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from hfcompress.cli.console import Session, stdout_console
from hfcompress.cli.options import Column, Debug, Format, OutputFormat, Split, config_of, data_config
from hfcompress.recipe.data import DataConfig
from hfcompress.recipe.data import Split as SplitRole

if TYPE_CHECKING:
    from hfcompress.pipeline.bundle import Measured


def bundle(
    artifact: Annotated[Path, typer.Argument(help="An artifact's folder: runs/NAME/artifacts/int8.")],
    target: Annotated[str, typer.Option(help="What will run it: jetson, trtexec, onnxruntime or openvino.")],
    out: Annotated[Path, typer.Option(help="The folder to write; a bundle that is there is replaced.")],
    rows: Annotated[int, typer.Option(help="Most rows of the sample.")] = 256,
    precision: Annotated[
        str | None,
        typer.Option(help="Of floating point: fp32, fp16 or bf16; default: as graph and runtime have it."),
    ] = None,
    profile: Annotated[
        list[str],
        typer.Option(metavar="INPUT=MIN:OPT:MAX", help="Sizes of the engine; default: those of the data and the grid."),
    ] = [],  # noqa: B006 - typer copies it
    data: Annotated[str | None, typer.Option(help="Rows, as `data.path`; default: those of the run's recipe.")] = None,
    split: Split = None,
    column: Column = [],  # noqa: B006
    batch: Annotated[list[int], typer.Option(help="Batch sizes of the latency grid; default: the recipe's.")] = [],  # noqa: B006
    sequence: Annotated[list[int], typer.Option(help="Sequence lengths of the grid; default: the recipe's.")] = [],  # noqa: B006
    serving: Annotated[Path | None, typer.Option(help="A file of `tune` that travels along.")] = None,
    format_: Format = OutputFormat.human,
    debug: Debug = False,
) -> None:
    """Write a folder that runs on the target with nothing of hfcompress: model, scripts, a sample and its answers."""
    from hfcompress.bundle.config import BundleConfig
    from hfcompress.onnx_graph.profiles import parse_profiles
    from hfcompress.pipeline.bundle import write_bundle

    named: Any = (target, precision)  # `BundleConfig` refuses what it does not know, and says what it does
    config = BundleConfig(named[0], rows, named[1], parse_profiles(profile), serving)
    rows_of = None if data is None else (data, column, split)
    with Session(format_.value) as session:
        measured = _measured(artifact, rows_of, tuple(batch), tuple(sequence))
        made = write_bundle(artifact, out, config, measured, session.progress)
    if session.format == "human":
        console = stdout_console()
        build = "./build.sh && " if made.engine else ""
        for line in (
            f"{out}: {made.artifact.name} for {made.target}, {made.rows} rows of {made.split}",
            f"copy it to the target, and there: {build}python3 measure.py",
            "then here: hfcompress report RUN --add measurement.json",
        ):
            console.print(line, markup=False, soft_wrap=True)
    session.emit("bundle", out=str(out), bundle=made.model_dump(mode="json", by_alias=True))


def _rows(path: str, columns: list[str], split: str | None) -> tuple[DataConfig, SplitRole]:
    """The data with all its splits, whose lengths an engine has to take, and the role of the one that is measured."""
    from hfcompress.tasks.dataset import split_names

    config = data_config(path, columns, split)
    (named,) = config.splits.values()
    there = split_names(config)
    splits: dict[SplitRole, str] = {role: role for role in get_args(SplitRole) if role in there}
    role: SplitRole = next((role for role in splits if role == named), "test")
    return config.model_copy(update={"splits": {**splits, role: named}}), role


def _measured(
    artifact: Path, rows: tuple[str, list[str], str | None] | None, batch: tuple[int, ...], sequence: tuple[int, ...]
) -> Measured | None:
    """What is said in place of the recipe; None: nothing is."""
    from hfcompress.pipeline.bundle import Measured, measured_in_run
    from hfcompress.recipe.data import BenchmarkConfig

    grid = {name: sizes for name, sizes in (("batch", batch), ("sequence", sequence)) if sizes}
    found = measured_in_run(artifact) if artifact.is_dir() else None
    known = BenchmarkConfig() if found is None else found.benchmark
    benchmark = config_of(BenchmarkConfig, **{**known.model_dump(), **grid})
    if rows is not None:
        return Measured(*_rows(*rows), benchmark)
    return None if found is None else replace(found, benchmark=benchmark)
