"""The commands, gathered."""

from __future__ import annotations

from typing import Annotated

import typer

from hfcompress._version import __version__
from hfcompress.cli import (
    benchmark,
    bundle,
    card,
    doctor,
    explain,
    init,
    lint,
    push,
    quantize,
    report,
    run,
    schema,
    simulate,
    tune,
    validate,
    verify,
)

app = typer.Typer(
    name="hfcompress",
    help="Distil, quantize, export and measure Hugging Face models: one recipe in, a smaller and faster artifact out.",
    epilog="Exit codes: 0 done, 1 a gate or a verification failed, 2 bad input, 3 a stage failed, 4 publishing failed, "
    "70 an internal error, 75 run it again: it goes on with smaller batches, 130 and 143 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _hfcompress(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    pass


app.command("run")(run.run)
app.command("validate")(validate.validate)
app.command("schema")(schema.schema)
app.command("init")(init.init)
app.command("benchmark")(benchmark.benchmark)
app.command("quantize")(quantize.quantize)
app.command("explain")(explain.explain)
app.command("lint")(lint.lint)
app.command("tune")(tune.tune)
app.command("simulate")(simulate.simulate)
app.command("report")(report.report)
app.command("bundle")(bundle.bundle)
app.command("card")(card.card)
app.command("push")(push.push)
app.command("doctor")(doctor.doctor)
app.command("verify")(verify.verify)
