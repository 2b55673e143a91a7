"""A step is the same however its rows are cut into micro-batches: uneven masks, and rows without a label, included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.test_heads import KINDS, batch_of, model_of, without_label
from tests.training.toy import logged, tiny_trainer

ROW_KEYS = ("input_ids", "attention_mask", "labels", "start_positions", "end_positions")


def rows_of(kind: str) -> list[dict[str, torch.Tensor]]:
    """Two optimizer steps of four rows; the third of each has no label."""
    batch = without_label(kind, batch_of(kind), 2)
    rows = [{name: batch[name][row] for name in ROW_KEYS if name in batch} for row in range(4)]
    return rows + rows[::-1]


def stack(rows: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def teacher_of(kind: str) -> Any:
    cls, _, _ = KINDS[kind]
    torch.manual_seed(7)
    return cls(model_of(kind).config)


@pytest.mark.parametrize("taught", [True, False], ids=["taught", "labels"])
@pytest.mark.parametrize("kind", KINDS)
def test_one_row_four_times_takes_the_step_of_four_rows(kind: str, taught: bool, tmp_path: Path) -> None:
    steps = []
    for batch, accumulation in ((4, 1), (1, 4), (2, 2)):
        training = tiny_trainer(
            tmp_path / str(batch),
            model=model_of(kind),
            teacher=teacher_of(kind) if taught else None,
            rows=rows_of(kind),
            trainer_args={"data_collator": stack},
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=accumulation,
            length_grouped=False,
            optim="sgd",
            learning_rate=0.1,
            max_grad_norm=0,
            lr_scheduler_type="constant",
            logging_steps=1,
            max_steps=2,
            **({"hidden": {"layers": "last"}} if taught else {}),
        )
        training.train()
        keys = ["loss", *(f"loss_{part}" for part in training._loss.part_names)]
        steps.append((training.model.state_dict(), {key: logged(training, key) for key in keys}))
    (whole, losses), *others = steps
    first = model_of(kind).state_dict()
    assert any((whole[name] - first[name]).abs().max() > 1e-3 for name in first)
    for weights, values in others:
        # A mean of means would be off by up to 71% of a step: the tolerance is a thousandth of one.
        torch.testing.assert_close(weights, whole, rtol=1e-4, atol=2e-6)
        for key, value in losses.items():
            assert values[key] == pytest.approx(value, rel=1e-4, abs=1e-4)
