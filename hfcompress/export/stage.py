"""The `export` stage: Optimum writes the graph, ONNX Runtime must answer as PyTorch does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hfcompress.artifact import Artifact
from hfcompress.export.api import TOLERANCE
from hfcompress.export.check import Agreement, compare, compare_in_spreads
from hfcompress.export.half import TOLERANCE as HALF_TOLERANCE
from hfcompress.export.half import halve_
from hfcompress.export.optimum import export_with_optimum
from hfcompress.export.rewrite import rewrite_where_it_holds
from hfcompress.export.rounded import prove_rounded
from hfcompress.models.fake_quant.folder import Structure, read_structure
from hfcompress.recipe.stages import ExportConfig
from hfcompress.runtimes.onnxruntime import OnnxRuntime
from hfcompress.runtimes.torch import TorchRuntime
from hfcompress.stage import Inputs, Run

logger = logging.getLogger(__name__)

#: Batch sizes that the check goes through: one row alone, and batches of rows of unequal length.
_BATCH_SIZES = (1, 3, 16)
_ROWS_EACH = 32
#: What the manifest of a `qat` artifact says that also holds for its export.
_OF_QAT = ("target", "reason", "skip")


def export(config: ExportConfig, inputs: Inputs, run: Run) -> Artifact:
    """Export the source, and compare its logits with PyTorch's on real validation rows."""
    source = inputs.source
    export_with_optimum(source.path, run.out, run.task, config.opset, trust_remote_code=source.trusted)
    structure = read_structure(source.path)
    proven, rewritten = rewrite_where_it_holds(
        run.out,
        _proof(config, source, structure, run),
        first_token=config.first_token_only,
        target=None if structure is None else structure.reader,
    )
    if config.dtype == "fp16":
        rewritten = {**rewritten, **_in_half(config, source, run)}
    trained_for = {name: value for name, value in (source.details or {}).items() if name in _OF_QAT}
    details = {**trained_for, **proven, **rewritten}
    logger.info("%s: logits differ by at most %.2g", run.name, details["largest_difference"])
    return Artifact(run.out, "onnx", details=details)


def _in_half(config: ExportConfig, source: Artifact, run: Run) -> dict[str, Any]:
    """Put the proven graph in float16, and prove it again, on the CPU, with the bounds of float16."""
    tolerance = HALF_TOLERANCE if config.tolerance is None else config.tolerance
    half = OnnxRuntime(halve_(run.out))
    found = compare_in_spreads(_torch(source, run), half, _batches(source.path, run), tolerance)
    return {"dtype": "fp16", "fp16_tolerance": tolerance, "fp16_largest_difference": found.largest}


#: A graph -> the figures of its comparison with the source; raises where it is not as it should be.
Prove = Callable[[Path], dict[str, Any]]


def _proof(config: ExportConfig, source: Artifact, structure: Structure | None, run: Run) -> Prove:
    if structure is not None:
        return lambda graph: prove_rounded(source, structure, graph, run, config.tolerance)
    tolerance = TOLERANCE if config.tolerance is None else config.tolerance

    def prove(graph: Path) -> dict[str, Any]:
        agreement = check_export(source, OnnxRuntime(graph), run, tolerance)
        return {
            "tolerance": tolerance,
            "largest_difference": agreement.largest,
            "batches": agreement.batches,
        }

    return prove


def check_export(source: Artifact, exported: OnnxRuntime, run: Run, tolerance: float) -> Agreement:
    """Compare an exported model with its source on validation rows of several lengths and batch sizes.

    Raises:
        NumericalMismatchError: they differ by more than `tolerance`.
    """
    return compare(_torch(source, run), exported, _batches(source.path, run), tolerance)


def _torch(source: Artifact, run: Run) -> TorchRuntime:
    return TorchRuntime(source.path, run.task, trust_remote_code=source.trusted)


def _batches(source: Path, run: Run) -> Iterator[dict[str, np.ndarray]]:
    processor = run.data.task.load_processor(source)
    split = "validation" if "validation" in run.data.rows.splits else next(iter(run.data.rows.splits))
    prepared = run.data.prepared(split, processor)
    for turn, size in enumerate(_BATCH_SIZES):
        # Rows spread over the whole split, unsorted within a batch, so that padding is part of what is compared.
        chosen = np.random.default_rng([run.seed, turn]).permutation(len(prepared))[:_ROWS_EACH]
        collate = run.data.task.collate(processor)
        for start in range(0, len(chosen), size):
            yield collate([prepared[int(index)] for index in chosen[start : start + size]])
