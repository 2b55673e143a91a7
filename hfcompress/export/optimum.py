"""The one place that calls Optimum's exporter, so that a second exporter can come beside it."""

from __future__ import annotations

import warnings
from pathlib import Path

from hfcompress.errors import StageError
from hfcompress.extras import require
from hfcompress.models.quiet import quiet
from hfcompress.recipe.tasks import TaskName


def export_with_optimum(
    source: Path, out: Path, task: TaskName, opset: int | None, *, trust_remote_code: bool = False
) -> None:
    """Write `model.onnx`, the config and the processor of a torch model folder into `out`.

    Raises:
        ExtraError: Optimum is not installed.
        StageError: Optimum cannot export this model; its reason.
    """
    require("onnxruntime", "the `export` stage")
    from optimum.exporters.onnx import main_export

    try:
        # Tracer warnings and log lines tell a user nothing that the numerical check does not prove.
        with quiet("optimum", "torch.onnx", "transformers"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Its own validation uses dummy inputs and only warns: ours compares real rows and fails.
            main_export(
                str(source),
                str(out),
                task=task,
                opset=opset,
                do_validation=False,
                local_files_only=True,
                trust_remote_code=trust_remote_code,
                library_name="transformers",
            )
    except (ValueError, KeyError, NotImplementedError, RuntimeError) as error:
        raise StageError(f"Optimum could not export {source.name} for {task}: {error}") from error
