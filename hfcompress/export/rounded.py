"""What a Q/DQ graph has to show: it decides as the fake-quantized model does, and each layer of the plan is integer."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from hfcompress.artifact import Artifact
from hfcompress.errors import StageError
from hfcompress.export.agreement import compare_rounded, decision_of
from hfcompress.models.fake_quant.folder import Structure
from hfcompress.onnx_graph.lint import check_readable, quantized_products
from hfcompress.onnx_graph.placement import UNUSED, in_floating_point, placement
from hfcompress.runtimes.base import Runtime
from hfcompress.runtimes.onnxruntime import OnnxRuntime
from hfcompress.runtimes.openvino import OpenVinoRuntime
from hfcompress.runtimes.torch import TorchRuntime
from hfcompress.stage import Run


def prove_rounded(
    source: Artifact,
    structure: Structure,
    graph: Path,
    run: Run,
    tolerance: float | None,
    exported: Runtime | None = None,
) -> dict[str, Any]:
    """Compare a graph with its fake-quantized source on all validation rows, and look at it once it is optimized.

    Args:
        source: the fake-quantized model.
        structure: of it.
        graph: what was exported.
        run: gives the rows.
        tolerance: see `compare_rounded`.
        exported: the graph in what will run it; default: ONNX Runtime.

    Returns:
        The figures, for the manifest.

    Raises:
        StageError: a layer is no integer operator (named).
        NumericalMismatchError: the answers differ; see `compare_rounded`.
    """
    exported = OnnxRuntime(graph) if exported is None else exported
    if isinstance(exported, OpenVinoRuntime):
        placed = check_executed(exported, structure)
    else:
        placed = check_layers(graph, structure)
    processor = run.data.task.load_processor(source.path)
    split = "validation" if "validation" in run.data.rows.splits else next(iter(run.data.rows.splits))
    batches = run.data.batches(run.data.prepared(split, processor), processor, run.data.task.predict_rows)
    torch = TorchRuntime(source.path, run.task, trust_remote_code=source.trusted)
    decision = decision_of(run.task, run.data.labels)
    agreement = compare_rounded(torch, exported, batches, decision, tolerance)
    return {**agreement.details, "integer_layers": len(placed), "operators": dict(Counter(placed.values()))}


def check_layers(graph: Path, structure: Structure) -> dict[str, str]:
    """Layer -> the operator that multiplies its integers: in ONNX Runtime here, or the one that another target fuses
    with the Q/DQ around it.

    Raises:
        StageError: see `check_placement` and `check_readable`.
    """
    if structure.reader is not None:
        check_readable(graph, structure.reader)
        return quantized_products(graph)
    return {name: kind for name, kind in check_placement(graph, structure).items() if kind != UNUSED}


def check_executed(runtime: OpenVinoRuntime, structure: Structure) -> dict[str, str]:
    """Layer, or what else is a product -> the operator of OpenVINO that multiplies its integers.

    Tables are left out, since nothing multiplies them.

    Raises:
        StageError: names those that compute in floating point.
    """
    placed, left = dict[str, str](), list[str]()
    for product in runtime.products():
        if product.is_integer:
            placed[product.layer if product.layer in structure.layers else product.names] = product.kind
        elif product.layer in structure.layers:
            left.append(f"{product.layer} ({product.kind})")
    if left or not placed:
        named = ", ".join(left) or "none of the plan was found"
        raise StageError(
            f"{len(left)} of {len(left) + len(placed)} layers did not become integer operators in OpenVINO: {named}; "
            "name them in `skip` of the qat stage, so that training does not round what will not be rounded"
        )
    return placed


def check_placement(graph: Path, structure: Structure) -> dict[str, str]:
    """Layer -> its operator in the optimized graph, for every layer of the plan.

    Raises:
        StageError: names those that compute in floating point, with what they became.
    """
    placed = placement(graph, structure.planned)
    left = in_floating_point(placed)
    if left:
        named = ", ".join(f"{name} ({kind})" for name, kind in left.items())
        raise StageError(
            f"{len(left)} of {len(placed)} layers did not become integer operators in ONNX Runtime: {named}; name them "
            "in `skip` of the qat stage, so that training does not round what will not be rounded"
        )
    if all(kind == UNUSED for kind in placed.values()):
        raise StageError(f"none of the {len(placed)} layers of the plan is in the graph; export it again")
    return placed
