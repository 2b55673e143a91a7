"""INT8 of one model without a recipe, and how it answers beside the model that it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from hfcompress.artifact import Artifact, model_bytes
from hfcompress.errors import InputError, ModelError
from hfcompress.export.api import export_onnx
from hfcompress.host import describe_host
from hfcompress.models.folder import read_config, task_of
from hfcompress.pipeline.predictions import predict_split
from hfcompress.pipeline.score import score
from hfcompress.progress import SILENT, Progress
from hfcompress.quantize.api import quantize_folder
from hfcompress.quantize.rows import unlabelled_batches
from hfcompress.quantize.targets import scheme_for
from hfcompress.recipe.data import DataConfig, Split
from hfcompress.recipe.stages import QuantizeConfig
from hfcompress.runtimes.load import format_of
from hfcompress.runtimes.onnxruntime import OnnxRuntime
from hfcompress.tasks import get_task
from hfcompress.tasks.agreement import agreement
from hfcompress.tasks.base import Task
from hfcompress.tasks.columns import Column, concatenate
from hfcompress.tasks.dataset import has_labels
from hfcompress.tasks.loading import load_data

#: Tasks whose predictions are made of the outputs of several rows, and of what their labels say.
_OF_SEVERAL_ROWS = ("feature-extraction", "question-answering")


@dataclass(frozen=True)
class Comparison:
    """INT8 beside floating point on the same rows.

    Attributes:
        rows: how many.
        agreement: share of equal predictions; numbers are equal within 1% of their range.
        metrics: metric -> (floating point, INT8); empty where the rows have no labels.
    """

    rows: int
    agreement: float
    metrics: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Quantized:
    """What came out.

    Attributes:
        target: for which the graph is.
        integer_operators: how many products multiply integers.
        size_mb: of (floating point, INT8), 10^6 bytes of weights and graph.
        comparison: None where there are no rows that can be compared, or the target does not run here.
    """

    target: str
    integer_operators: int
    size_mb: tuple[float, float]
    comparison: Comparison | None


def quantize_model(
    model: Path, out: Path, config: QuantizeConfig, data: DataConfig | None = None, progress: Progress = SILENT
) -> Quantized:
    """Write INT8 of a torch or ONNX folder, and compare it with what it was made from.

    Args:
        model: the folder; torch is exported first.
        out: the folder to write; replaced as a whole.
        config: static where it has a calibration; its `fallback` and `smooth` are for recipes.
        data: its `train` split is calibrated on, its `validation` split compared on.
        progress: where progress goes.

    Raises:
        InputError: what is given cannot be used.
        StageError: the export answers otherwise, or there is nothing to quantize; nothing is written.
    """
    if not model.is_dir():
        raise InputError(f"{model} is no folder; give the folder of a torch or ONNX model")
    with TemporaryDirectory() as folder:
        source = model
        if format_of(model) == "torch":
            source = Path(folder) / "onnx"
            progress.say(f"exporting {model.name}")
            export_onnx(model, source)
        progress.say(f"quantizing {model.name}")
        count = quantize_folder(source, out, config, data)
        scheme = scheme_for(config.target, describe_host().flags)
        runs = scheme.provider == "CPUExecutionProvider" and data is not None and "validation" in data.splits
        compared = _compare(source, out, data, progress) if runs and data is not None else None
        sizes = model_bytes(source) / 1e6, model_bytes(out) / 1e6
        return Quantized(scheme.target, count, sizes, compared)


def _compare(source: Path, out: Path, data: DataConfig, progress: Progress) -> Comparison | None:
    name = task_of(read_config(source))
    if name is None:
        raise ModelError(f"{source} has no head for a task that hfcompress knows")
    task, split = get_task(name), "validation"
    if not has_labels(data, "validation", name):
        if name in _OF_SEVERAL_ROWS:
            return None
        before, after = (_predictions(folder, data, "validation", task) for folder in (source, out))
        return Comparison(len(before), agreement(after, before), {})
    rows = data.model_copy(update={"splits": {"validation": data.splits["validation"]}})
    known = load_data(rows, task, source, seed=0)
    answers = [
        predict_split(Artifact(folder, "onnx"), "validation", known, progress, f"{title}: {split}")
        for folder, title in ((source, "floating point"), (out, "INT8"))
    ]
    metric = task.metrics(known.labels)[0]
    values = [score(each, known, [metric], "validation", seed=0)[metric].value for each in answers]
    columns = [each["prediction"] for each in answers]
    return Comparison(len(columns[0]), agreement(columns[1], columns[0]), {metric: (values[0], values[1])})


def _predictions(folder: Path, data: DataConfig, split: Split, task: Task) -> Column:
    """Predictions of rows whose labels are not read, in one order for every folder with the same processor."""
    runtime, labels = OnnxRuntime(folder), task.labels_of_model(read_config(folder))
    batches = unlabelled_batches(data, split, task, folder)
    return concatenate([task.predictions(runtime.predict(batch), batch, labels)["prediction"] for batch in batches])
