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

import sys
from dataclasses import dataclass, field
from pathlib import Path

import transformers

from hfcompress import DistillationArguments, DistillationTrainer
from hfcompress.cli import training_script
from hfcompress.cli.training_script import DataArguments, OneStage
from hfcompress.distill.student import make_student
from hfcompress.models.loading import load_model
from hfcompress.recipe.recipe import SOURCE


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


def main() -> None:
    """Parse, train, save."""
    kinds = (ModelArguments, DataArguments, DistillationArguments)
    model, data, arguments = training_script.parse(kinds, sys.argv[1:])
    training_script.shared_folder(arguments)
    plan = stage_of(model).plan(data, arguments.seed)
    config = plan.recipe.stages["student"].distill
    if config is None:
        raise TypeError("the plan of this script has a stage that distils")
    models = {SOURCE: plan.source, **plan.outside}
    processor = plan.data.task.load_processor(plan.source.path)

    def load(folder: Path) -> transformers.PreTrainedModel:
        return load_model(folder, plan.data.task.name, trust_remote_code=plan.source.trusted)

    def make_trainer() -> DistillationTrainer:
        return DistillationTrainer(
            model=make_student(load(plan.source.path), config.student),
            teacher=[load(models[name].path) for name in plan.teachers_of("student")],
            args=arguments,
            **training_script.data_of(plan, processor, arguments),
        )

    training_script.fit(make_trainer, arguments, processor, "the student")


def stage_of(model: ModelArguments) -> OneStage:
    """The stage of a recipe that would do the same."""
    student = {"keep_layers": model.keep_layers, "architecture": model.architecture}
    named = {name: value for name, value in student.items() if value is not None}
    config = {"student": named, "teacher": model.teacher or []}
    return OneStage("student", "distill", config, model.task, model.model, model.trust_remote_code)


if __name__ == "__main__":
    training_script.run(main)
