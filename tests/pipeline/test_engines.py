"""Engines within a recipe: sizes from the benchmark, and what is refused before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hfcompress.errors import InputError, ProviderError
from hfcompress.pipeline.engines import check_engines, check_half, sized
from hfcompress.pipeline.plan import make_plan
from hfcompress.recipe import parse_recipe
from hfcompress.recipe.recipe import Recipe
from hfcompress.recipe.stages import EngineConfig
from hfcompress.tasks import get_task
from tests import tiny

TEXT = get_task("text-classification")


def recipe(
    engine: dict[str, Any],
    *,
    int8: bool = False,
    target: str = "tensorrt",
    again: dict[str, Any] | None = None,
    **export: Any,
) -> Recipe:
    stages: dict[str, Any] = {"onnx": {"export": export}}
    if int8:
        stages["int8"] = {"quantize": {"target": target, "calibration": {}}}
    return parse_recipe(
        {
            "name": "engines",
            "task": "text-classification",
            "model": "some/model",
            "data": {"path": "rows.csv"},
            "stages": {**stages, "trt": {"engine": engine}, **({} if again is None else {"again": again})},
            "benchmark": {"batch": [1, 4], "sequence": [16, 128], "stream": {"batch": 48}},
        }
    )


@pytest.fixture(autouse=True)
def _with_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hfcompress.runtimes.tensorrt.check_tensorrt", lambda: None)


def test_an_engine_takes_the_sizes_that_the_run_will_ask_for() -> None:
    config = sized(recipe({}), "trt", TEXT)
    assert isinstance(config, EngineConfig)
    assert config.batch == (1, 4, TEXT.predict_rows, 48)
    assert config.sequence == (16, 128)
    named = sized(recipe({"sequence": [64]}), "trt", TEXT)
    assert isinstance(named, EngineConfig)
    assert named.sequence == (16, 64, 128)
    assert sized(recipe({}), "onnx", TEXT) == recipe({}).stages["onnx"].export
    images = sized(recipe({"batch": [64]}), "trt", get_task("image-classification"))
    assert isinstance(images, EngineConfig)
    assert (images.batch, images.sequence) == ((64,), None)


@pytest.mark.parametrize(
    "engine, int8, message",
    [
        ({"precision": "int8"}, False, r"stages\.trt: precision int8 is for a graph with Q/DQ, and `onnx` has none"),
        ({"precision": "fp16"}, True, r"`int8` is INT8, and its engine needs `precision: int8`, got fp16"),
        ({"batch": [1, 32]}, False, r"largest `batch` is 32, and this recipe measures with up to 48 rows"),
    ],
)
def test_what_does_not_fit_is_refused(engine: dict[str, Any], int8: bool, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_engines(recipe(engine, int8=int8), TEXT)


def test_what_fits_is_not() -> None:
    check_engines(recipe({"precision": "int8"}, int8=True), TEXT)
    check_engines(recipe({"precision": "bf16", "batch": [48]}), TEXT)
    check_half(recipe({}, dtype="fp16"))


def test_int8_of_an_export_in_float16_is_refused() -> None:
    with pytest.raises(InputError, match=r"stages\.int8 takes an export in fp32, but `onnx` is one in fp16"):
        check_half(recipe({"precision": "int8"}, int8=True, dtype="fp16"))


@pytest.mark.export
def test_a_recipe_with_an_engine_is_refused_before_any_work_where_there_is_no_tensorrt(
    encoder: Path, reviews: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    made = tiny.text_recipe(encoder, reviews)
    made["stages"]["trt"] = {"from": "onnx", "engine": {}}
    with pytest.raises(ProviderError, match=r"has no TensorrtExecutionProvider; it has .*hfcompress\[onnxruntime-gpu"):
        make_plan(parse_recipe(made))


@pytest.mark.parametrize("target", ["avx512_vnni", "openvino", "auto"])
def test_int8_for_another_target_is_refused(target: str) -> None:
    with pytest.raises(InputError, match=f"`int8` is INT8 for `target: {target}`, which TensorRT does not read"):
        check_engines(recipe({"precision": "int8"}, int8=True, target=target), TEXT)


def test_an_engine_of_an_engine_is_refused() -> None:
    with pytest.raises(InputError, match=r"stages\.again: `trt` is an engine already; let `from` name its graph"):
        check_engines(recipe({}, again={"engine": {"precision": "bf16"}}), TEXT)
