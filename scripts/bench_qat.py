"""What a step of training for INT8 costs beside a step of plain fine-tuning of the same model.

Three trainers take the same batches in turns of a few steps: `transformers.Trainer` on the labels; `QATTrainer` on the
labels; and `QATTrainer` with the model's own fp32 weights as a teacher that is asked at each step. Each step is
compared with the same step of plain fine-tuning in its round; a ratio is the median of all. The second should be below
2.

    python scripts/bench_qat.py --json
    python scripts/bench_qat.py --model .demo/minilm --rounds 6 --scales moving_average

Without --model the weights are random, in the sizes of MiniLM-L6; the model is its layers 0, 2 and 4.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from bench_distill import (
    BATCH,
    WARM_UP,
    Stopwatch,
    as_tensors,
    in_ms,
    make_rows,
    make_teacher,
    steps_table,
    without_row_id,
)
from datasets import Dataset
from rich.console import Console
from transformers import Trainer, set_seed

from hfcompress import QATArguments, QATTrainer
from hfcompress.host import describe_host
from hfcompress.models.selection import keep_layers
from hfcompress.quantize.qat import fake_quantize_
from hfcompress.quantize.targets import scheme_for
from hfcompress.recipe.training_stages import QatConfig
from hfcompress.training.answers import unlabelled_inputs_of
from hfcompress.training.callbacks import remove_default_progress_
from hfcompress.training.precision import training_dtype


@dataclass
class Timings:
    """Seconds of steps, in the same order for each way."""

    plain: list[float] = field(default_factory=list)
    rounded: list[float] = field(default_factory=list)
    taught: list[float] = field(default_factory=list)


def main() -> None:
    """Time, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a BERT encoder, for its sizes and weights")
    parser.add_argument("--scales", choices=["learned", "moving_average"], default="learned")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=10, help="of one turn, the first two of which do not count")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    arguments = parser.parse_args()
    set_seed(0)
    model = keep_layers(make_teacher(arguments.model), [0, 2, 4])
    rows = make_rows(BATCH * arguments.steps * arguments.rounds)
    with TemporaryDirectory(prefix="hfcompress-bench-") as folder:
        timings = measure(model, rows, QatConfig(scales=arguments.scales), arguments.steps, Path(folder))
    figures = compare(timings)
    show(timings, figures)
    if arguments.json:
        print(json.dumps(figures))


def measure(model: Any, rows: Dataset, config: QatConfig, steps: int, folder: Path) -> Timings:
    """Turns of all three ways, in an order that changes from round to round."""
    device = arguments_for(folder, steps).device
    rounded = copy.deepcopy(model).to(device)
    batch = unlabelled_inputs_of(rounded, as_tensors(list(rows.select(range(BATCH)))))
    target = scheme_for("auto", describe_host().flags)
    fake_quantize_(rounded, config, target, [{name: value.to(device) for name, value in batch.items()}])
    teacher = copy.deepcopy(model)
    ways: dict[str, Callable[[Dataset], list[float]]] = {
        "plain": lambda part: turn(Trainer, model, part, folder, steps),
        "rounded": lambda part: turn(QATTrainer, rounded, part, folder, steps),
        "taught": lambda part: turn(QATTrainer, rounded, part, folder, steps, teacher=teacher),
    }
    timings = Timings()
    for number in range(len(rows) // (BATCH * steps)):
        part = rows.select(range(number * BATCH * steps, (number + 1) * BATCH * steps))
        names = list(ways)[number % len(ways) :] + list(ways)[: number % len(ways)]
        for name in names if number % 2 else names[::-1]:
            getattr(timings, name).extend(ways[name](part)[WARM_UP:])
    return timings


def arguments_for(folder: Path, steps: int) -> QATArguments:
    """The same for all ways; scales learn or follow in every step."""
    return QATArguments(
        output_dir=str(folder),
        max_steps=steps,
        freeze_after=1.0,
        per_device_train_batch_size=BATCH,
        bf16=training_dtype({}) == "bf16",
        save_strategy="no",
        logging_strategy="no",
        length_grouped=False,
        use_cpu=not torch.cuda.is_available(),
        disable_tqdm=True,
        seed=0,
    )


def turn(kind: Any, model: Any, rows: Dataset, folder: Path, steps: int, **teacher: Any) -> list[float]:
    """Seconds of each step of one way. The rows come in their own order, so that step i has one batch in all ways."""
    watch = Stopwatch()
    trainer = kind(
        model=model,
        args=arguments_for(folder, steps),
        train_dataset=rows,
        data_collator=without_row_id if kind is Trainer else as_tensors,
        callbacks=[watch],
        **teacher,
    )
    remove_default_progress_(trainer)
    trainer._get_train_sampler = lambda *_: torch.utils.data.SequentialSampler(rows)
    trainer.train()
    return watch.seconds


def compare(timings: Timings) -> dict[str, float]:
    """The ratios."""
    steps = list(zip(timings.plain, timings.rounded, timings.taught, strict=True))
    return {
        "qat_step_ratio": statistics.median(rounded / plain for plain, rounded, _ in steps),
        "qat_taught_step_ratio": statistics.median(taught / plain for plain, _, taught in steps),
    }


def show(timings: Timings, figures: dict[str, float]) -> None:
    """A table for people."""
    table = steps_table()
    table.add_row("plain fine-tuning (transformers.Trainer)", in_ms(timings.plain), "1.000")
    table.add_row("for INT8, on the labels", in_ms(timings.rounded), f"{figures['qat_step_ratio']:.3f} (goal: below 2)")
    table.add_row("for INT8, a teacher asked too", in_ms(timings.taught), f"{figures['qat_taught_step_ratio']:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
