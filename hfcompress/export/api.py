"""`export_onnx`: the export stage without a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hfcompress.artifact import check_replaceable, writing
from hfcompress.errors import InputError
from hfcompress.export.agreement import compare_rounded, decision_of
from hfcompress.export.check import Agreement, compare
from hfcompress.export.optimum import export_with_optimum
from hfcompress.export.rewrite import rewrite_where_it_holds
from hfcompress.export.rounded import check_layers
from hfcompress.models.fake_quant.folder import read_structure
from hfcompress.models.folder import check_safe, read_config, task_of
from hfcompress.runtimes.onnxruntime import OnnxRuntime
from hfcompress.runtimes.torch import TorchRuntime
from hfcompress.tasks import get_task
from hfcompress.tasks.base import Task

#: Shapes of the made-up batches that are compared when no examples are given: rows, tokens.
_SHAPES = ((1, 8), (3, 17), (8, 40))
#: Default for graphs that compute what PyTorch does.
TOLERANCE = 1e-3
#: Tokens after which examples are cut.
_MAX_LENGTH = 128


def export_onnx(
    model: Path | str,
    out: Path | str,
    *,
    examples: Sequence[Any] | None = None,
    opset: int | None = None,
    tolerance: float | None = None,
) -> Agreement:
    """Export a fine-tuned torch model folder to ONNX through Optimum, and compare the logits with PyTorch's.

    A fake-quantized folder becomes a Q/DQ graph, of which every layer has to be an integer operator in ONNX Runtime.

    Args:
        model: a local folder with the task's head, in safetensors.
        out: the folder to write; replaced as a whole, and only when the comparison holds.
        examples: strings, pairs of strings or images to compare on; made-up batches otherwise.
        opset: ONNX operator set; default: what Optimum takes for the model.
        tolerance: largest accepted |ONNX Runtime - PyTorch| of any logit; default: 0.001, and for a Q/DQ graph the
            bounds of `compare_rounded`.

    Raises:
        InputError: the folder cannot be exported, or `out` holds what is not a model.
        NumericalMismatchError: the exported model answers otherwise; nothing is written.
        StageError: a layer of a Q/DQ graph is no integer operator; nothing is written.
    """
    folder = Path(model)
    check_safe(folder)
    config = read_config(folder)
    task = task_of(config)
    if task is None:
        raise InputError(f"{folder} has no head for a task that hfcompress knows; fine-tune it first")
    check_replaceable(Path(out), folder)
    with writing(Path(out)) as temporary:
        export_with_optimum(folder, temporary, task, opset)
        batches = list(_batches(folder, get_task(task), examples))
        torch, structure = TorchRuntime(folder, task), read_structure(folder)

        def prove(graph: Path) -> Agreement:
            if structure is None:
                return compare(torch, OnnxRuntime(graph), batches, TOLERANCE if tolerance is None else tolerance)
            check_layers(graph, structure)
            decision = decision_of(task, get_task(task).labels_of_model(config))
            found = compare_rounded(torch, OnnxRuntime(graph), batches, decision, tolerance)
            return Agreement(found.largest, len(batches))

        agreement, _ = rewrite_where_it_holds(temporary, prove, target=None if structure is None else structure.reader)
        return agreement


def _batches(folder: Path, task: Task, examples: Sequence[Any] | None) -> Iterator[dict[str, np.ndarray]]:
    processor = task.load_processor(folder)
    if examples is None:
        for rows, tokens in _SHAPES:
            yield task.grid_batch(processor, rows, tokens, seed=0)
        return
    for size in (1, 8):
        for start in range(0, len(examples), size):
            yield task.preprocess(examples[start : start + size], processor, _MAX_LENGTH)
