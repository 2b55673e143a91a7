"""`DistillationArguments`: defaults, refusals, and the command line."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from transformers import HfArgumentParser, TrainingArguments

from hfcompress.errors import InputError
from hfcompress.training.arguments import DistillationArguments


def arguments(folder: Path, **values: Any) -> DistillationArguments:
    return DistillationArguments(output_dir=str(folder), use_cpu=True, **values)


def test_the_defaults_are_the_documented_ones(tmp_path: Path) -> None:
    ours = arguments(tmp_path)
    assert (ours.temperature, ours.kl_weight, ours.label_weight, ours.length_grouped) == (2.0, 0.9, 0.1, True)
    assert (ours.save_strategy, ours.save_steps, ours.save_total_limit, ours.logging_steps) == ("steps", 0.1, 2, 10)
    assert (ours.logging_nan_inf_filter, ours.remove_unused_columns, ours.report_to) == (False, False, [])
    assert ours.optim == "adamw_torch_fused"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": 0.0}, "temperature: Input should be greater than 0, got 0.0"),
        ({"temperature": float("nan")}, "temperature: .*finite.*, got nan"),
        ({"kl_weight": -1.0}, "kl_weight: Input should be greater than or equal to 0, got -1.0"),
        ({"label_weight": float("inf")}, "label_weight: .*finite.*, got inf"),
        ({"kl_weight": 0.0, "label_weight": 0.0}, "kl_weight, label_weight and all others are 0"),
        ({"save_total_limit": 1}, "save_total_limit should be 2 or more, got 1"),
        ({"remove_unused_columns": True}, "remove_unused_columns=True"),
        ({"logging_nan_inf_filter": True}, "logging_nan_inf_filter=True"),
        ({"auto_find_batch_size": True}, "auto_find_batch_size"),
        ({"schedules": {"hidden": {"end": 1}}}, "schedules names hidden"),
        ({"hidden": "{", "kl_weight": 1.0}, "hidden should be a mapping or its JSON"),
        (
            {"relations": {}, "gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": True}},
            "use_reentrant=True",
        ),
        ({"hub_token": "not a token but a secret"}, "hub_token would be written in clear"),
        ({"push_to_hub": True, "hub_strategy": "checkpoint"}, "hub_strategy=checkpoint uploads the state of the opt"),
        ({"push_to_hub": True, "hub_strategy": "all_checkpoints"}, "hub_strategy=all_checkpoints uploads"),
    ],
)
def test_what_cannot_work_is_refused_with_the_value(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        arguments(tmp_path, **values)


def test_the_samplers_of_transformers_that_do_not_resume_are_refused(tmp_path: Path) -> None:
    fields = {field.name for field in dataclasses.fields(TrainingArguments)}
    values = {"group_by_length": True, "train_sampling_strategy": "group_by_length"}
    for name in fields & set(values):
        with pytest.raises(InputError, match="use length_grouped=True"):
            arguments(tmp_path, **{name: values[name]})


def test_one_weight_may_be_zero_and_all_checkpoints_may_be_kept(tmp_path: Path) -> None:
    ours = arguments(tmp_path, kl_weight=0.0, label_weight=1.0, save_total_limit=None)
    assert (ours.kl_weight, ours.save_total_limit) == (0.0, None)


def test_a_command_line_sets_our_fields_and_those_of_transformers(tmp_path: Path) -> None:
    words = f"--output_dir {tmp_path} --use_cpu --temperature 4 --kl_weight 0.5 --no_length_grouped"
    (ours,) = HfArgumentParser(DistillationArguments).parse_args_into_dataclasses(
        [*words.split(), "--learning_rate", "0.001", "--report_to", "none", "--save_total_limit", "3"]
    )
    assert (ours.temperature, ours.kl_weight, ours.length_grouped) == (4.0, 0.5, False)
    assert (ours.learning_rate, ours.save_total_limit, ours.optim) == (0.001, 3, "adamw_torch_fused")


def test_a_command_line_without_our_fields_has_our_defaults(tmp_path: Path) -> None:
    (ours,) = HfArgumentParser(DistillationArguments).parse_args_into_dataclasses(
        ["--output_dir", str(tmp_path), "--use_cpu"]
    )
    assert (ours.temperature, ours.save_steps, ours.report_to) == (2.0, 0.1, [])
