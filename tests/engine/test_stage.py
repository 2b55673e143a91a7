"""The stage with an imitated GPU: what it builds for, what it keeps, and what it refuses."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hfcompress.artifact import Artifact, Manifest, hash_folder, write_manifest
from hfcompress.engine.stage import engine
from hfcompress.errors import NumericalMismatchError, ProviderError, StageError
from hfcompress.onnx_graph.profiles import parse_profiles
from hfcompress.recipe.stages import EngineConfig
from hfcompress.runtimes.providers import TENSORRT
from hfcompress.runtimes.tensorrt import provider_options
from hfcompress.stage import Inputs
from tests import tiny
from tests.engine.conftest import MACHINE
from tests.export.test_stage import make_run

pytestmark = pytest.mark.export
CONFIG = EngineConfig(batch=(1, 8), sequence=(16, 64))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny classifier as ONNX, and rows."""
    from hfcompress.export.optimum import export_with_optimum

    folder = tmp_path_factory.mktemp("exported")
    model = tiny.save_bert(folder / "torch", layers=1, head="text-classification")
    export_with_optimum(model, folder / "onnx", "text-classification", None)
    (folder / "onnx" / "manifest.json").write_text("{}")
    tiny.save_reviews(folder / "rows", train=48, validation=32, test=8)
    return folder


def build(exported: Path, out: Path, config: EngineConfig = CONFIG) -> Artifact:
    run = make_run(out, exported / "rows")
    return engine(
        config, Inputs(Artifact(exported / "onnx", "onnx", {"target": "tensorrt", "first_token_nodes": 3})), run
    )


def with_manifest(made: Artifact) -> Path:
    """What the pipeline writes beside it."""
    said = {"stage": "engine", "task": "text-classification", "key": "", "recipe": {}, "parents": {}, "versions": {}}
    fields = {**said, "seed": 0, "host": {}, "name": "engine", "files": hash_folder(made.path), "details": made.details}
    write_manifest(made.path, Manifest(format="onnx", **fields))
    return made.path


def test_engines_lie_in_the_artifact_and_its_manifest_says_how_to_use_them(
    exported: Path, tmp_path: Path, gpu: dict[str, Any]
) -> None:
    made = build(exported, tmp_path)
    details = made.details or {}
    assert made.runtime == "onnxruntime:TensorrtExecutionProvider"
    assert (details["gpu"], details["tensorrt"], details["target"]) == (MACHINE.gpu, MACHINE.tensorrt, "tensorrt")
    assert "first_token_nodes" not in details
    assert str(tmp_path) not in json.dumps(details), "an artifact moves"
    ((folder, *others),) = [list((made.path / "engines").iterdir())]
    assert others == []
    assert folder.name.endswith("-nvidia-h100-80gb-hbm3-trt10.9.0-ort1.31.1")
    assert gpu["opened"][0]["trt_engine_cache_path"] == str(folder)
    assert {path.suffix for path in folder.iterdir()} == {".engine", ".profile"}
    assert (made.path / "tokenizer.json").is_file()
    assert not (made.path / "manifest.json").exists(), "the pipeline writes its own"
    assert details["largest_difference"] == 0


def test_profiles_hold_every_row_of_the_data_and_the_sizes_of_the_benchmark(
    exported: Path, tmp_path: Path, gpu: dict[str, Any]
) -> None:
    options = (build(exported, tmp_path).details or {})["provider_options"]
    shapes = {which: options[f"trt_profile_{which}_shapes"] for which in ("min", "opt", "max")}
    names = [part.split(":")[0] for part in shapes["min"].split(",")]
    assert names == ["input_ids", "attention_mask", "token_type_ids"]
    sizes = [shapes[which].split(",")[0].split(":")[1] for which in shapes]
    profile = parse_profiles([f"input_ids={':'.join(sizes)}"])["input_ids"]
    assert profile.is_ordered
    assert profile.minimum[0] == 1
    assert profile.maximum == (8, 64)  # rows have up to 22 tokens, the grid has 64
    assert profile.minimum[1] < 16, "rows are shorter than the shortest cell of the grid"
    assert profile.optimum[0] == 8


def test_an_artifact_that_moved_is_used_where_it_is_and_another_machine_builds_elsewhere(
    exported: Path, tmp_path: Path, gpu: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = shutil.move(with_manifest(build(exported, tmp_path / "run")), tmp_path / "moved")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("hfcompress.runtimes.tensorrt.this_machine", lambda device: MACHINE)
    here = Path(provider_options(moved)["trt_engine_cache_path"])
    assert here.parent == Path(moved) / "engines"
    assert not (tmp_path / "cache").exists()
    before = hash_folder(Path(moved))
    for change in ({"gpu": "NVIDIA L4"}, {"tensorrt": "10.10.0"}, {"onnxruntime": "1.32.0"}):
        other = replace(MACHINE, **change)
        monkeypatch.setattr("hfcompress.runtimes.tensorrt.this_machine", lambda device, other=other: other)
        options = provider_options(moved)
        there = Path(options["trt_engine_cache_path"])
        assert there.parent == tmp_path / "cache" / "hfcompress" / "engines"
        assert there.name.endswith(other.key)
        assert options["trt_timing_cache_path"] == str(there)
    assert hash_folder(Path(moved)) == before


def test_an_engine_that_answers_otherwise_is_no_artifact(exported: Path, tmp_path: Path, gpu: dict[str, Any]) -> None:
    gpu["error"] = 1.0
    with pytest.raises(NumericalMismatchError, match=r"`logits` differs .* standard deviations .*tolerance 0\.05"):
        build(exported, tmp_path)
    gpu["error"] = np.nan
    with pytest.raises(NumericalMismatchError, match="differs"):
        build(exported, tmp_path / "again")


def test_a_session_that_leaves_no_engine_is_no_artifact(exported: Path, tmp_path: Path, gpu: dict[str, Any]) -> None:
    gpu["writes"] = False
    with pytest.raises(StageError, match="left no engine in its cache, only nothing"):
        build(exported, tmp_path)


def test_without_a_gpu_the_stage_says_where_to_build(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hfcompress.runtimes.tensorrt.gpu_name", lambda device: None)
    with pytest.raises(ProviderError, match=r"built on the machine that it is for, .*no GPU 0 .*hfcompress bundle"):
        build(exported, tmp_path)
    monkeypatch.setattr("hfcompress.runtimes.tensorrt.gpu_name", lambda device: "NVIDIA L4")
    monkeypatch.setattr("hfcompress.runtimes.tensorrt.tensorrt_version", lambda: None)
    with pytest.raises(ProviderError, match="this one has no TensorRT"):
        build(exported, tmp_path)
    assert not any((tmp_path / "out").iterdir())


def test_optimums_model_class_takes_the_artifact_and_its_options(
    exported: Path, tmp_path: Path, gpu: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime
    from optimum.onnxruntime import ORTModelForSequenceClassification

    folder = with_manifest(build(exported, tmp_path))
    monkeypatch.setattr("hfcompress.runtimes.tensorrt.this_machine", lambda device: MACHINE)
    options, real, seen = provider_options(folder), onnxruntime.InferenceSession, []

    def on_the_cpu(path: str, providers: Any, provider_options: Any, **more: Any) -> Any:
        seen.append((providers, provider_options))
        return real(path, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [TENSORRT, "CPUExecutionProvider"])
    monkeypatch.setattr("optimum.onnxruntime.modeling.InferenceSession", on_the_cpu)
    monkeypatch.setattr("optimum.onnxruntime.utils.validate_provider_availability", lambda provider: None)
    ORTModelForSequenceClassification.from_pretrained(folder, provider=TENSORRT, provider_options=options)
    ((providers, handed),) = seen
    assert dict(zip(providers, handed, strict=True))[TENSORRT] == options
    assert providers[0] == TENSORRT
