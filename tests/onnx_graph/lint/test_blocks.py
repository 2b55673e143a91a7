"""Scales of blocks: those that TensorRT has are no fault, and others are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hfcompress.onnx_graph.lint import lint
from tests.onnx_graph.lint.crafted import clean, find, insert, insert_pair, store

pytestmark = pytest.mark.export


def with_blocks(kind: str, size: int, blocks: int) -> Any:
    """A product more, whose weight of 128 rows is stored with one scale for some of them."""
    import ml_dtypes

    model = clean()
    model.opset_import[0].version, model.ir_version = 23, 11
    number = np.dtype(getattr(ml_dtypes, kind, kind))
    wide = insert(model, "flat", "Reshape", ["norm", store(model, "wide_shape", np.array([-1, 128]))], "wide")
    parameters = [
        store(model, "blocked_scale", np.full((blocks, 4), 0.5, np.float32)),
        store(model, "blocked_zero", np.zeros((blocks, 4), number)),
    ]
    weight = store(model, "blocked", np.ones((128, 4), number))
    insert(model, "flat", "DequantizeLinear", [weight, *parameters], "blocked_dq", axis=0, block_size=size)
    insert(model, "flat", "MatMul", [insert_pair(model, "flat", wide, "wide"), "blocked_dq"], "product")
    return model


TAKEN = [("int4", 64), ("int4", 128), ("float4_e2m1fn", 16), ("float8_e4m3fn", 32)]


@pytest.mark.parametrize(("kind", "size"), TAKEN)
def test_blocks_that_tensorrt_has_are_no_error(kind: str, size: int) -> None:
    assert [found for found in lint(with_blocks(kind, size, 128 // size)) if found.severity == "error"] == []


MISBLOCKED = [
    ("int8", 64, 2, "scale", "blocks, which int8 has none of"),
    ("int4", 32, 4, "scale", "blocks of 32, and int4 64 or 128"),
    ("int4", 64, 4, "scale", "scales of shape [4, 4], and blocks of shape [2, 4]"),
    ("uint4", 64, 2, "integer-type", "blocked as uint4"),
]


@pytest.mark.parametrize(("kind", "size", "blocks", "rule", "said"), MISBLOCKED)
def test_other_blocks_are_found(kind: str, size: int, blocks: int, rule: str, said: str) -> None:
    errors = [found for found in lint(with_blocks(kind, size, blocks)) if found.severity == "error"]
    assert [found.rule for found in errors] == [rule]
    assert said in errors[0].what


def test_fp4_that_moves_is_found_as_other_types_are() -> None:
    model = with_blocks("float4_e2m1fn", 16, 8)
    turned = insert(model, "blocked_dq", "Transpose", ["blocked"], "turned.fp4", perm=[0, 1])
    find(model, "blocked_dq").input[0] = turned
    errors = [found for found in lint(model) if found.severity == "error"]
    assert [(found.rule, found.node) for found in errors] == [("tensor-type", "turned.fp4")]
    assert not errors[0].fixable
