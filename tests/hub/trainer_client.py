"""What the publishing process does with trainers: apart, since it imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.tiny import make_tokenizer
from tests.training.toy import rounded, sentence_pairs, tiny_bert, tiny_trainer

torch.set_num_threads(1)


def train(
    folder: str, steps: int = 2, *, qat: bool = False, calls: int = 1, blocking: bool = True, **args: Any
) -> dict[str, Any]:
    """Train a tiny student towards a teacher and its hidden states, and push it.

    Args:
        folder: `output_dir`.
        steps: of training; a checkpoint after each.
        qat: whether the model is fake-quantized.
        calls: how often `push_to_hub` is called at the end.
        blocking: of `push_to_hub`.
        args: of the trainer's arguments.
    """
    student = tiny_bert(seed=1)
    trainer = tiny_trainer(
        Path(folder),
        model=rounded(student) if qat else student,
        teacher=tiny_bert(seed=2, hidden_size=48),
        rows=sentence_pairs(16),
        hidden=None if qat else {"weight": 1.0},  # whose projections are no part of an artifact
        max_steps=steps,
        save_strategy="steps",
        save_steps=1,
        trainer_args={"processing_class": make_tokenizer()},
        **args,
    )
    trainer.train()
    pushed = [trainer.push_to_hub(blocking=blocking, tags="tiny") for _ in range(calls)]
    commits = [each if blocking else each.result() for each in pushed]
    return {
        "commits": [commit.oid for commit in commits],
        "urls": [commit.commit_url for commit in commits],
        "messages": [commit.commit_message for commit in commits],
        "local": sorted(path.name for path in Path(folder).iterdir()),
        "projections": sum("projection" in name for name, _ in trainer.model.named_parameters()),
    }


def save(folder: str, *, token_afterwards: bool = False, **args: Any) -> dict[str, Any]:
    """`save_model`, which pushes too where `push_to_hub` is asked for."""
    trainer = tiny_trainer(Path(folder), model=tiny_bert(), **args)
    if token_afterwards:
        trainer.args.set_push_to_hub("student", token="not a token but a secret")
    trainer.save_model()
    return {"local": sorted(path.name for path in Path(folder).iterdir())}
