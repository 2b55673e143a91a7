"""The oracle: what NVIDIA's own ModelOpt writes for TensorRT has no error, by the rules that ours is held to.

ModelOpt wants older versions of onnx and ONNX Runtime than hfcompress, so it runs in an environment of its own:
`pip install nvidia-modelopt 'onnx~=1.21.0' 'onnxruntime~=1.24.2' onnx-graphsurgeon onnxslim polygraphy lief cppimport
onnxconverter-common` beside hfcompress[onnxruntime] and pytest.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from hfcompress.onnx_graph.file import model_file
from hfcompress.onnx_graph.lint import quantized_products
from tests.quantize.test_tensorrt import FAMILIES, batch_of, export, findings, model_of

# ModelOpt and what it imports warn of their own future.
pytestmark = [pytest.mark.slow, pytest.mark.export, pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("family", FAMILIES)
def test_what_modelopt_writes_has_no_error(family: str, tmp_path: Path) -> None:
    modelopt = pytest.importorskip("modelopt.onnx.quantization", reason="the oracle: see the head of this file")
    model = model_of(family)
    source, out = model_file(export(model, tmp_path)), tmp_path / "modelopt.onnx"
    modelopt.quantize(
        str(source),
        quantize_mode="int8",
        calibration_data=batch_of(model),
        calibration_method="max",
        calibration_eps=["cpu"],
        high_precision_dtype="fp32",
        output_path=str(out),
    )
    found, products = findings(out), quantized_products(out)
    advice = dict(Counter(finding.rule for finding in found))
    print(f"\n{family}: {len(products)} products in INT8, {FAMILIES[family][1]} of ours; findings {advice}")  # noqa: T201
    assert [finding for finding in found if finding.severity == "error"] == []
    assert len(products) > 0
