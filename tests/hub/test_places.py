from __future__ import annotations

from typing import Any

from hfcompress.artifact import FileEntry, Manifest
from hfcompress.hub.places import Placed, place
from tests.hub.card_examples import TOKENIZER, manifest

QUANTIZED = frozenset({"int8", "other"})


def entry(content: str) -> FileEntry:
    return FileEntry(sha256=content, size=1)


def placed(*artifacts: Manifest) -> dict[str, Placed]:
    return {found.name: found for found in place(artifacts, QUANTIZED)}


def with_files(made: Manifest, **files: str) -> Manifest:
    """The same artifact with further files; `__` in a name stands for a dot."""
    more = {name.replace("__", "."): entry(content) for name, content in files.items()}
    return made.model_copy(update={"files": {**made.files, **more}})


STUDENT = manifest("student", "distill")
ONNX, INT8 = manifest("onnx", "export", "onnx"), manifest("int8", "quantize", "onnx")


def test_the_student_is_the_root_and_its_exports_share_its_tokenizer() -> None:
    found = placed(STUDENT, ONNX, INT8)
    assert {name: artifact.model for name, artifact in found.items()} == {
        "student": "model.safetensors",
        "onnx": "onnx/model.onnx",
        "int8": "onnx/model_quantized.onnx",  # what Transformers.js loads by default
    }
    assert all(artifact.files["tokenizer.json"] == "tokenizer.json" for artifact in found.values())
    assert {artifact.folder for artifact in found.values()} == {""}


def test_the_second_int8_has_its_name_in_its_file() -> None:
    other = with_files(manifest("other", "quantize", "onnx"), ort_config__json="second")
    found = placed(STUDENT, with_files(INT8, ort_config__json="first"), other)
    assert found["other"].model == "onnx/model_other_quantized.onnx"
    assert found["int8"].files["ort_config.json"] == "onnx/ort_config.json"
    assert found["other"].files["ort_config.json"] == "onnx/ort_config_other.json"


def test_an_export_in_float16_has_the_established_suffix() -> None:
    half = manifest("half", "export", "onnx")
    files = {name.replace("model.onnx", "model_fp16.onnx"): entry for name, entry in half.files.items()}
    found = placed(STUDENT, ONNX, half.model_copy(update={"files": files}))
    assert (found["onnx"].model, found["half"].model) == ("onnx/model.onnx", "onnx/model_fp16.onnx")


def test_what_qat_trained_is_int8_when_its_graph_is() -> None:
    exported = manifest("other", "export", "onnx")
    assert placed(STUDENT, exported)["other"].model == "onnx/model_quantized.onnx"


def test_another_torch_model_has_a_folder_of_its_own() -> None:
    found = placed(STUDENT, manifest("teacher", "finetune"))
    assert found["teacher"].model == "artifacts/teacher/model.safetensors"
    assert found["teacher"].folder == "artifacts/teacher"


def test_an_export_with_another_tokenizer_has_a_folder_of_its_own() -> None:
    other = manifest("other", "quantize", "onnx").model_copy(
        update={"files": {**TOKENIZER, "tokenizer.json": entry("another"), "model_quantized.onnx": entry("other")}}
    )
    found = placed(STUDENT, INT8, other)
    assert found["other"].model == "artifacts/other/model_quantized.onnx"
    assert set(found["other"].files.values()) == {f"artifacts/other/{name}" for name in other.files}


def test_a_graph_that_names_its_weights_is_never_renamed() -> None:
    first = with_files(ONNX, model__onnx_data="1")
    second = with_files(manifest("later", "export", "onnx"), model__onnx_data="2")
    found = placed(STUDENT, first, second)
    assert found["onnx"].files["model.onnx_data"] == "onnx/model.onnx_data"
    assert found["later"].files["model.onnx_data"] == "artifacts/later/model.onnx_data"


def test_without_a_torch_model_the_export_brings_the_tokenizer() -> None:
    found = placed(INT8)
    assert found["int8"].files["config.json"] == "config.json"
    assert found["int8"].model == "onnx/model_quantized.onnx"


def test_states_of_a_training_pickles_and_code_have_no_place() -> None:
    left: dict[str, Any] = {
        "training_args__bin": "", "optimizer__pt": "", "rng_state__pth": "", "trainer_state__json": "",
        "modeling__py": "", "pytorch_model__bin": "", "training_args__json": "",
    }  # fmt: skip
    found = placed(with_files(STUDENT, **left))
    assert set(found["student"].files) == set(STUDENT.files)


def test_no_two_contents_have_one_path() -> None:
    artifacts = [STUDENT, manifest("teacher", "finetune"), ONNX, manifest("later", "export", "onnx"), INT8]
    contents: dict[str, FileEntry] = {}
    for artifact in place(artifacts, QUANTIZED):
        for name, path in artifact.files.items():
            assert contents.setdefault(path, artifact.manifest.files[name]) == artifact.manifest.files[name]
