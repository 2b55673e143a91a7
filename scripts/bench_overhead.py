"""What the pipeline costs beside its work: the wall time of a whole run over the sum of its stages and measurements.

Runs a recipe in a fresh folder as a user would, in a process of its own, so that imports, checks, hashing, and writing
count as overhead. A run takes as long as its recipe; its seconds are those of `results.json`.

    python scripts/bench_overhead.py recipes/sentiment-demo.yaml --json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from hfcompress.host import describe_host
from hfcompress.results import Results, read_results


def main() -> None:
    """Run, add up, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, nargs="?", default=Path("recipes/sentiment-demo.yaml"))
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="PATH=VALUE")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    arguments = parser.parse_args()
    wall, results = run(arguments.recipe, arguments.overrides)
    parts = {name: part.run + part.measure for name, part in results.seconds.items()}
    overhead = wall / sum(parts.values()) - 1
    show(parts, wall, overhead)
    if arguments.json:
        print(json.dumps({"overhead": overhead, "wall_s": wall, "stages_s": sum(parts.values())}))


def run(recipe: Path, overrides: list[str]) -> tuple[float, Results]:
    """Wall seconds of a fresh run, and its results."""
    with TemporaryDirectory(prefix="hfcompress-bench-") as folder:
        command = [sys.executable, "-m", "hfcompress", "run", str(recipe), "--out", folder, "--format", "quiet"]
        command += [argument for override in overrides for argument in ("--set", override)]
        started = time.perf_counter()
        code = subprocess.run(command, check=False).returncode
        wall = time.perf_counter() - started
        if code not in (0, 1):  # 1: a gate failed, which does not matter here
            raise SystemExit(code)
        return wall, read_results(Path(folder) / "results.json")


def show(parts: dict[str, float], wall: float, overhead: float) -> None:
    """A table for people."""
    host = describe_host()
    table = Table(title=f"overhead of a run, on {host.cpu}, {host.cores} cores", title_justify="left")
    table.add_column("part")
    table.add_column("seconds", justify="right")
    for name, seconds in parts.items():
        table.add_row(name, f"{seconds:.1f}")
    table.add_section()
    table.add_row("sum of the parts", f"{sum(parts.values()):.1f}")
    table.add_row("whole run", f"{wall:.1f}")
    table.add_row("overhead", f"{overhead:.1%}")
    Console().print(table)


if __name__ == "__main__":
    main()
