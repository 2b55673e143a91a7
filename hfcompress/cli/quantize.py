"""`hfcompress quantize`: one model to INT8."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hfcompress.cli.console import Session
from hfcompress.cli.options import Column, Debug, Format, OutputFormat, columns_of, config_of
from hfcompress.errors import InputError

if TYPE_CHECKING:
    from hfcompress.pipeline.quantize import Quantized
    from hfcompress.recipe.data import DataConfig
    from hfcompress.recipe.stages import QuantizeConfig

#: The most rows that INT8 is compared with floating point on.
_CHECKED = {"limit": {"validation": 1000}}


def quantize(
    model: Annotated[Path, typer.Argument(help="A model folder: ONNX, OpenVINO, or torch, which is exported first.")],
    out: Annotated[Path, typer.Option(help="The folder to write; replaced as a whole.")],
    data: Annotated[str | None, typer.Option(help="Rows to calibrate on, as `data.path`: static INT8.")] = None,
    split: Annotated[str, typer.Option(help="The split to calibrate on.")] = "train",
    check_split: Annotated[
        str | None, typer.Option(help="The split to compare on; default: validation, test or --split.")
    ] = None,
    column: Column = [],  # noqa: B006 - typer copies it
    max_length: Annotated[int, typer.Option(help="Tokens after which text is cut.")] = 128,
    method: Annotated[str | None, typer.Option(help="minmax (the default), entropy or percentile.")] = None,
    samples: Annotated[int | None, typer.Option(help="Rows to calibrate on; default: 256.")] = None,
    percentile: Annotated[float | None, typer.Option(help="Of |values| within the range; default: 99.99.")] = None,
    smooth: Annotated[
        str | None,
        typer.Option(metavar="ALPHA", help="SmoothQuant: how much of outliers moves into weights; 0 to 1, auto."),
    ] = None,
    target: Annotated[str, typer.Option(help="auto, avx2, avx512, avx512_vnni, arm64, tensorrt, openvino.")] = "auto",
    per_channel: Annotated[
        bool, typer.Option("--per-channel/--per-tensor", help="One scale for each channel of a weight, or one for all.")
    ] = True,
    skip: Annotated[list[str], typer.Option(help="Layers that stay in floating point, `*` as in file names.")] = [],  # noqa: B006
    format_: Format = OutputFormat.human,
    debug: Debug = False,
) -> None:
    """Quantize a model to INT8: static when --data is given, dynamic otherwise."""
    from hfcompress.pipeline.quantize import quantize_model
    from hfcompress.recipe.data import DataConfig

    asked = {"method": method, "samples": samples, "percentile": percentile}
    calibration = {name: value for name, value in asked.items() if value is not None}
    config = _config(data, calibration, smooth, target=target, per_channel=per_channel, skip=tuple(skip))
    rows = None
    if data is not None:
        rows = config_of(DataConfig, path=data, columns=columns_of(column), max_length=max_length, **_CHECKED)
    with Session(format_.value) as session:  # which hushes libraries, before data is opened
        rows = None if rows is None else _with_splits(rows, split, check_split)
        made = quantize_model(model, out, config, rows, session.progress)
    if format_ is OutputFormat.json:
        typer.echo(json.dumps(asdict(made)))
    elif format_ is OutputFormat.human:
        _show(made, out)


def _config(data: str | None, calibration: dict[str, Any], smooth: str | None, **fields: Any) -> QuantizeConfig:
    from hfcompress.recipe.stages import QuantizeConfig

    asked = [*calibration, *([] if smooth is None else ["smooth"])]
    if data is None and asked:
        named = ", ".join(f"--{name}" for name in asked)
        raise InputError(f"{named}: calibration needs rows, and there are none; give --data")
    alpha = None if smooth is None else {"alpha": _number(smooth)}
    return config_of(QuantizeConfig, calibration=None if data is None else calibration, smooth=alpha, **fields)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _with_splits(data: DataConfig, split: str, check_split: str | None) -> DataConfig:
    from hfcompress.tasks.dataset import split_names

    there = split_names(data)
    compared = check_split or next((name for name in ("validation", "test") if name in there), split)
    return data.model_copy(update={"splits": {"train": split, "validation": compared}})


def _show(made: Quantized, out: Path) -> None:
    before, after = made.size_mb
    rows = {
        "target": made.target,
        "size": f"{after:.1f} MB, {before:.1f} in floating point",
        "integer operators": str(made.integer_operators),
    }
    if made.comparison is not None:
        rows["agreement"] = f"{100 * made.comparison.agreement:.1f}% of predictions on {made.comparison.rows:,} rows"
        for metric, (fp32, int8) in made.comparison.metrics.items():
            rows[metric] = f"{100 * int8:.1f}, {100 * fp32:.1f} in floating point"
    for name, value in rows.items():
        typer.echo(f"{name:<18} {value}")
    typer.echo(f"{'written to':<18} {out}")
