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
from hfcompress.tasks.data import Data
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
        config: static where it has a calibration; its `fallback` is for recipes.
        data: its `train` split is calibrated on, its `validation` split compared on.
        progress: where progress goes.

    Raises:
        InputError: what is given cannot be used.
        StageError: the export answers otherwise, or there is nothing to quantize; nothing is written.
    """
    if not model.is_dir():
        raise InputError(f"{model} is no folder; give the folder of a torch or ONNX model")
    scheme = scheme_for(config.target, describe_host().flags)
    compared = None  # its rows are read before the long work, so that what is wrong with them is said before it
    if data is not None and "validation" in data.splits:
        compared = _Compared(data, _task_of(model), model)
    with TemporaryDirectory() as folder:
        source = model
        if format_of(model) == "torch":
            source = Path(folder) / "onnx"
            progress.say(f"exporting {model.name}")
            export_onnx(model, source)
        progress.say(f"quantizing {model.name}")
        count = quantize_folder(source, out, config, data)
        comparison = None if compared is None else compared.compare(source, out, progress)
        return Quantized(scheme.target, count, (model_bytes(source) / 1e6, model_bytes(out) / 1e6), comparison)


def _task_of(model: Path) -> Task:
    name = task_of(read_config(model))
    if name is None:
        raise ModelError(f"{model} has no head for a task that hfcompress knows")
    return get_task(name)


class _Compared:
    """The rows that INT8 is compared with floating point on."""

    def __init__(self, config: DataConfig, task: Task, model: Path) -> None:
        self.config, self.task = config, task
        self.known: Data | None = None
        if has_labels(config, "validation", task.name):
            rows = config.model_copy(update={"splits": {"validation": config.splits["validation"]}})
            self.known = load_data(rows, task, model, seed=0)

    def compare(self, source: Path, out: Path, progress: Progress) -> Comparison | None:
        """Answers of two folders; None where a task's answers cannot be made without labels."""
        if self.known is not None:
            return self._with_labels(self.known, source, out, progress)
        if self.task.name in _OF_SEVERAL_ROWS:
            return None
        before, after = (_predictions(folder, self.config, "validation", self.task) for folder in (source, out))
        return Comparison(len(before), agreement(after, before), {})

    def _with_labels(self, known: Data, source: Path, out: Path, progress: Progress) -> Comparison:
        split: Split = "validation"
        answers = [
            predict_split(Artifact(folder, "onnx"), split, known, progress, f"{title}: {split}")
            for folder, title in ((source, "floating point"), (out, "INT8"))
        ]
        metric = self.task.metrics(known.labels)[0]
        values = [score(each, known, [metric], split, seed=0)[metric].value for each in answers]
        columns = [each["prediction"] for each in answers]
        return Comparison(len(columns[0]), agreement(columns[1], columns[0]), {metric: (values[0], values[1])})


def _predictions(folder: Path, data: DataConfig, split: Split, task: Task) -> Column:
    """Predictions of rows whose labels are not read, in one order for every folder with the same processor."""
    runtime, labels = OnnxRuntime(folder), task.labels_of_model(read_config(folder))
    batches = unlabelled_batches(data, split, task, folder)
    return concatenate([task.predictions(runtime.predict(batch), batch, labels)["prediction"] for batch in batches])
