"""A model folder is refused before anything of it is loaded when it is not what it should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hfcompress.errors import ModelError
from hfcompress.models.folder import check_safe, files_of, label_names, read_config, resolve, task_of
from hfcompress.recipe.schema import ModelRef

#: A file of safetensors that holds none: the header's length, and the header.
NO_TENSORS = "\x02" + "\0" * 7 + "{}"


def folder(path: Path, config: Any = None, **files: str) -> Path:
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps({} if config is None else config))
    for name, text in files.items():
        (path / name.replace("__", ".")).write_text(text)
    return path


@pytest.mark.parametrize("name", ["pytorch_model__bin", "model__pt", "model__pth", "last__ckpt", "weights__pkl"])
def test_a_pickle_without_safetensors_is_refused_with_the_way_out(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match=rf"pickle \({name.replace('__', '.')}\).*safe_serialization=True"):
        check_safe(folder(tmp_path, **{name: "code"}))


def test_a_sharded_pickle_is_refused_with_every_shard(tmp_path: Path) -> None:
    shards = {f"pytorch_model-0000{index}-of-00002__bin": "code" for index in (1, 2)}
    with pytest.raises(ModelError, match=r"00001-of-00002\.bin, pytorch_model-00002-of-00002\.bin"):
        check_safe(folder(tmp_path, **shards))


def test_a_pickle_beside_safetensors_is_not_loaded_and_so_not_refused(classifier: Path, tmp_path: Path) -> None:
    from hfcompress.models.loading import load_model

    for path in classifier.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "pytorch_model.bin").write_text("no pickle at all")
    check_safe(tmp_path)
    assert load_model(tmp_path, "text-classification").num_labels == 2


@pytest.mark.parametrize("own_code", [{"AutoModel": "own.Model", "AutoConfig": "own.Config"}, "own.Model"])
def test_a_model_with_code_of_its_own_is_refused_unless_it_is_trusted(tmp_path: Path, own_code: Any) -> None:
    made = folder(tmp_path, {"auto_map": own_code}, model__safetensors=NO_TENSORS)
    with pytest.raises(ModelError, match=r"run its own code \(own.Model.*pass --trust-remote-code"):
        check_safe(made)
    check_safe(made, trust_remote_code=True)


@pytest.mark.parametrize("nothing", [None, {}])
def test_an_empty_auto_map_asks_for_nothing(tmp_path: Path, nothing: Any) -> None:
    check_safe(folder(tmp_path, {"auto_map": nothing}, model__safetensors=NO_TENSORS))


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no \*\.safetensors"):
        check_safe(folder(tmp_path))


def test_a_folder_without_a_config_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no config\.json, so it is no model folder"):
        check_safe(tmp_path)


@pytest.mark.parametrize(
    "content, message",
    [(b"{", "is no JSON"), (b"\xff\xfe\x00", "is no JSON"), (b"[1]", "should hold a mapping, got list")],
)
def test_a_config_that_cannot_be_read_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ModelError, match=f"config.json {message}"):
        read_config(tmp_path)


def test_a_local_folder_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve(ModelRef(id=str(tmp_path))) == tmp_path
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    assert resolve(ModelRef(id=f"~/{tmp_path.name}")) == tmp_path


def test_a_file_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_text("")
    with pytest.raises(ModelError, match=r"is a file; give the folder that holds config\.json"):
        resolve(ModelRef(id=str(path)))


@pytest.mark.parametrize("name", ["nobody/nothing", "nothing", "/no/such/folder", "../no/such/folder", "bad name!"])
def test_a_model_that_cannot_be_had_is_one_line_with_the_way_out(name: str) -> None:
    with pytest.raises(
        ModelError, match=r"is no local folder and could not be had from the Hub: .*check the spell"
    ) as e:
        resolve(ModelRef(id=name))
    assert "\n" not in str(e.value)
    assert name in str(e.value)


@pytest.mark.parametrize(
    "architectures, task",
    [
        (["BertForSequenceClassification"], "text-classification"),
        (["ViTForImageClassification"], "image-classification"),
        (["BertModel"], None),
        (["BertForTokenClassification"], "token-classification"),
        (["BertForMaskedLM"], "masked-lm"),
        (["BertForQuestionAnswering"], "question-answering"),
        (["BertForMultipleChoice"], None),
        ([], None),
        (None, None),
    ],
)
def test_the_task_is_read_from_the_head(architectures: Any, task: str | None) -> None:
    assert task_of({"architectures": architectures}) == task


def test_a_bare_encoder_of_text_is_for_feature_extraction() -> None:
    assert task_of({"architectures": ["BertModel"], "vocab_size": 100}) == "feature-extraction"
    assert task_of({"architectures": ["ViTModel"]}) is None


def test_label_names_are_in_the_order_of_their_ids_and_not_of_their_text() -> None:
    ids = list(range(12))
    names = {str(index): f"name{index}" for index in sorted(ids, key=str)}
    assert list(names)[:3] == ["0", "1", "10"]
    assert label_names({"id2label": names}) == tuple(f"name{index}" for index in ids)


def test_labels_without_names_are_numbered() -> None:
    assert label_names({"num_labels": 3}) == ("LABEL_0", "LABEL_1", "LABEL_2")
    assert label_names({}) == ("LABEL_0", "LABEL_1")


def test_the_files_of_a_model_are_its_weights_config_and_tokenizer(tmp_path: Path) -> None:
    files = {"model__safetensors": NO_TENSORS, "vocab__txt": "v", "pytorch_model__bin": "p", "manifest__json": "m"}
    folder(tmp_path, **files, results__json="r", model__onnx="o")
    assert set(files_of(tmp_path)) == {"config.json", "model.safetensors", "vocab.txt"}


OWN = {"auto_map": {"AutoModel": "modeling_own.Own"}}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """A Hub that has one model, with code of its own; the patterns of files that were asked for."""
    asked: list[list[str]] = []

    def snapshot_download(model: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append(allow_patterns)
        return str(folder(tmp_path / "snapshot", OWN, model__safetensors=NO_TENSORS))

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return asked


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize("revision", [None, "main", "v1.0", COMMIT[:12], COMMIT.upper(), COMMIT + "0"])
def test_trusted_code_from_the_hub_needs_the_commit_that_was_read(hub: list[list[str]], revision: str | None) -> None:
    with pytest.raises(ModelError, match=r"allows for one commit only.*pin the commit.*<40 hex digits>"):
        resolve(ModelRef(id="some/model", revision=revision), trust_remote_code=True)
    assert all("*.py" not in patterns for patterns in hub)


def test_trusted_code_at_a_commit_is_downloaded(hub: list[list[str]]) -> None:
    made = resolve(ModelRef(id="some/model", revision=COMMIT), trust_remote_code=True)
    assert "*.py" in hub[-1]
    check_safe(made, trust_remote_code=True)


def test_code_that_is_not_trusted_is_not_even_downloaded(hub: list[list[str]]) -> None:
    made = resolve(ModelRef(id="some/model", revision=COMMIT))
    assert all("*.py" not in patterns for patterns in hub)
    with pytest.raises(ModelError, match="--trust-remote-code"):
        check_safe(made)
