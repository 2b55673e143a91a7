"""The rules of TensorRT, as data: what each finds, how bad it is, who says so, and what to do."""

from __future__ import annotations

from hfcompress.onnx_graph.lint import fixes, integers, placement, reading
from hfcompress.onnx_graph.lint.findings import Rule
from hfcompress.onnx_graph.lint.parser import tensorrt_parser

_TABLE = f"onnx-tensorrt, docs/operators.md of TensorRT {tensorrt_parser().tensorrt}"
_PARSER = "onnx-tensorrt 10.1, onnxOpImporters.cpp, QuantDequantLinearHelper"
_PLACEMENT = "TensorRT documentation, Working with Quantized Types, Q/DQ Layer-Placement Recommendations"
_BY_US = "`hfcompress quantize --target tensorrt` writes it so"

TENSORRT: tuple[Rule, ...] = (
    Rule("opset", "error", reading.opset, _TABLE, "export again with another `opset`, 13 to 20 for instance"),
    Rule(
        "dynamic-quantization",
        "error",
        reading.dynamic_quantization,
        _TABLE,
        f"quantize with a calibration, whose ranges are constants; {_BY_US}",
    ),
    Rule(
        "integer-operator",
        "error",
        reading.integer_operators,
        _TABLE,
        f"quantize as Q/DQ around operators of floating point; {_BY_US}",
    ),
    Rule(
        "operator",
        "error",
        reading.operators,
        _TABLE,
        "export without it (another `opset` may write it with other operators), or serve with a plugin of that name",
    ),
    Rule("restriction", "error", reading.restrictions, _TABLE, "change the model or its export so that it holds"),
    Rule(
        "tensor-type",
        "error",
        reading.tensor_types,
        _TABLE,
        "dequantize in front of it: TensorRT moves integers itself where it can",
        fixes.dequantize_first,
    ),
    Rule(
        "profile",
        "error",
        reading.profiles,
        "TensorRT documentation, Working with Dynamic Shapes",
        "give each dynamic input a profile, INPUT=MIN:OPT:MAX, that bounds what it is given",
    ),
    Rule(
        "integer-type",
        "error",
        integers.integer_types,
        _PARSER,
        f"quantize to int8; {_BY_US}",
        fixes.shift_to_signed,
    ),
    Rule(
        "zero-point",
        "error",
        integers.zero_points,
        _PARSER,
        f"quantize symmetrically, so that the zero point is 0; {_BY_US}",
        fixes.shift_to_signed,
    ),
    Rule(
        "scale",
        "error",
        integers.scales,
        _PARSER,
        "calibrate again, on rows for which the tensor is not all zeros, or leave the layer out with `skip`",
    ),
    Rule(
        "axis",
        "error",
        integers.written_axes,
        _PARSER,
        "write `axis` where there are several scales",
        fixes.write_axis,
    ),
    Rule(
        "activation-channels",
        "error",
        integers.activation_channels,
        _PARSER,
        "give an activation one scale; only weights have one for each channel",
    ),
    Rule(
        "weight-channels",
        "error",
        integers.weight_channels,
        "TensorRT documentation, Working with Quantized Types: per-channel scales are those of output channels; "
        "github.com/NVIDIA/TensorRT/issues/2380 for ConvTranspose, whose axis 0 it is",
        f"give the weight one scale for each output channel, or one for all; {_BY_US}",
    ),
    Rule(
        "bias",
        "error",
        placement.biases,
        "github.com/microsoft/onnxruntime/issues/14229, github.com/onnx/onnx-tensorrt/issues/850",
        "keep biases in floating point: TensorRT adds them in 32 bits itself",
        fixes.return_bias,
    ),
    Rule(
        "half-quantized",
        "advice",
        placement.half_quantized,
        f"{_PLACEMENT}: quantize all inputs of weighted operations",
        "quantize both factors, or none",
    ),
    Rule(
        "float-operator",
        "advice",
        placement.float_operators,
        f"{_PLACEMENT}: Q/DQ that are not fused cost time",
        "let it read what was not rounded",
        fixes.pass_by,
    ),
    Rule(
        "repeated-pair",
        "advice",
        placement.repeated_pairs,
        f"{_PLACEMENT}: Q/DQ that are not fused cost time",
        "round once",
        fixes.drop_second,
    ),
    Rule(
        "stored-integers",
        "advice",
        placement.stored_integers,
        "github.com/microsoft/onnxruntime/issues/14229 (TensorRT 8 rejects it); TensorRT documentation, Explicit "
        "Quantization (10 and later read it)",
        "store the weight in floating point, with Q and DQ behind it",
        fixes.store_as_float,
    ),
    Rule(
        "residual",
        "advice",
        placement.residuals,
        f"{_PLACEMENT}: quantize the residual input in skip connections",
        f"put Q/DQ on the summand that is no convolution's own output; {_BY_US}",
    ),
)
