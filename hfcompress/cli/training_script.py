"""What plain training scripts share: options and a file of them, one stage as a plan, and going on after a stop.

A script parses, builds a trainer, and calls `fit`; `run` makes errors into exit codes.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hfcompress.cli import failure
from hfcompress.distributed.shared_folder import check_shared, show_shared
from hfcompress.distributed.world import World, join, leave
from hfcompress.errors import InputError
from hfcompress.recipe import parse_recipe
from hfcompress.recipe.yaml_text import NotPlainError, read_yaml

if TYPE_CHECKING:
    import torch

    from hfcompress.pipeline.plan import Plan
    from hfcompress.training.arguments import DistillationArguments
    from hfcompress.training.trainer import DistillationTrainer


@dataclass
class DataArguments:
    """Which rows a model learns from."""

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


@dataclass(frozen=True)
class OneStage:
    """A recipe of one stage, as far as a script knows it.

    Attributes:
        name: of the stage, and of the recipe.
        verb: what the stage does.
        config: of the verb.
        task: as in a recipe.
        model: what it transforms.
        trust_remote_code: whether models may bring their own code.
    """

    name: str
    verb: str
    config: dict[str, Any]
    task: str
    model: str
    trust_remote_code: bool

    def plan(self, data: DataArguments, seed: int) -> Plan:
        """What a recipe is checked for: models, teachers, columns and labels that fit each other.

        Raises:
            InputError: what does not fit, and the way out.
        """
        from hfcompress.pipeline.plan import make_plan

        splits = {"train": data.train_split, "validation": data.validation_split}
        rows = {
            "path": data.dataset,
            "subset": data.subset,
            "columns": json.loads(data.columns or "{}"),
            "splits": {role: name for role, name in splits.items() if name is not None},
            "limit": {"train": data.train_limit} if data.train_limit else {},
            "max_length": data.max_length,
        }
        recipe = {
            "name": self.name,
            "task": self.task,
            "model": self.model,
            "data": {name: value for name, value in rows.items() if value is not None},
            # The stage is never run as such: it says what is looked at.
            "evaluate": {"gates_on": "train", "report_on": "train"},
            "seed": seed,
            "stages": {self.name: {self.verb: self.config}},
        }
        return make_plan(parse_recipe(recipe), trust_remote_code=self.trust_remote_code)


def parse(kinds: Sequence[type[Any]], words: Sequence[str]) -> tuple[Any, ...]:
    """Dataclasses from options and a `--config` file, in a world of processes that is the one that was asked for.

    Raises:
        InputError: the file cannot be read.
        LaunchError: other processes run than were asked for.
    """
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    join()  # refuses processes that are not those that were asked for
    if not torch.accelerator.is_available():
        os.environ["ACCELERATE_USE_CPU"] = "true"  # without it several processes on CPUs each believe to be alone
    return tuple(transformers.HfArgumentParser(list(kinds)).parse_args_into_dataclasses(with_config(words)))


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


def shared_folder(arguments: DistillationArguments) -> Path:
    """The folder that all processes write checkpoints into.

    Raises:
        LaunchError: some process sees another folder.
    """
    world, out = join(), Path(arguments.output_dir)
    if world.rank == 0:
        out.mkdir(parents=True, exist_ok=True)
        check_shared(out, world)
    else:
        show_shared(out, world)
    return out


def fit(
    make_trainer: Callable[[], DistillationTrainer], arguments: DistillationArguments, processor: Any, what: str
) -> None:
    """Train from the newest intact checkpoint on, with smaller batches where memory runs out, and save.

    Args:
        make_trainer: builds model and trainer anew for the `arguments`, whose batch it finds as it should be.
        arguments: of the training.
        processor: goes into the folder too.
        what: how the last line calls the model.
    """
    import transformers

    from hfcompress.training.memory import with_smaller_batches

    world, out = join(), shared_folder(arguments)

    def train(batch: int, accumulation: int) -> None:
        arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps = batch, accumulation
        transformers.set_seed(arguments.seed)
        _train(make_trainer(), processor, out, world)

    given = arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps
    with_smaller_batches(train, *given, out, lambda step: _say(world, f"out of memory: {step}"), world.size)
    _say(world, f"{what} is in {out}")
    leave()


def _train(trainer: DistillationTrainer, processor: Any, out: Path, world: World) -> None:
    from hfcompress.training.checkpoints import newest_for_all
    from hfcompress.training.saving import save_trained
    from hfcompress.training.stopping import stopping

    checkpoint, skipped = newest_for_all(out, world)
    for reason in skipped:
        _say(world, f"checkpoint skipped: {reason}")
    if checkpoint is not None:
        _say(world, f"resumes from {checkpoint.name}")
    if trainer.args.push_to_hub:
        trainer.processing_class = processor
    with stopping(trainer, world):
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    save_trained(trainer, processor, out)
    if trainer.args.push_to_hub:
        trainer.push_to_hub()


def data_of(plan: Plan, processor: Any, arguments: DistillationArguments) -> dict[str, Any]:
    """What a trainer takes of a plan's rows: datasets and what makes batches of them."""
    import torch

    collate = plan.data.task.collate(processor)

    def as_tensors(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        return {name: torch.from_numpy(array) for name, array in collate(rows).items()}

    evaluates = arguments.eval_strategy != "no"
    return {
        "train_dataset": plan.data.prepared("train", processor),
        "eval_dataset": plan.data.prepared("validation", processor) if evaluates else None,
        "data_collator": as_tensors,
    }


def run(main: Callable[[], None]) -> None:
    """Run a script: every error becomes an exit code, and SIGTERM an orderly end."""
    failure.raise_on_sigterm()
    try:
        main()
    except BaseException as error:  # noqa: BLE001 - the outermost frame: every error becomes an exit code
        sys.exit(failure.exit_code(error))


def _say(world: World, line: str) -> None:
    """Rank 0 speaks for all."""
    if world.rank == 0:
        print(line, file=sys.stderr)  # noqa: T201 - the output of a script
