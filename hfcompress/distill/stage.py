"""The stages `finetune` and `distill`: load, train, save. The arithmetic is in `training/`."""

from __future__ import annotations

from typing import Any

from hfcompress.artifact import Artifact
from hfcompress.distill.student import load_student
from hfcompress.models.loading import load_model
from hfcompress.recipe.training_stages import DistillConfig, FinetuneConfig
from hfcompress.stage import Inputs, Run
from hfcompress.training.stage_run import Lesson, arguments_for, carry_code, seeded_processor, train, within_memory
from hfcompress.training.stage_teachers import Taught, teacher_of


def finetune(config: FinetuneConfig, inputs: Inputs, run: Run) -> Artifact:
    """Fine-tune the source on the labels; its head is new where the source has none for these labels."""
    from hfcompress.training.arguments import DistillationArguments
    from hfcompress.training.trainer import DistillationTrainer

    def once(fields: dict[str, Any]) -> Artifact:
        processor = seeded_processor(inputs.source, run)
        labels = run.data.labels
        model = load_model(inputs.source.path, run.task, labels=labels, trust_remote_code=inputs.source.trusted)
        lesson = Lesson(model, run.data.prepared("train", processor), processor)
        return train(lesson, arguments_for(run, fields, DistillationArguments), run, DistillationTrainer)

    carry_code(inputs.source, run)
    return within_memory(once, {"kl_weight": 0.0, "label_weight": 1.0, **config.training}, run)


def distill(config: DistillConfig, inputs: Inputs, run: Run) -> Artifact:
    """Train a student, made from the source, towards its teachers and the labels."""
    from hfcompress.training.arguments import DistillationArguments
    from hfcompress.training.trainer import DistillationTrainer

    def once(fields: dict[str, Any]) -> Artifact:
        processor = seeded_processor(inputs.student or inputs.source, run)
        student = load_student(config.student, inputs, run)
        arguments = arguments_for(run, fields, DistillationArguments)
        rows = run.data.prepared("train", processor, unlabeled=True)
        teacher = teacher_of(config, inputs, Taught(processor, len(rows), arguments), run)
        return train(Lesson(student, rows, processor, teacher), arguments, run, DistillationTrainer)

    carry_code(inputs.student or inputs.source, run)
    return within_memory(once, config.trainer_fields(), run)
