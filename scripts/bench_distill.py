"""What a step of distillation costs beside a step of plain fine-tuning of the same student.

Three trainers take the same batches in turns of a few steps: `transformers.Trainer` on the labels;
`DistillationTrainer` with a cached teacher; and the same with the teacher asked at each step. Each step is compared
with the same step of plain fine-tuning in its round; a ratio is the median of all. The bound for the asked teacher is
1.05 x (1 + its forward pass / the student's step).

    python scripts/bench_distill.py --json
    python scripts/bench_distill.py --model .demo/minilm --rounds 6
    python scripts/bench_distill.py --compile

With --compile the students are compared with themselves under `training: {torch_compile: true}` instead: two turns each
of 40 steps, of which the first 10 (when it compiles) do not count but are told.

Without --model the teacher has random weights in the sizes of MiniLM-L6; the student is its layers 0, 2 and 4.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from rich.console import Console
from rich.table import Table
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainerCallback,
    set_seed,
)

from hfcompress import DistillationArguments, DistillationTrainer
from hfcompress.host import describe_host, has_bf16
from hfcompress.models.selection import keep_layers
from hfcompress.training.cache.fill import Questions, fill
from hfcompress.training.cache.identity import Identity
from hfcompress.training.cache.kept import Keep
from hfcompress.training.cache.store import TeacherCache
from hfcompress.training.cached_teacher import CachedTeacher
from hfcompress.training.callbacks import remove_default_progress_
from hfcompress.training.heads import head_of
from hfcompress.training.teachers import Teacher
from hfcompress.training.trainer import autocast_of

BATCH, VOCABULARY = 32, 30_522
#: The first steps of a turn find cold caches and do not count.
WARM_UP = 2
#: Turns, steps of a turn, and steps that may compile, of a comparison with `torch.compile`.
COMPILE_TURNS, COMPILE_STEPS, COMPILE_WARM_UP = 2, 40, 10


class Stopwatch(TrainerCallback):
    """Seconds of each optimizer step, from the forward pass to the new weights; fetching the batch included."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._since = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._since = self._now()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        now = self._now()
        self.seconds.append(now - self._since)
        self._since = now

    @staticmethod
    def _now() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()


@dataclass
class Timings:
    """Seconds of steps, in the same order for each way; `forward` is the teacher's pass over the same batches."""

    plain: list[float] = field(default_factory=list)
    cached: list[float] = field(default_factory=list)
    online: list[float] = field(default_factory=list)
    forward: list[float] = field(default_factory=list)


def main() -> None:
    """Time, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a BERT encoder, as the teacher's sizes and weights")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=10, help="of one turn, the first two of which do not count")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    parser.add_argument("--compile", action="store_true", help="measure torch.compile instead")
    arguments = parser.parse_args()
    set_seed(0)
    teacher = make_teacher(arguments.model)
    if arguments.compile:
        figures = measure_compiled(teacher)
        print(json.dumps(figures) if arguments.json else figures)
        return
    rows = make_rows(BATCH * arguments.steps * arguments.rounds)
    with TemporaryDirectory(prefix="hfcompress-bench-") as folder:
        timings = measure(teacher, rows, arguments.rounds, arguments.steps, Path(folder))
    figures = compare(timings)
    show(timings, figures)
    if arguments.json:
        print(json.dumps(figures))


def make_teacher(model: Path | None) -> Any:
    """A classifier of two classes."""
    if model is not None:
        return AutoModelForSequenceClassification.from_pretrained(model, num_labels=2)
    sizes = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    return BertForSequenceClassification(BertConfig(vocab_size=VOCABULARY, **sizes))


def make_rows(count: int) -> Dataset:
    """Random tokens, as long as the demo's sentences: 27 on average."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.gamma(4.0, 27 / 4, size=count), 4, 128).astype(int)
    columns = {
        "input_ids": [rng.integers(1000, VOCABULARY, size=length).tolist() for length in lengths],
        "labels": rng.integers(0, 2, size=count),
        "length": lengths,
        "row_id": np.arange(count),
    }
    return Dataset.from_dict(columns)


def collate(rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Padded to the longest row, as arrays."""
    longest = max(len(row["input_ids"]) for row in rows)
    ids = np.zeros((len(rows), longest), dtype=np.int64)
    mask = np.zeros_like(ids)
    for place, row in enumerate(rows):
        ids[place, : len(row["input_ids"])] = row["input_ids"]
        mask[place, : len(row["input_ids"])] = 1
    labels, row_id = (np.array([row[name] for row in rows]) for name in ("labels", "row_id"))
    return {"input_ids": ids, "attention_mask": mask, "labels": labels, "row_id": row_id}


def as_tensors(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """What trainers take."""
    return {name: torch.from_numpy(array) for name, array in collate(rows).items()}


def without_row_id(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """What `transformers.Trainer` takes, which gives a model everything."""
    return {name: value for name, value in as_tensors(rows).items() if name != "row_id"}


def measure(teacher_model: Any, rows: Dataset, rounds: int, steps: int, folder: Path) -> Timings:
    """Turns of all three ways, in an order that changes from round to round."""
    timings = Timings()
    student = keep_layers(teacher_model, [0, 2, 4])
    arguments = arguments_for(folder, steps)
    teacher, device = Teacher(teacher_model, autocast_of(arguments)), arguments.device
    keep = Keep(dtype="float32", topk=None, positions="tokens")
    precision = str(teacher.autocast or teacher_model.dtype)
    identity = Identity("text-classification", "bench", precision, {"rows": len(rows)}, "bench", keep)
    cache = TeacherCache(folder / "cache", identity)
    fill(cache, Questions(teacher.to(device), rows, collate, device))
    cached = CachedTeacher(cache, "bench", teacher_model.config, head_of(teacher_model))
    ways: dict[str, Callable[[Dataset], list[float]]] = {
        "plain": lambda part: turn(Trainer, student, part, arguments),
        "cached": lambda part: turn(DistillationTrainer, student, part, arguments, cached),
        "online": lambda part: turn(DistillationTrainer, student, part, arguments, teacher),
        "forward": lambda part: forward(teacher, part, device),
    }
    for number in range(rounds):
        part = rows.select(range(number * BATCH * steps, (number + 1) * BATCH * steps))
        names = list(ways)[number % len(ways) :] + list(ways)[: number % len(ways)]
        for name in names if number % 2 else names[::-1]:
            getattr(timings, name).extend(ways[name](part)[WARM_UP:])
    return timings


def measure_compiled(teacher_model: Any) -> dict[str, float]:
    """A step of distillation with `torch.compile` over one without; and what compiling costs."""
    rows, student = make_rows(BATCH * COMPILE_STEPS), keep_layers(teacher_model, [0, 2, 4])
    seconds: dict[bool, list[float]] = {False: [], True: []}
    extra = []
    with TemporaryDirectory(prefix="hfcompress-bench-") as name:
        folder = Path(name)
        teacher = Teacher(teacher_model, autocast_of(arguments_for(folder, COMPILE_STEPS)))
        for number in range(COMPILE_TURNS):
            for compiled in (False, True) if number % 2 else (True, False):
                arguments = arguments_for(folder, COMPILE_STEPS, compiled)
                found = turn(DistillationTrainer, student, rows, arguments, teacher)
                seconds[compiled] += found[COMPILE_WARM_UP:]
                if compiled:
                    extra.append(sum(found[:COMPILE_WARM_UP]))
    pairs = zip(seconds[True], seconds[False], strict=True)
    return {
        "compiled_step_ratio": statistics.median(ours / theirs for ours, theirs in pairs),
        "first_steps_s": statistics.median(extra),
    }


def arguments_for(folder: Path, steps: int, compiled: bool = False) -> DistillationArguments:
    """The same for all ways."""
    bf16 = torch.cuda.is_bf16_supported() if torch.cuda.is_available() else has_bf16()
    return DistillationArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=BATCH,
        bf16=bf16,
        save_strategy="no",
        logging_strategy="no",
        length_grouped=False,
        use_cpu=not torch.cuda.is_available(),
        disable_tqdm=True,
        torch_compile=compiled,
        seed=0,
    )


def turn(
    kind: Any, student: Any, rows: Dataset, arguments: DistillationArguments, teacher: Teacher | None = None
) -> list[float]:
    """Seconds of each step of one way. The rows come in their own order, so that step i has one batch in all ways."""
    watch = Stopwatch()
    trainer = kind(
        model=student,
        args=arguments,
        train_dataset=rows,
        data_collator=as_tensors if teacher else without_row_id,
        callbacks=[watch],
        **({"teacher": teacher} if teacher else {}),
    )
    remove_default_progress_(trainer)
    trainer._get_train_sampler = lambda *_: torch.utils.data.SequentialSampler(rows)
    trainer.train()
    return watch.seconds


def forward(teacher: Teacher, rows: Dataset, device: torch.device) -> list[float]:
    """Seconds of the teacher's pass over each batch."""
    seconds = []
    for start in range(0, len(rows), BATCH):
        batch = as_tensors(list(rows.select(range(start, start + BATCH))))
        batch = {name: value.to(device) for name, value in batch.items()}
        since = Stopwatch._now()
        teacher.answer(batch)
        seconds.append(Stopwatch._now() - since)
    return seconds


def compare(timings: Timings) -> dict[str, float]:
    """The ratios."""
    pairs = list(zip(timings.plain, timings.cached, timings.online, timings.forward, strict=True))
    return {
        "cached_step_ratio": statistics.median(cached / plain for plain, cached, _, _ in pairs),
        "online_step_ratio": statistics.median(online / plain for plain, _, online, _ in pairs),
        "online_step_bound": 1.05 * (1 + statistics.median(asked / plain for plain, _, _, asked in pairs)),
    }


def steps_table() -> Table:
    """Without rows yet: ways, what a step of each takes, and over plain fine-tuning."""
    host = describe_host()
    where = ", ".join(host.gpus) or f"{host.cpu}, {host.cores} cores"
    table = Table(title=f"a step of {BATCH} rows, on {where}", title_justify="left")
    table.add_column("way")
    table.add_column("median ms", justify="right")
    table.add_column("against plain", justify="right")
    return table


def show(timings: Timings, figures: dict[str, float]) -> None:
    """A table for people."""
    table = steps_table()
    table.add_row("plain fine-tuning (transformers.Trainer)", in_ms(timings.plain), "1.000")
    table.add_row("distilled from a cache", in_ms(timings.cached), f"{figures['cached_step_ratio']:.3f} (at most 1.05)")
    bound = figures["online_step_bound"]
    table.add_row("teacher asked", in_ms(timings.online), f"{figures['online_step_ratio']:.3f} (at most {bound:.3f})")
    table.add_row("the teacher's forward pass alone", in_ms(timings.forward), "")
    Console().print(table)


def in_ms(seconds: list[float]) -> str:
    return f"{1000 * statistics.median(seconds):.1f}"


if __name__ == "__main__":
    main()
