"""Serving files: found by artifact and host, used by `load`, never used in silence where they are of something else."""

from __future__ import annotations

import json
import logging
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from hfcompress import load
from hfcompress.artifact import digest_of, hash_folder, model_digest
from hfcompress.errors import InputError
from hfcompress.host import describe_host, host_id
from hfcompress.results.serving import Serving, read_serving, write_serving
from hfcompress.runtimes.serving import find_serving, serving_folders, serving_path
from tests.tune.serving import chosen, serving_of


@pytest.fixture
def artifact(classifier: Path, tmp_path: Path) -> Path:
    """A torch artifact in a run folder."""
    return Path(shutil.copytree(classifier, tmp_path / "run" / "artifacts" / "student"))


@pytest.fixture
def serving(artifact: Path) -> Serving:
    """One of the artifact on this host: two threads for latency."""
    found = serving_of(artifact)
    write_serving(found, serving_path(artifact, found.host))
    return found


def rewrite(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | changes))


def test_a_file_reads_as_it_was_written(artifact: Path, tmp_path: Path) -> None:
    found = serving_of(artifact)
    write_serving(found, tmp_path / "deep" / "x.json")
    assert read_serving(tmp_path / "deep" / "x.json") == found
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["x.json"]


def test_load_takes_the_settings_for_latency_and_says_so(artifact: Path, serving: Serving) -> None:
    model = load(artifact)
    assert (model.runtime.name, model.runtime.threads) == ("torch", 2)
    assert model.serving == serving.latency


def test_a_file_beside_a_folder_outside_a_run_is_found(classifier: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(classifier, tmp_path / "model"))
    path = serving_path(folder, host_id(describe_host()))
    assert path.parent == tmp_path / "serving"
    write_serving(serving_of(folder), path)
    assert load(folder).serving is not None


def test_what_the_caller_says_goes_before_the_file(artifact: Path, serving: Serving) -> None:
    for model in (load(artifact, threads=1), load(artifact, runtime="torch", threads=1)):
        assert model.serving is None
        assert model.runtime.threads == 1


@pytest.mark.parametrize("changes", [{"model_digest": "0" * 64}, {"host": "0" * 12}])
def test_a_file_of_another_artifact_or_host_is_left_alone_and_the_log_says_so(
    artifact: Path, serving: Serving, changes: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    path = serving_path(artifact, serving.host)
    rewrite(path, **changes)
    with caplog.at_level(logging.INFO, "hfcompress"):
        assert load(artifact).serving is None
    assert f"{path} is of another artifact or host" in caplog.text


def test_a_file_named_after_another_host_is_not_even_opened(
    artifact: Path, serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    path = serving_path(artifact, serving.host)
    path.with_name("student-0123456789ab.json").write_text("{")
    path.unlink()
    with caplog.at_level(logging.INFO, "hfcompress"):
        assert load(artifact).serving is None
    assert f"no file of this host ({serving.host})" in caplog.text


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"schema": "hfcompress.serving/2"}', '{"schema": "hfcompress.serving/1"}']
)
def test_a_damaged_file_is_an_error_that_names_it(artifact: Path, serving: Serving, content: str) -> None:
    path = serving_path(artifact, serving.host)
    path.write_text(content)
    with pytest.raises(InputError, match=r"student-[0-9a-f]{12}\.json is not a serving file .*hfcompress tune"):
        load(artifact)


def test_settings_that_no_runtime_takes_are_a_damaged_file_too(artifact: Path, serving: Serving) -> None:
    path = serving_path(artifact, serving.host)
    content = json.loads(path.read_text())
    content["latency"]["settings"]["threads"] = 0
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"settings\.threads"):
        load(artifact)


def test_the_digest_of_a_model_is_that_of_its_weights_whatever_they_are_called(artifact: Path) -> None:
    files = hash_folder(artifact)
    (artifact / "config.json").write_text((artifact / "config.json").read_text() + "\n")
    (artifact / "model.safetensors").rename(artifact / "other.safetensors")
    changed = hash_folder(artifact)
    assert digest_of(changed) != digest_of(files)
    assert model_digest(changed) == model_digest(files)


def test_settings_for_one_folder_without_a_manifest_are_not_used_for_another(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for file in ("model.xml", "model.bin"):
            (tmp_path / name / file).write_text(f"{file} of {name}")
    said = serving_of(tmp_path / "a", "openvino:CPU")
    write_serving(said, serving_path(tmp_path / "a", said.host))
    assert find_serving(serving_folders(tmp_path / "a"), lambda: hash_folder(tmp_path / "a")) == said
    assert find_serving(serving_folders(tmp_path / "b"), lambda: hash_folder(tmp_path / "b")) is None


@pytest.mark.parametrize(
    "changes, fault",
    [
        ({"threads": 4096}, r"4096 threads x 1 streams are more than the \d+ cores"),
        ({"streams": 4096}, r"2 threads x 4096 streams are more than the \d+ cores"),
        ({"runtime": "onnxruntime:NoSuchProvider"}, "the runtime `onnxruntime:NoSuchProvider` is none of torch"),
        ({"runtime": "openvino:CPU"}, "the runtime `openvino:CPU` is none of torch"),
        ({"precision": "bf16"}, "bf16 may answer otherwise"),
    ],
)
def test_settings_that_this_host_cannot_run_or_that_change_answers_are_left_alone_with_a_warning(
    artifact: Path, serving: Serving, changes: dict[str, Any], fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = chosen("latency", serving.latency.settings.model_copy(update=changes))
    write_serving(serving.model_copy(update={"latency": wrong}), serving_path(artifact, serving.host))
    with caplog.at_level(logging.WARNING, "hfcompress"):
        model = load(artifact)
    assert (model.serving, model.runtime.name) == (None, "torch")
    assert re.search(f"settings for latency are not used: {fault}", caplog.text)


@pytest.mark.parametrize("name", ["threads", "streams"])
@pytest.mark.parametrize("value", [0, 4097])
def test_counts_that_no_host_has_are_a_damaged_file(serving: Serving, name: str, value: int, tmp_path: Path) -> None:
    content = json.loads(serving.model_dump_json(by_alias=True))
    content["throughput"]["settings"][name] = value
    (tmp_path / "x.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"throughput\.settings\.{name}"):
        read_serving(tmp_path / "x.json")


def test_a_damaged_file_of_another_artifact_is_left_alone_with_a_warning(
    artifact: Path, serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    own = serving_path(artifact, serving.host)
    damaged = own.with_name(f"a-{serving.host}.json")
    damaged.write_text("{")
    with caplog.at_level(logging.WARNING, "hfcompress"):
        assert load(artifact).serving == serving.latency, "its own is read first"
        assert not caplog.text
        own.rename(own.with_name(f"other-{serving.host}.json"))
        assert load(artifact).serving == serving.latency
    assert f"{damaged} is not a serving file" in caplog.text


def test_a_damaged_file_that_came_with_a_model_does_not_stop_its_loading(
    artifact: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = artifact / "serving" / f"student-{host_id(describe_host())}.json"
    path.parent.mkdir()
    path.write_text("{")
    with caplog.at_level(logging.WARNING, "hfcompress"):
        assert load(artifact).serving is None
    assert f"{path} is not a serving file" in caplog.text


def test_a_file_that_cannot_be_written_is_one_error_and_leaves_nothing(classifier: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for place in (tmp_path / "file" / "serving.json", tmp_path / "folder"):
        with pytest.raises(InputError, match=r"cannot be written .*; choose another place with --out"):
            write_serving(serving_of(classifier), place)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
