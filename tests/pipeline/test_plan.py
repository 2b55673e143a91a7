"""Bad input is found before any long work: one clear error with the value and the way out, and nothing is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hfcompress.errors import InputError
from hfcompress.pipeline.build import Made, Options, build, key_of, outside
from hfcompress.pipeline.dry_run import plan_recipe
from hfcompress.pipeline.folder import RunFolder
from hfcompress.pipeline.lead import Lead
from hfcompress.pipeline.plan import estimate_bytes, make_plan
from hfcompress.pipeline.run import run_recipe
from hfcompress.progress import SILENT
from hfcompress.recipe import parse_recipe
from tests import tiny

Change = Callable[[dict[str, Any], Path], None]


@pytest.fixture
def recipe(encoder: Path, reviews: Path) -> dict[str, Any]:
    made = tiny.text_recipe(encoder, reviews)
    del made["stages"]["onnx"], made["stages"]["int8"]  # so that the tests run without Optimum
    return made


def edit_config(source: Path, target: Path, **fields: Any) -> str:
    shutil.copytree(source, target)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, **fields}))
    return str(target)


def no_such_column(recipe: dict[str, Any], tmp: Path) -> None:
    recipe["data"]["columns"] = {"text": "sentence"}


def no_such_split(recipe: dict[str, Any], tmp: Path) -> None:
    recipe["data"]["splits"] = {"train": "train", "validation": "dev", "test": "test"}


def empty_split(recipe: dict[str, Any], tmp: Path) -> None:
    shutil.copytree(recipe["data"]["path"], tmp / "data")
    recipe["data"]["path"] = str(tmp / "data")
    (tmp / "data" / "test.csv").write_text("id,text,label\n")


def labels_with_a_gap(recipe: dict[str, Any], tmp: Path) -> None:
    rewrite_labels(recipe, tmp, {"negative": "0", "positive": "2"})


def a_label_that_training_lacks(recipe: dict[str, Any], tmp: Path) -> None:
    rewrite_labels(recipe, tmp, {"negative": "neutral"}, splits=("validation",))


def rewrite_labels(
    recipe: dict[str, Any], tmp: Path, names: dict[str, str], splits: tuple[str, ...] = ("train", "validation", "test")
) -> None:
    shutil.copytree(recipe["data"]["path"], tmp / "data")
    recipe["data"]["path"] = str(tmp / "data")
    for split in splits:
        path = tmp / "data" / f"{split}.csv"
        text = path.read_text()
        for old, new in names.items():
            text = text.replace(f",{old}", f",{new}")
        path.write_text(text)


def no_such_data(recipe: dict[str, Any], tmp: Path) -> None:
    recipe["data"]["path"] = str(tmp / "nowhere.csv")


def no_such_model(recipe: dict[str, Any], tmp: Path) -> None:
    recipe["model"] = "nobody/nothing"


def a_pickle(recipe: dict[str, Any], tmp: Path) -> None:
    shutil.copytree(recipe["model"], tmp / "model")
    (tmp / "model" / "model.safetensors").rename(tmp / "model" / "pytorch_model.bin")
    recipe["model"] = str(tmp / "model")


def remote_code(recipe: dict[str, Any], tmp: Path) -> None:
    recipe["model"] = edit_config(Path(recipe["model"]), tmp / "model", auto_map={"AutoModel": "modeling.Own"})


def no_tokenizer(recipe: dict[str, Any], tmp: Path) -> None:
    shutil.copytree(recipe["model"], tmp / "model")
    for path in (tmp / "model").glob("*token*"):
        path.unlink()
    recipe["model"] = str(tmp / "model")


def a_layer_that_is_not_there(recipe: dict[str, Any], tmp: Path) -> None:
    recipe["stages"]["student"]["distill"]["student"] = {"keep_layers": [0, 4]}


def a_family_without_an_entry(recipe: dict[str, Any], tmp: Path) -> None:
    recipe["model"] = edit_config(Path(recipe["model"]), tmp / "model", model_type="convbert")


def a_layer_that_an_earlier_student_lost(recipe: dict[str, Any], tmp: Path) -> None:
    recipe["stages"]["smaller"] = {"distill": {"student": {"keep_layers": [0, 3]}}}


def a_config_of_another_family(recipe: dict[str, Any], tmp: Path) -> None:
    recipe["stages"]["student"]["distill"]["student"] = {"config": {"embed_dim": 16}}


def a_config_that_gives_no_model(recipe: dict[str, Any], tmp: Path) -> None:
    recipe["stages"]["student"]["distill"]["student"] = {"config": {"hidden_size": 33}}


def a_distilbert_of_an_electra(recipe: dict[str, Any], tmp: Path) -> None:
    recipe["model"] = edit_config(Path(recipe["model"]), tmp / "model", model_type="electra")
    recipe["stages"]["student"]["distill"]["student"] = {"architecture": "distilbert"}


def a_checkpoint_with_another_vocabulary(recipe: dict[str, Any], tmp: Path) -> None:
    a_teacher_with_another_vocabulary(recipe, tmp)
    named = recipe["stages"]["student"]["distill"].pop("teacher")
    del recipe["stages"]["student"]["distill"]["teacher_cache"]
    recipe["stages"]["student"]["distill"]["student"] = {"model": named}


def a_checkpoint_that_is_a_pickle(recipe: dict[str, Any], tmp: Path) -> None:
    folder = tiny.save_bert(tmp / "other")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    recipe["stages"]["student"]["distill"]["student"] = {"model": str(folder)}


def a_teacher_with_other_labels(recipe: dict[str, Any], tmp: Path) -> None:
    labels = {"id2label": {0: "bad", 1: "good"}, "label2id": {"bad": 0, "good": 1}}
    recipe["stages"]["student"]["distill"]["teacher"] = str(tiny.save_bert(tmp / "other", head=True, **labels))


def a_teacher_with_another_vocabulary(recipe: dict[str, Any], tmp: Path) -> None:
    folder = tiny.save_bert(tmp / "other", head=True)
    path = folder / "tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"word7"', '"word77"'), encoding="utf-8")
    recipe["stages"]["student"]["distill"] |= {"teacher": str(folder), "teacher_cache": "off"}


def a_source_without_a_head(recipe: dict[str, Any], tmp: Path) -> None:
    del recipe["stages"]["teacher"]


def a_gate_against_an_unmeasured_source(recipe: dict[str, Any], tmp: Path) -> None:
    recipe["gates"] = [{"artifact": "student", "against": "source", "max_drop": {"accuracy": 0.1}}]


BAD: dict[Change, str] = {
    no_such_column: r"split `train` .* has no column `sentence` \(data\.columns\.text\); it has: id, text, label",
    no_such_split: r"has no split `dev` \(data\.splits\.validation\); it has: test, train, validation",
    empty_split: r"split `test` .* has no rows",
    labels_with_a_gap: r"should hold the labels 0\.\.n-1, got 0, 2; renumber",
    a_label_that_training_lacks: r"split `validation` holds the label 'neutral' in row \d+, which is none of",
    no_such_data: r"data\.path .*nowhere\.csv.* cannot be loaded: .*give a csv, json or parquet file",
    no_such_model: r"model 'nobody/nothing' is no local folder and could not be had from the Hub",
    a_pickle: r"weights as a pickle \(pytorch_model\.bin\) and no safetensors.*save_pretrained",
    remote_code: r"asks to run its own code \(modeling\.Own\).*--trust-remote-code",
    no_tokenizer: r"holds no tokenizer that can be loaded",
    a_layer_that_an_earlier_student_lost: r"stages\.smaller: keep_layers asks for layer 3, but the model has 2 layers",
    a_config_of_another_family: r"stages\.student: student\.config names 'embed_dim', .*config of bert",
    a_config_that_gives_no_model: r"stages\.student: there is no bert of this config: .*not a multiple",
    a_distilbert_of_an_electra: r"stages\.student: architecture: distilbert needs a BERT, got the family 'electra'",
    a_checkpoint_with_another_vocabulary: r"student's checkpoint .* does not fit `from`: .*other vocabularies",
    a_checkpoint_that_is_a_pickle: r"weights as a pickle",
    a_layer_that_is_not_there: r"stages\.student: keep_layers asks for layer 4, but the model has 4 layers \(0 to 3\)",
    a_family_without_an_entry: r"the family 'convbert'.*architectures\.py",
    a_teacher_with_other_labels: r"label their outputs differently: .* has bad, good, the student negative, positive",
    a_teacher_with_another_vocabulary: r"does not fit the student: their tokenizers have other vocabularies",
    a_source_without_a_head: r"takes `source`, but .* has no head for text-classification",
    a_gate_against_an_unmeasured_source: r"`source` is compared with.*cannot be measured",
}


@pytest.mark.parametrize("change", BAD, ids=lambda change: change.__name__)
def test_bad_input_is_refused_and_nothing_is_written(recipe: dict[str, Any], tmp_path: Path, change: Change) -> None:
    change(recipe, tmp_path)
    with pytest.raises(InputError, match=f"(?s){BAD[change]}") as raised:
        run_recipe(parse_recipe(recipe), out=tmp_path / "run")
    assert raised.value.exit_code == 2
    assert not (tmp_path / "run").exists()


def test_a_missing_extra_is_named_with_its_install_command(
    encoder: Path, reviews: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hfcompress.extras.EXTRAS", {"onnxruntime": ("no_such_module",)})
    with pytest.raises(
        InputError, match=r"`onnx` \(export\) needs no_such_module.*pip install 'hfcompress\[onnxruntime\]'"
    ):
        make_plan(parse_recipe(tiny.text_recipe(encoder, reviews)))


def test_a_dry_run_writes_nothing_and_guesses_sizes(recipe: dict[str, Any], tmp_path: Path) -> None:
    planned = plan_recipe(parse_recipe(recipe), tmp_path / "run")
    assert [(stage.name, stage.verb, stage.source, stage.cached) for stage in planned] == [
        ("teacher", "finetune", "source", False),
        ("student", "distill", "teacher", False),
    ]
    assert planned[1].size_mb < planned[0].size_mb
    assert not (tmp_path / "run").exists()


@pytest.mark.export
def test_guessed_sizes_shrink_with_layers_and_int8(encoder: Path, reviews: Path) -> None:
    plan = make_plan(parse_recipe(tiny.text_recipe(encoder, reviews)))
    guesses = estimate_bytes(plan)
    assert guesses["teacher"] > guesses["student"] == guesses["onnx"] > guesses["int8"]


def test_another_checkpoint_is_resolved_and_its_digest_is_in_the_key(recipe: dict[str, Any], tmp_path: Path) -> None:
    keys = []
    for seed in (1, 2, 1):
        folder = tiny.save_bert(tmp_path / f"small-{len(keys)}", layers=2, seed=seed)
        recipe["stages"]["student"]["distill"]["student"] = {"model": str(folder)}
        plan = make_plan(parse_recipe(recipe))
        made = {**outside(plan), "teacher": Made(plan.source, "a" * 64)}
        assert plan.student_of("student") == str(folder)
        assert plan.outside[str(folder)].path == folder
        keys.append(key_of(plan, "student", made))
    assert keys[0] == keys[2] != keys[1]


def test_a_students_size_follows_from_what_it_starts_from(recipe: dict[str, Any], tmp_path: Path) -> None:
    small = tiny.save_bert(tmp_path / "small", layers=1, head=True)
    sizes = {}
    for name, says in {
        "whole": {},
        "layers": {"keep_layers": [0, 2]},
        "checkpoint": {"model": str(small)},
        "narrower": {"config": {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1}},
    }.items():
        recipe["stages"]["student"]["distill"]["student"] = says
        sizes[name] = estimate_bytes(make_plan(parse_recipe(recipe)))["student"]
    assert sizes["whole"] > sizes["layers"] > sizes["checkpoint"] > sizes["narrower"]
    assert sizes["checkpoint"] == pytest.approx((small / "model.safetensors").stat().st_size, rel=0.1)


def test_a_checkpoint_that_another_stage_made_is_trained(recipe: dict[str, Any], tmp_path: Path) -> None:
    step = {"max_steps": 1, "per_device_train_batch_size": 8, "bf16": False}
    small = tiny.save_bert(tmp_path / "small", layers=1)
    outsider = tiny.save_bert(tmp_path / "outsider", head=True)
    recipe["stages"] = {
        "teacher": {"finetune": {"training": step}},
        "small": {"distill": {"student": {"model": str(small)}, "training": step}},
        "again": {
            "from": "teacher",
            "distill": {"student": {"model": "small"}, "teacher": str(outsider), "training": step},
        },
    }
    plan = make_plan(parse_recipe(recipe))
    made = outside(plan)
    for name in plan.order:
        made[name] = build(plan, name, made, RunFolder(tmp_path / "run"), Options(), SILENT, Lead())
    for name, teacher in {"small": "teacher", "again": "outsider"}.items():
        folder = made[name].artifact.path
        assert json.loads((folder / "config.json").read_text())["num_hidden_layers"] == 1
        manifest = (folder / "manifest.json").read_text()
        assert set(json.loads(manifest)["parents"]) == {"teacher", "small", teacher}
        assert str(tmp_path) not in manifest, "folders of this machine stay here"


@pytest.mark.export
def test_a_teacher_with_another_vocabulary_may_read_rows_in_its_own_way_into_a_cache(
    encoder: Path, reviews: Path, tmp_path: Path
) -> None:
    recipe = tiny.text_recipe(encoder, reviews)
    a_teacher_with_another_vocabulary(recipe, tmp_path)
    recipe["stages"]["student"]["distill"]["teacher_cache"] = "auto"
    assert make_plan(parse_recipe(recipe)).order == ("teacher", "student", "onnx", "int8")


@pytest.mark.export
@pytest.mark.parametrize("bound", ["min_speedup", "max_p50_ms"])
def test_a_bound_on_the_speed_of_what_runs_elsewhere_is_refused_before_any_work(
    encoder: Path, reviews: Path, bound: str
) -> None:
    made = tiny.text_recipe(encoder, reviews)
    made["stages"]["int8"] = {"quantize": {"target": "tensorrt", "calibration": {}}}
    made["gates"] = [{"artifact": "int8", "max_drop": {"accuracy": 0.5}}]
    make_plan(parse_recipe(made))
    made["gates"][0][bound] = 2
    with pytest.raises(InputError, match=rf"bounds {bound} of `int8`, which is made for tensorrt .* measure on "):
        make_plan(parse_recipe(made))


@pytest.mark.export
def test_dynamic_int8_for_a_target_that_has_none_is_refused_before_any_work(encoder: Path, reviews: Path) -> None:
    made = tiny.text_recipe(encoder, reviews)
    made["stages"]["int8"] = {"quantize": {"target": "tensorrt"}}
    with pytest.raises(
        InputError, match=r"stages\.int8: target tensorrt takes static INT8 alone, .*add `calibration: {}`"
    ):
        make_plan(parse_recipe(made))
