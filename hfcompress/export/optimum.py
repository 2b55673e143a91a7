"""The one place that calls Optimum's exporter, so that a second exporter can come beside it."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

from hfcompress.errors import StageError
from hfcompress.extras import require
from hfcompress.recipe.tasks import TaskName


def export_with_optimum(source: Path, out: Path, task: TaskName, opset: int | None) -> None:
    """Write `model.onnx`, the config and the processor of a torch model folder into `out`.

    Raises:
        ExtraError: Optimum is not installed.
        StageError: Optimum cannot export this model; its reason.
    """
    require("onnxruntime", "the `export` stage")
    from optimum.exporters.onnx import main_export

    try:
        with _quiet():
            # Its own validation uses dummy inputs and only warns: ours compares real rows and fails.
            main_export(
                str(source), str(out), task=task, opset=opset, do_validation=False, local_files_only=True,
                library_name="transformers",
            )
    except (ValueError, KeyError, NotImplementedError, RuntimeError) as error:
        raise StageError(f"Optimum could not export {source.name} for {task}: {error}") from error


class _quiet(warnings.catch_warnings):  # noqa: N801 - used as a function
    """Tracer warnings and Optimum's log lines tell a user nothing that the numerical check does not prove."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore")
        self._loggers = [logging.getLogger(name) for name in ("optimum", "torch.onnx", "root")]
        self._levels = [logger.level for logger in self._loggers]
        for logger in self._loggers:
            logger.setLevel(logging.ERROR)

    def __exit__(self, *raised: object) -> None:
        for logger, level in zip(self._loggers, self._levels, strict=True):
            logger.setLevel(level)
        super().__exit__(*raised)
