"""Is what `hfcompress tune` finds fast, and is it the best there is?

    python scripts/bench_tune.py runs/sentiment-demo/artifacts/int8
    python scripts/bench_tune.py MODEL_FOLDER --data reviews.csv --column text=sentence --json

Searches twice: within a budget, and by measuring every combination equally often. Then both winners and the default
session (the artifact's own runtime, all cores for one call, batches of 32 as they arrive, padded to their longest row)
run the same rows again in turns, and these passes alone give the ratios: medians over the passes of the ratio of
seconds. Goals: 1.5 times the default session, and within 5% of the best combination.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from hfcompress.benchmark.process import Subject
from hfcompress.benchmark.statistics import ratio_interval
from hfcompress.benchmark.stream_session import StreamSession
from hfcompress.cli.options import columns_of
from hfcompress.host import default_threads, describe_host
from hfcompress.pipeline.tune import read_artifact, stream_rows, tune_artifact
from hfcompress.recipe.data import DataConfig
from hfcompress.results.serving import Chosen
from hfcompress.runtimes.serving import batching_of, settings_of
from hfcompress.tune.candidates import UNTUNED, Candidate, default_settings, installed_runtimes
from hfcompress.tune.options import TuneOptions
from hfcompress.tune.race import every

WAYS = ("default", "tuned", "exhaustive")


def main() -> None:
    arguments = parse()
    data = None
    if arguments.data is not None:
        splits = {"test": arguments.split}
        data = DataConfig(path=arguments.data, columns=columns_of(arguments.column), splits=splits)
    options = TuneOptions(rows=arguments.rows, budget_s=arguments.budget)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for way, exhaustive in (("tuned", False), ("exhaustive", True)):
            asked = options.model_copy(update={"exhaustive": exhaustive, "passes": arguments.search_passes})
            out = Path(folder) / f"{way}.json"
            found[way] = tune_artifact(arguments.artifact, data=data, options=asked, out=out).serving
    winners = {way: candidate_of(serving.throughput) for way, serving in found.items()}
    seconds = time_again(arguments.artifact, data, options, winners, arguments.passes)
    figures = compare(seconds, arguments.rows)
    show(winners, seconds, figures, {way: len(serving.tried) for way, serving in found.items()})
    if arguments.json:
        chosen = {way: str(candidate) for way, candidate in winners.items()}
        print(json.dumps(figures | {"chosen": chosen, "host": describe_host().model_dump(mode="json")}))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", type=Path, help="an artifact of a run, or a model folder with --data")
    parser.add_argument("--data", help="rows to run on; default: those of the run's recipe")
    parser.add_argument("--split", default="test", help="of --data")
    parser.add_argument("--column", action="append", default=[], metavar="ROLE=COLUMN")
    parser.add_argument("--rows", type=int, default=256, help="of the stream")
    parser.add_argument("--budget", type=float, default=120, help="seconds of the search")
    parser.add_argument("--search-passes", type=int, default=7, help="of each combination of the exhaustive search")
    parser.add_argument("--passes", type=int, default=21, help="of the comparison of the winners")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    return parser.parse_args()


def candidate_of(chosen: Chosen) -> Candidate:
    """What a search chose."""
    return Candidate(settings_of(chosen.settings), batching_of(chosen.batching))


def time_again(
    folder: Path, data: DataConfig | None, options: TuneOptions, winners: dict[str, Candidate], passes: int
) -> dict[str, list[float]]:
    """Way -> seconds of each pass; pass i of all ways ran in one round. Ways that chose the same share their passes."""
    artifact, cores = read_artifact(folder), default_threads()
    default = Candidate(default_settings(installed_runtimes(artifact.format, artifact.made_for), cores), UNTUNED)
    ways = {"default": default, **winners}
    rows = stream_rows(artifact, data, None, options)
    subject = Subject(artifact.path.name, artifact.path, artifact.format, artifact.task.name)
    with StreamSession(subject, cores) as session:
        for batching in {candidate.batching for candidate in ways.values()}:
            session.add_stream(str(batching), rows.batches(batching.groups(rows.lengths)))
        session.start(list({candidate.settings for candidate in ways.values()}), str(default.batching))
        distinct = list(dict.fromkeys(ways.values()))
        samples = every(distinct, lambda each: session.measure(each.settings, str(each.batching)).seconds, passes)
    return {way: samples.seconds[candidate] for way, candidate in ways.items()}


def compare(seconds: dict[str, list[float]], rows: int) -> dict[str, object]:
    """The ratios with their 95% intervals: above 1 the first is faster."""
    over_default = ratio_interval(seconds["default"], seconds["tuned"], seed=0)
    over_best = ratio_interval(seconds["exhaustive"], seconds["tuned"], seed=0)
    return {
        "over_default": over_default._asdict(),
        "over_exhaustive": over_best._asdict(),
        "rows_per_s": {way: rows / statistics.median(seconds[way]) for way in WAYS},
    }


def show(
    winners: dict[str, Candidate], seconds: dict[str, list[float]], figures: dict[str, object], tried: dict[str, int]
) -> None:
    """A table for people."""
    host = describe_host()
    table = Table(title=f"tune on {host.cpu}, {host.cores} cores", title_justify="left")
    for heading in ("session", "what it is"):
        table.add_column(heading)
    for heading in ("rows/s", "combinations"):
        table.add_column(heading, justify="right")
    for way in WAYS:
        what = str(winners.get(way, UNTUNED))
        rows_per_s = figures["rows_per_s"][way]  # type: ignore[index]
        table.add_row(way, what, f"{rows_per_s:,.0f}", str(tried.get(way, "")))
    console = Console()
    console.print(table)
    for name, goal in (("over_default", "goal 1.5"), ("over_exhaustive", "goal 0.95")):
        ratio = figures[name]
        said = "{value:.2f} [{low:.2f}, {high:.2f}]".format(**ratio)  # type: ignore[arg-type]
        console.print(f"tuned {name.replace('_', ' ')}: {said} ({goal}); {len(seconds['tuned'])} passes")


if __name__ == "__main__":
    main()
