"""The sentences of findings: what was found, and what to change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from hfcompress.profiling.explanation import Reason

#: Names that a sentence holds.
_MOST_NAMES = 3


def why(reason: Reason, subject: str) -> str:
    """What was found.

    Args:
        reason: of the finding.
        subject: the kind of operator, or kinds; for `unfused` what the pattern lacks; nothing for other reasons.
    """
    match reason:
        case "activation_product":
            return f"{subject} of two activations: no factor is a weight that could be quantized ahead"
        case "excluded":
            return f"{subject} with a weight that was left out by name: `skip`, `fallback` or the quantizer's own list"
        case "operator_not_asked":
            return f"{subject} is a kind of operator that the quantizer was not asked for"
        case "unfused":
            missing = f" ({subject})" if subject else ""
            return f"Q/DQ stand around it, but ONNX Runtime made no integer product of them{missing}"
        case "unexplained":
            return f"{subject} with a weight that is still in floating point, and nothing in the artifact says why"
        case "slower":
            return "its integer product, with what quantizes and dequantizes for it, takes longer than in fp32"
        case "embedding":
            return "its table is stored in 8 bits, and what is looked up is dequantized"
        case "overhead":
            return f"between the products more time goes to {subject}: quantized on the way, or fused otherwise"
        case _:
            assert_never(reason)


def change(reason: Reason, subject: str, layers: Sequence[str]) -> str:
    """What to do about it, as one sentence."""
    named = _named(layers)
    match reason:
        case "activation_product":
            return (
                "Keep them: at run time they cost more to quantize than INT8 gains; `qat: {attention_products: true}` "
                "trains them for static INT8."
            )
        case "excluded":
            return (
                f"Take {named} out of `skip`, or allow a larger `fallback: {{max_drop: ...}}`, if the metric bears it."
            )
        case "operator_not_asked":
            return (
                f"Quantize {subject} too: static INT8 (`calibration: {{}}`) takes products of every kind with a weight."
            )
        case "unfused":
            return f"{_cure(subject)}, or leave {named} out with `skip`: Q/DQ without an integer product only cost."
        case "unexplained":
            return f"Quantize the fp32 export again with `hfcompress quantize`, and look for {named} in its log."
        case "slower":
            return (
                f"Leave {named} in floating point (`skip`), or serve larger batches: small products do not pay for "
                "quantizing their input."
            )
        case "embedding":
            return f"Keep it if the file should be small; for speed leave {named} in floating point (`skip`)."
        case "overhead" if "QLinear" not in subject:
            return "Compare with dynamic INT8, which has no Q/DQ between products, if this is static."
        case "overhead":
            return "Quantize products alone (MatMul, Gemm, Conv): ONNX Runtime can then fuse what is between them."
        case _:
            assert_never(reason)


def _cure(missing: str) -> str:
    if "bias" in missing:
        return "Give it a bias of its own"
    return (
        "Quantize its input and its output too" if missing else "Quantize it for the types that ONNX Runtime multiplies"
    )


def _named(layers: Sequence[str]) -> str:
    shown = ", ".join(f"`{layer}`" for layer in layers[:_MOST_NAMES])
    more = len(layers) - _MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown
