"""What OpenVINO's format means in a recipe: which stage gives it, and what `quantize` cannot do with it."""

from __future__ import annotations

from typing import Any

import pytest

from hfcompress.errors import RecipeError
from hfcompress.recipe import parse_recipe
from hfcompress.recipe.graph import artifact_format, source_format

EXPORT = {"from": "source", "export": {"format": "openvino"}}


def recipe(stages: dict[str, Any]) -> dict[str, Any]:
    data = {"path": "reviews"}
    return {"name": "made", "task": "text-classification", "model": "someone/model", "data": data, "stages": stages}


def test_the_format_follows_from_the_config_and_from_the_source() -> None:
    made = parse_recipe(
        recipe(
            {
                "onnx": {"export": {}},
                "int8": {"quantize": {}},
                "ir": EXPORT,
                "ir-int8": {"quantize": {"calibration": {}}},
            }
        )
    )
    assert {name: artifact_format(made, name) for name in ("source", *made.stages)} == {
        "source": "torch",
        "onnx": "onnx",
        "int8": "onnx",
        "ir": "openvino",
        "ir-int8": "openvino",
    }
    assert [source_format(made, name) for name in ("ir", "ir-int8")] == ["torch", "openvino"]


@pytest.mark.parametrize(
    "quantize, line",
    [
        (
            {},
            "stages.int8.quantize: has no calibration, but INT8 of OpenVINO's format is static; add `calibration: {}`",
        ),
        (
            {"calibration": {"method": "entropy"}},
            "stages.int8.quantize.calibration.method: is entropy, but NNCF has minmax alone; leave it out, or quantize "
            "an `onnx` export with `target: openvino`",
        ),
        (
            {"calibration": {"method": "percentile", "percentile": 99.9}},
            "stages.int8.quantize.calibration.method: is percentile, but NNCF has minmax alone; leave it out, or "
            "quantize an `onnx` export with `target: openvino`",
        ),
        (
            {"calibration": {}, "per_channel": False},
            "stages.int8.quantize.per_channel: is false, but NNCF gives each channel its scale; leave it out, or "
            "quantize an `onnx` export with `target: openvino`",
        ),
        (
            {"calibration": {}, "target": "avx2"},
            "stages.int8.quantize.target: is avx2, but what is quantized is in OpenVINO's format; leave `target` out",
        ),
        (
            {"calibration": {}, "fallback": {"max_drop": {"accuracy": 0.01}}},
            "stages.int8.quantize.fallback: is not searched for in OpenVINO's format; name layers in `skip`, or "
            "quantize an `onnx` export with `target: openvino`",
        ),
        (
            {"calibration": {}, "smooth": "auto"},
            "stages.int8.quantize.smooth: is auto, but NNCF does not search; leave it out (NNCF smooths transformers "
            "by itself, alpha 0.95), or give a number",
        ),
        ({"calibration": {}, "smooth": {}}, "stages.int8.quantize.smooth: is auto, but NNCF does not search"),
    ],
)
def test_what_nncf_cannot_do_is_refused_with_the_way_out(quantize: dict[str, Any], line: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(recipe({"ir": EXPORT, "int8": {"quantize": quantize}}))
    assert [found for found in str(caught.value).splitlines() if found.strip().startswith(line)]
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    "quantize", [{}, {"calibration": {"samples": 8}, "target": "openvino"}, {"smooth": 0.5}, {"skip": ["classifier"]}]
)
def test_what_nncf_can_do_passes(quantize: dict[str, Any]) -> None:
    parse_recipe(recipe({"ir": EXPORT, "int8": {"quantize": {"calibration": {}, **quantize}}}))


@pytest.mark.parametrize(
    "stages, line",
    [
        (
            {"ir": {"export": {"format": "openvin"}}, "int8": {"quantize": {}}},
            "stages.ir.export.format: should be one of `onnx`, `openvino`, got 'openvin'; did you mean `openvino`?",
        ),
        (
            {"ir": EXPORT, "again": {"export": {}}},
            "stages.again: takes torch, but `ir` gives openvino; let `from` name `source`",
        ),
        (
            {"ir": EXPORT, "int8": {"quantize": {"calibration": {}}}, "twice": {"quantize": {"calibration": {}}}},
            "stages.twice: takes a model in floating point, but `int8` is made for INT8; name `ir`",
        ),
    ],
)
def test_faults_of_formats_are_named_once(stages: dict[str, Any], line: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(recipe(stages))
    assert [found.strip() for found in str(caught.value).splitlines()[1:]] == [line]
