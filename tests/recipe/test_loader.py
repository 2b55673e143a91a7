from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfcompress.errors import RecipeError
from hfcompress.recipe import SOURCE, ModelRef, dump_recipe, load_recipe, parse_recipe
from hfcompress.recipe.stages import ExportConfig, QuantizeConfig
from hfcompress.recipe.training import training_fields
from hfcompress.recipe.training_stages import DistillConfig, FinetuneConfig


def test_the_designs_example_gives_the_right_configs(example_text: str, tmp_path: Path) -> None:
    (tmp_path / "demo.yaml").write_text(example_text, encoding="utf-8")
    recipe = load_recipe(tmp_path / "demo.yaml")
    assert recipe.model == ModelRef(id=".demo/minilm")
    assert [stage.verb for stage in recipe.stages.values()] == ["finetune", "distill", "export", "quantize"]
    teacher, student, onnx, int8 = (stage.config for stage in recipe.stages.values())
    assert teacher == FinetuneConfig(training={"num_train_epochs": 2, "learning_rate": 1e-4})
    assert isinstance(student, DistillConfig)
    assert student.teacher == (ModelRef(id="teacher"),)
    assert student.student.keep_layers == (0, 2, 4)
    assert (student.temperature, student.kl_weight, student.label_weight) == (2, 0.9, 0.1)
    assert onnx == ExportConfig()
    assert int8 == QuantizeConfig(per_channel=True)
    assert recipe.benchmark.threads == 2
    assert recipe.gates[0].max_drop == {"accuracy": 0.03}


def test_a_path_may_be_a_string(example_text: str, tmp_path: Path) -> None:
    (tmp_path / "demo.yaml").write_text(example_text, encoding="utf-8")
    assert load_recipe(str(tmp_path / "demo.yaml")) == load_recipe(tmp_path / "demo.yaml")


def test_a_recipe_may_begin_at_export(example: dict[str, Any]) -> None:
    example["stages"] = {"onnx": {"export": {}}, "int8": {"quantize": {}}}
    example["data"]["splits"] = {"validation": "validation", "test": "test"}
    del example["baseline"], example["data"]["limit"]
    example["gates"] = [{"artifact": "int8", "min_speedup": 1.5}]
    recipe = parse_recipe(example)
    assert recipe.baseline_name == SOURCE
    assert recipe.source_of("onnx") == SOURCE


def test_parsing_leaves_the_given_mapping_alone(example: dict[str, Any]) -> None:
    parse_recipe(example, overrides=["seed=7", "stages.student.distill.temperature=4"])
    assert example["seed"] == 0
    assert example["stages"]["student"]["distill"]["temperature"] == 2


def test_a_dumped_recipe_loads_to_an_equal_one(example_text: str) -> None:
    recipe = parse_recipe(example_text)
    assert parse_recipe(dump_recipe(recipe)) == recipe


def test_a_dump_says_from_and_leaves_out_defaults(example_text: str) -> None:
    text = dump_recipe(parse_recipe(example_text))
    assert "    from: teacher\n" in text
    assert "export: {}" in text
    for absent in ("from_", "null", "warmup", "temperature"):
        assert absent not in text


def test_equal_recipes_dump_to_the_same_text(example_text: str) -> None:
    spelt_out = example_text.replace("onnx: {export: {}}", "onnx: {from: student, export: {first_token_only: true}}")
    spelt_out = spelt_out.replace("from: student, ", "")
    assert dump_recipe(parse_recipe(spelt_out)) == dump_recipe(parse_recipe(example_text))


_names = st.from_regex(r"[a-z0-9]{1,8}(-[a-z0-9]{1,8})?", fullmatch=True).filter(lambda name: name != SOURCE)
_texts = st.one_of(
    st.text(min_size=1, max_size=20), st.sampled_from(["no", "null", "1e-4", "2024-01-01", "~", "0o7", "=", "<<"])
)
_positive = st.floats(min_value=1e-12, max_value=1e12)


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(_names, min_size=2, max_size=2, unique=True),
    texts=st.fixed_dictionaries({"model": _texts, "path": _texts, "column": _texts, "run_name": _texts}),
    numbers=st.tuples(_positive, _positive, st.integers(0, 2**32 - 1)),
)
def test_any_recipe_survives_dump_and_load(
    names: list[str], texts: dict[str, str], numbers: tuple[float, float, int]
) -> None:
    rate, temperature, seed = numbers
    training = {"learning_rate": rate, "run_name": texts["run_name"], "save_total_limit": None}
    columns = {"text": texts["column"], "label": texts["column"] + "-label"}
    recipe = parse_recipe(
        {
            "name": names[0],
            "task": "text-classification",
            "model": {"id": texts["model"], "revision": texts["run_name"]},
            "data": {"path": texts["path"], "columns": columns},
            "seed": seed,
            "stages": {
                names[1]: {"finetune": {"training": training}},
                names[0]: {"from": names[1], "distill": {"temperature": temperature}},
            },
        }
    )
    assert parse_recipe(dump_recipe(recipe)) == recipe


def test_a_missing_file_names_its_near_neighbours(tmp_path: Path) -> None:
    (tmp_path / "sentiment.yaml").write_text("", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"there is no recipe .*sentimnt\.yaml; did you mean `.*sentiment\.yaml`\?"):
        load_recipe(tmp_path / "sentimnt.yaml")
    with pytest.raises(RecipeError, match=r"there is no recipe .*qqq; it holds `sentiment\.yaml`"):
        load_recipe(tmp_path / "qqq")
    with pytest.raises(RecipeError, match=r"there is no folder .*nowhere either"):
        load_recipe(tmp_path / "nowhere" / "x.yaml")


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"is a folder, not a recipe; it holds `a\.yaml`"):
        load_recipe(tmp_path)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"a: " + b"x" * 1_000_000, "is larger than 1 MB"),
        (b"name: caf\xe9\n", "is not UTF-8 at byte 9"),
        (b"", "should hold a mapping with `name`, `task`, .* got nothing; `hfcompress init`"),
        (b"- a\n- b\n", "should hold a mapping .* got a list"),
        (b"just words\n", "should hold a mapping .* got a str"),
        (b"a: [1\nb: 2\n", r"is not valid YAML: line 2, column 2: expected ',' or ']'"),
        (b"name: a\nseed: 1\nname: b\n", r'is not valid YAML: line 3, column 1: found duplicate key "name"$'),
        (b"data: {path: a, path: b}\n", r'is not valid YAML: line 1, column 17: found duplicate key "path"$'),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(content)
    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe(tmp_path / "x.yaml")
    assert str(tmp_path / "x.yaml") in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_byte_order_mark_is_no_fault(example_text: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(example_text, encoding="utf-8-sig")
    assert load_recipe(tmp_path / "x.yaml") == parse_recipe(example_text)


def test_numbers_and_words_are_yaml_1_2(example: dict[str, Any], example_text: str) -> None:
    recipe = parse_recipe(example_text.replace("learning_rate: 1e-4", "learning_rate: 1e-5, save_strategy: no"))
    config = recipe.stages["teacher"].config
    assert isinstance(config, FinetuneConfig)
    assert config.training["learning_rate"] == 1e-5
    assert config.training["save_strategy"] == "no"
    example["name"] = "2024-01-01"
    assert parse_recipe(dump_recipe(parse_recipe(example))).name == "2024-01-01"


def test_a_training_field_that_may_be_none_takes_null(example: dict[str, Any]) -> None:
    example["stages"]["teacher"]["finetune"]["training"]["save_total_limit"] = None
    parse_recipe(example)
    assert training_fields()["save_total_limit"] == (int | None)
    assert training_fields()["learning_rate"] is float
