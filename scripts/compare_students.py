"""What each part of the loss is worth: students that differ in what they learn from alone, with several seeds.

    python scripts/compare_students.py --teacher runs/sentiment-demo/artifacts/teacher --seeds 0 1 2

Every student has layers 0, 2 and 4 of the teacher and the same number of optimizer steps; text without a label takes
the place of some of the labelled rows' repetitions. A run that was stopped goes on where it was. The table holds test
accuracies: the mean over seeds, and the paired difference to the teacher with a 95% bootstrap interval over rows (of
each row's mean over seeds).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table
from scipy import stats

from hfcompress import run_recipe
from hfcompress.cli.console import Session
from hfcompress.recipe import parse_recipe

#: Optimizer steps of each student, about four epochs of the labelled rows.
STEPS = 896
#: Name of a student -> what it learns from, besides the defaults of the demo.
STUDENTS: dict[str, dict[str, Any]] = {
    "labels": {"kl_weight": 0, "label_weight": 1},
    "kl": {},
    "kl-hidden": {"hidden": {"weight": 1, "layers": "uniform"}},
    "kl-relations": {"relations": {"weight": 1}},
}
WITH_TEXT: dict[str, dict[str, Any]] = {"kl-unlabelled": {}}


def main() -> None:
    """Run every recipe, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=Path, default=Path("runs/sentiment-demo/artifacts/teacher"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/compare-students"))
    arguments = parser.parse_args()
    with Session("human") as session:
        for seed in arguments.seeds:
            for folder, recipe in recipes(arguments.teacher, seed, arguments.out).items():
                run_recipe(parse_recipe(recipe), out=folder, progress=session.progress)
    show(arguments.out, arguments.seeds)


def recipes(teacher: Path, seed: int, out: Path) -> dict[Path, dict[str, Any]]:
    """Run folder -> recipe: one for the labelled rows alone, one for those with text without a label."""
    text = {"unlabeled": {"path": ".demo/unlabeled", "columns": {"text": "text"}}}
    return {
        out / f"seed-{seed}": recipe(teacher, seed, STUDENTS, {}),
        out / f"seed-{seed}-text": recipe(teacher, seed, WITH_TEXT, text),
    }


def recipe(teacher: Path, seed: int, students: dict[str, dict[str, Any]], data: dict[str, Any]) -> dict[str, Any]:
    """Students of one teacher, side by side."""
    training = {"num_train_epochs": 4, "max_steps": STEPS, "per_device_train_batch_size": 32, "warmup_steps": 50}
    training |= {"learning_rate": 2e-4, "weight_decay": 0.01}
    shared = {"student": {"keep_layers": [0, 2, 4]}, "temperature": 2, "training": training, "teacher_cache": "auto"}
    return {
        "name": f"compare-students-{seed}",
        "task": "text-classification",
        "model": str(teacher),
        "data": {"path": ".demo/reviews", "columns": {"text": "text", "label": "label"}, **data},
        "seed": seed,
        "stages": {name: {"from": "source", "distill": {**shared, **parts}} for name, parts in students.items()},
        "benchmark": {"batch": [1], "sequence": [16], "repeats": 5, "stream": {"rows": 32, "passes": 3}},
    }


def show(out: Path, seeds: list[int]) -> None:
    """The table, in Markdown's form for `recipes/README.md`."""
    teacher = np.mean([right(out / f"seed-{seed}", "source") for seed in seeds], axis=0)
    table = Table(title=f"test accuracy, {len(teacher)} rows, seeds {', '.join(map(str, seeds))}", title_justify="left")
    for column in ("learns from", "each seed", "mean", "against the teacher"):
        table.add_column(column)
    table.add_row("teacher", "", f"{100 * teacher.mean():.1f}", "")
    for name in [*STUDENTS, *WITH_TEXT]:
        folder = "-text" if name in WITH_TEXT else ""
        rows = np.stack([right(out / f"seed-{seed}{folder}", name) for seed in seeds])
        apart = rows.mean(0) - teacher
        interval = stats.bootstrap((apart,), np.mean, rng=np.random.default_rng(0), method="percentile")
        low, high = interval.confidence_interval
        table.add_row(
            name,
            ", ".join(f"{100 * each.mean():.1f}" for each in rows),
            f"{100 * rows.mean():.1f}",
            f"{100 * apart.mean():+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]",
        )
    Console(width=110).print(table)


def right(folder: Path, artifact: str) -> np.ndarray:
    """Which rows of the test split an artifact classified rightly, in the order of the split."""
    kept = pq.read_table(folder / "predictions" / f"{artifact}-test.parquet").to_pydict()
    return np.asarray(kept["label"]) == np.asarray(kept["prediction"])


if __name__ == "__main__":
    main()
