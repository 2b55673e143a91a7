from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any, get_args

import pytest

from hfcompress.errors import RecipeError
from hfcompress.recipe import parse_recipe
from hfcompress.recipe.tasks import Metric, TaskName
from hfcompress.recipe.training import training_fields

Faults = Callable[[Any], list[str]]
TOKEN = "hf_" + "aB3" * 11


def broken(recipe: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    place: Any = recipe
    *parents, last = path.split("/")
    for part in parents:
        place = place[int(part) if isinstance(place, list) else part]
    place[last] = value
    return recipe


def test_the_designs_example_of_an_error(example: dict[str, Any]) -> None:
    example["name"] = "Bad Name"
    example["stages"]["student"]["distill"]["temprature"] = example["stages"]["student"]["distill"].pop("temperature")
    del example["stages"]["onnx"]
    with pytest.raises(RecipeError) as caught:
        parse_recipe(example, origin="recipes/x.yaml")
    assert str(caught.value) == (
        "recipes/x.yaml is not a valid recipe:\n"
        "  name: should be lower-case words joined by '-', got 'Bad Name'\n"
        "  stages.student.distill.temprature: unknown key; did you mean `temperature`?\n"
        "  stages.int8: takes onnx or openvino, but `student` gives torch; put an `export` stage between them"
    )


_METRICS = ", ".join(f"`{metric}`" for metric in get_args(Metric))
_TASKS = ", ".join(f"`{task}`" for task in get_args(TaskName))


@pytest.mark.parametrize(
    "path, value, line",
    [
        ("nam", "x", "nam: unknown key; did you mean `name`?"),
        ("Seed", 1, "Seed: unknown key; did you mean `seed`?"),
        ("max_length", 9, "max_length: unknown key here; it belongs inside `data`"),
        ("name", "x" * 61, f"name: should be at most 60 characters, got '{'x' * 76}"[:-20]),
        ("name", 7, "name: should be text, got 7; put it in quotes"),
        ("name", None, "name: should be text, got null"),
        (
            "task",
            "text-clasification",
            f"task: should be one of {_TASKS}, got 'text-clasification'; did you mean `text-classification`?",
        ),
        ("model", 5, "model: should be a local folder or a Hub id, got 5"),
        ("model", "", "model.id: should not be empty, got ''"),
        ("model", {"id": "a/b", "revison": "c"}, "model.revison: unknown key; did you mean `revision`?"),
        ("seed", -1, "seed: should be at least 0, got -1"),
        ("seed", 1.5, "seed: should be a whole number, got 1.5"),
        ("seed", 2**32, "seed: should be below 4,294,967,296, got 4294967296"),
        ("data", None, "data: should be a mapping, got null; fill it in, or remove it"),
        ("data/splits/trian", "x", "data.splits.trian: unknown key; did you mean `train`?"),
        ("data/limit", {"train": 0}, "data.limit.train: should be above 0, got 0"),
        ("data/columns", "text", "data.columns: should be a mapping, got 'text'"),
        (
            "evaluate/metrics",
            ["acuracy"],
            f"evaluate.metrics.0: should be one of {_METRICS}, got 'acuracy'; did you mean `accuracy`?",
        ),
        ("benchmark/batch", [1, "x"], "benchmark.batch.1: should be a whole number, got 'x'"),
        ("benchmark/batch", 1, "benchmark.batch: should be a list, got 1"),
        ("benchmark/batch", [], "benchmark.batch: should hold at least 1 item, got []"),
        ("benchmark/stream", {"passes": 1}, "benchmark.stream.passes: should be at least 3, got 1"),
        ("stages", {}, "stages: should hold at least 1 item, got {}"),
        ("stages/Bad Stage", {"export": {}, "from": "student"}, "stages.Bad Stage: should be lower-case words"),
        ("stages/onnx", "export", "stages.onnx: should be a mapping, got 'export'"),
        ("stages/onnx/exprt", {}, "stages.onnx.exprt: unknown key; did you mean `export`?"),
        ("stages/onnx/form", "student", "stages.onnx.form: unknown key; did you mean `from`?"),
        (
            "stages/onnx/quantize",
            {},
            "stages.onnx: a stage holds exactly one of finetune, distill, qat, export, quantize, engine, "
            "got export and quantize",
        ),
        (
            "stages/onnx",
            {"export": None},
            "stages.onnx: a stage holds exactly one of finetune, distill, qat, export, quantize, engine, got none; "
            "write `export: {}`",
        ),
        (
            "stages/student/distill/student/keep_layers",
            [2, 1],
            "stages.student.distill.student: keep_layers should ascend without repetition, got [2, 1]",
        ),
        (
            "stages/student/distill/teacher_weights",
            [1, 2],
            "stages.student.distill: teacher_weights should hold 1, one for each teacher, got (1.0, 2.0)",
        ),
        (
            "stages/student/distill",
            {"kl_weight": 0, "teacher_cache": "on"},
            "stages.student.distill: teacher_cache is on, and nothing is learned from a teacher; "
            "give kl_weight a value",
        ),
        (
            "stages/student/distill/hidden",
            {"layers": "unifrm"},
            "stages.student.distill.hidden.layers: should be uniform, last, or student's layers to teacher's "
            '({"0": 1, "1": 3}), got \'unifrm\'',
        ),
        (
            "stages/student/distill/schedules",
            {"kll": {"end": 0}},
            "stages.student.distill.schedules.kll: unknown key; did you mean `kl`?",
        ),
        (
            "stages/student/distill/learning_rate",
            1,
            "stages.student.distill.learning_rate: unknown key here; it belongs inside `training`",
        ),
        ("stages/student/distill/temperature", float("inf"), "should be a finite number, got inf"),
        (
            "stages/teacher/finetune/training/num_train_epoch",
            3,
            "stages.teacher.finetune.training.num_train_epoch: unknown key; did you mean `num_train_epochs`?",
        ),
        (
            "stages/teacher/finetune/training/qqqqqq",
            3,
            "stages.teacher.finetune.training.qqqqqq: unknown key; transformers ",
        ),
        (
            "stages/teacher/finetune/training/learning_rate",
            "fast",
            "stages.teacher.finetune.training.learning_rate: should be a number, got 'fast'",
        ),
        (
            "stages/teacher/finetune/training/bf16",
            "yes",
            "stages.teacher.finetune.training.bf16: should be true or false, got 'yes'",
        ),
        (
            "stages/teacher/finetune/training/seed",
            3,
            "stages.teacher.finetune.training.seed: cannot be set here; use `seed` at the top of the recipe",
        ),
        ("stages/teacher/finetune/training/fsdp_config", "x", "training.fsdp_config: cannot be set here; use an acc"),
        ("stages/teacher/finetune/training/output_dir", "x", "training.output_dir: cannot be set here; the run folder"),
        ("gates/0/min_speedup", 0, "gates.0.min_speedup: should be above 0, got 0"),
        ("gates/0/max_drop", {"acc": 0.1}, "gates.0.max_drop.acc: unknown key; "),
        ("gates/0/max_drop", {"accuracy": 3}, "gates.0.max_drop.accuracy: should be at most 1, got 3"),
        ("gates", [{"artifact": "int8"}], "gates.0: a gate needs a bound: max_drop, max_rise, min_speedup, "),
        ("gates", {"artifact": "int8"}, "gates: should be a list, got {artifact: 'int8'}"),
    ],
)
def test_a_fault_names_its_place_value_and_way_out(
    path: str, value: Any, line: str, example: dict[str, Any], faults: Faults
) -> None:
    found = faults(broken(example, path, value))
    assert any(line in fault for fault in found), found


def test_one_misspelt_key_is_one_fault(example: dict[str, Any], faults: Faults) -> None:
    example["taks"] = example.pop("task")
    assert faults(example) == ["taks: unknown key; did you mean `task`?"]


def test_a_missing_block_is_named(example: dict[str, Any], faults: Faults) -> None:
    del example["data"]
    assert faults(example) == ["data: is missing"]


def test_a_misspelt_from_is_not_also_a_wrong_format(example: dict[str, Any], faults: Faults) -> None:
    example["stages"] = {"onnx": {"export": {}}, "student": {"form": "source", "distill": {}}}
    del example["baseline"], example["gates"]
    assert faults(example) == ["stages.student.form: unknown key; did you mean `from`?"]


def test_faults_come_in_the_order_of_the_file(example: dict[str, Any], faults: Faults) -> None:
    broken(example, "gates/0/artifact", "int9")
    broken(example, "stages/teacher/finetune/training/lr", 1)
    broken(example, "stages/onnx/from", "studnt")
    broken(example, "model", "")
    assert [fault.split(":")[0] for fault in faults(example)] == [
        "model.id",
        "stages.teacher.finetune.training.lr",
        "stages.onnx.from",
        "gates.0.artifact",
    ]


def test_a_long_value_is_shortened(example: dict[str, Any], faults: Faults) -> None:
    (line,) = faults(broken(example, "task", "x" * 5000))
    assert len(line) < 250
    assert "xxx..." in line


def test_control_characters_do_not_reach_the_terminal(example: dict[str, Any], faults: Faults) -> None:
    example["stages"]["a\x1b[31m"] = {"from": "b\nc", "export": {}}
    example["\x07"] = 1
    assert all(line.isprintable() for line in faults(example))


@pytest.mark.parametrize(
    "path",
    ["name", "task", TOKEN, "stages/teacher/finetune/training/bf16", "stages/teacher/finetune/training/hub_token"],
)
def test_a_token_is_never_printed(path: str, example: dict[str, Any]) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(broken(example, path, TOKEN if path != "name" else "x" * 70 + " " + TOKEN), origin="x.yaml")
    assert "aB3aB3" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "text", [f"a: {TOKEN}\na: {TOKEN}", f"a: [{TOKEN}", f"{TOKEN}: 1\n{TOKEN}: 2", f"? {{{TOKEN}: 1}}\n: 1"]
)
def test_a_token_is_not_printed_from_broken_yaml(text: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text)
    assert "aB3aB3" not in str(caught.value)


def test_training_keys_are_those_of_the_installed_transformers() -> None:
    fields = training_fields()
    assert {"learning_rate", "num_train_epochs", "weight_decay", "length_grouped"} <= set(fields)
    assert not {"output_dir", "seed", "hub_token", "fsdp", "deepspeed", "push_to_hub", "save_safetensors"} & set(fields)
