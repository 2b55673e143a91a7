"""Distil one model without a recipe: a plain training script, alone, under `accelerate launch` or under torchrun.

    python scripts/distill.py --model runs/demo/artifacts/teacher --keep_layers 0 2 4 --dataset .demo/reviews \
        --output_dir out/student --num_train_epochs 3 --learning_rate 2e-4
    accelerate launch scripts/distill.py --config distill.yaml --seed 1

Every field of `ModelArguments`, `DataArguments` and `hfcompress.DistillationArguments` is an option (`--help`), and a
key of the YAML file; options win over the file. Run it again to go on from the newest intact checkpoint in
`output_dir`; another training wants another `output_dir`. The student is left there, in a folder that stands on its
own.

It measures nothing and writes no manifest: `hfcompress run` does, and trains with the same code.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import HfArgumentParser

from hfcompress import DistillationArguments, DistillationTrainer
from hfcompress.cli import failure
from hfcompress.distill.student import make_student
from hfcompress.distributed.shared_folder import check_shared, show_shared
from hfcompress.distributed.world import World, join, leave
from hfcompress.errors import InputError
from hfcompress.models.loading import load_model
from hfcompress.pipeline.plan import Plan, make_plan
from hfcompress.recipe import parse_recipe
from hfcompress.recipe.recipe import SOURCE
from hfcompress.recipe.yaml_text import NotPlainError, read_yaml
from hfcompress.training.checkpoints import newest_for_all
from hfcompress.training.memory import with_smaller_batches
from hfcompress.training.saving import save_trained
from hfcompress.training.stopping import stopping


@dataclass
class ModelArguments:
    """Which model learns from which."""

    model: str = field(metadata={"help": "What the student is made from: a fine-tuned model, a folder or a Hub id."})
    teacher: list[str] | None = field(
        default=None, metadata={"help": "Folders or Hub ids of one teacher or several; default: --model."}
    )
    task: str = field(default="text-classification", metadata={"help": "As in a recipe."})
    keep_layers: list[int] | None = field(
        default=None, metadata={"help": "Layers of --model that the student keeps; default: all."}
    )
    architecture: str | None = field(default=None, metadata={"help": "`distilbert` makes a DistilBERT from a BERT."})
    trust_remote_code: bool = field(default=False, metadata={"help": "Let a model run code of its own."})


@dataclass
class DataArguments:
    """Which rows it learns from."""

    dataset: str = field(metadata={"help": "A Hub id, a csv, json or parquet file, a folder of them, a saved dataset."})
    subset: str | None = field(default=None, metadata={"help": "The configuration of a Hub dataset."})
    columns: str | None = field(
        default=None, metadata={"help": 'The columns of the task\'s roles, as JSON: {"text": "sentence"}.'}
    )
    train_split: str = field(default="train", metadata={"help": "The split to train on."})
    validation_split: str | None = field(
        default=None, metadata={"help": "The split for eval_loss, where --eval_strategy asks for it."}
    )
    train_limit: int | None = field(default=None, metadata={"help": "Most rows to train on, drawn by the seed."})
    max_length: int = field(default=128, metadata={"help": "Tokens after which text is cut."})


def main() -> None:
    """Parse, train, save."""
    transformers.logging.set_verbosity_error()
    world = join()  # refuses processes that are not those that were asked for
    if not torch.accelerator.is_available():
        os.environ["ACCELERATE_USE_CPU"] = "true"  # without it several processes on CPUs each believe to be alone
    parser = HfArgumentParser([ModelArguments, DataArguments, DistillationArguments])
    model, data, arguments = parser.parse_args_into_dataclasses(with_config(sys.argv[1:]))
    out = Path(arguments.output_dir)
    if world.rank == 0:
        out.mkdir(parents=True, exist_ok=True)
        check_shared(out, world)
    else:
        show_shared(out, world)
    plan = plan_of(model, data, arguments)

    def train(batch: int, accumulation: int) -> None:
        arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps = batch, accumulation
        distil(plan, arguments, world)

    given = arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps
    with_smaller_batches(train, *given, out, lambda step: say(world, f"out of memory: {step}"), world.size)
    say(world, f"the student is in {out}")
    leave()


def with_config(words: Sequence[str]) -> list[str]:
    """Put what a `--config` file says in front of the options, as options, so that those of the command win."""
    words = list(words)
    if "--config" not in words:
        return words
    place = words.index("--config")
    path, rest = Path(*words[place + 1 : place + 2]), [*words[:place], *words[place + 2 :]]
    try:
        given = read_yaml(path.read_text(encoding="utf-8"))
    except (NotPlainError, OSError, UnicodeDecodeError) as error:
        raise InputError(f"--config {path} cannot be read: {error}") from error
    if not isinstance(given, dict):
        raise InputError(f"--config {path} should map options to values, as in `learning_rate: 2e-4`")
    return [word for name, value in given.items() if value is not None for word in _option(name, value)] + rest


def _option(name: str, value: Any) -> list[str]:
    if isinstance(value, list):
        return [f"--{name}", *map(str, value)]
    return [f"--{name}", json.dumps(value) if isinstance(value, dict) else str(value)]


def plan_of(model: ModelArguments, data: DataArguments, arguments: DistillationArguments) -> Plan:
    """What a recipe of one stage would be checked for: models, teachers, columns and labels that fit each other."""
    splits = {"train": data.train_split, "validation": data.validation_split}
    rows = {
        "path": data.dataset,
        "subset": data.subset,
        "columns": json.loads(data.columns or "{}"),
        "splits": {role: name for role, name in splits.items() if name is not None},
        "limit": {"train": data.train_limit} if data.train_limit else {},
        "max_length": data.max_length,
    }
    student = {"keep_layers": model.keep_layers, "architecture": model.architecture}
    named = {name: value for name, value in student.items() if value is not None}
    recipe = {
        "name": "distill",
        "task": model.task,
        "model": model.model,
        "data": {name: value for name, value in rows.items() if value is not None},
        # The stage is never run as such: it says what is looked at.
        "evaluate": {"gates_on": "train", "report_on": "train"},
        "seed": arguments.seed,
        "stages": {"student": {"distill": {"student": named, "teacher": model.teacher or []}}},
    }
    return make_plan(parse_recipe(recipe), trust_remote_code=model.trust_remote_code)


def distil(plan: Plan, arguments: DistillationArguments, world: World) -> None:
    """Train the student from where it stopped, and save it."""
    task, out = plan.data.task, Path(arguments.output_dir)
    transformers.set_seed(arguments.seed)

    def load(folder: Path) -> transformers.PreTrainedModel:
        return load_model(folder, task.name, trust_remote_code=plan.source.trusted)

    config = plan.recipe.stages["student"].distill
    if config is None:
        raise TypeError("the plan of this script has a stage that distils")
    models = {SOURCE: plan.source, **plan.outside}
    processor = task.load_processor(plan.source.path)
    collate = task.collate(processor)
    trainer = DistillationTrainer(
        model=make_student(load(plan.source.path), config.student),
        teacher=[load(models[name].path) for name in plan.teachers_of("student")],
        args=arguments,
        train_dataset=plan.data.prepared("train", processor),
        eval_dataset=plan.data.prepared("validation", processor) if arguments.eval_strategy != "no" else None,
        data_collator=lambda rows: {name: torch.from_numpy(array) for name, array in collate(rows).items()},
    )
    checkpoint, skipped = newest_for_all(out, world)
    for reason in skipped:
        say(world, f"checkpoint skipped: {reason}")
    if checkpoint is not None:
        say(world, f"resumes from {checkpoint.name}")
    with stopping(trainer, world):
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    save_trained(trainer, processor, out)


def say(world: World, line: str) -> None:
    """Rank 0 speaks for all."""
    if world.rank == 0:
        print(line, file=sys.stderr)


if __name__ == "__main__":
    failure.raise_on_sigterm()
    try:
        main()
    except BaseException as error:  # noqa: BLE001 - the outermost frame: every error becomes an exit code
        sys.exit(failure.exit_code(error))
