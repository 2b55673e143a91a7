"""`explain`: why an INT8 model is as fast as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hfcompress.errors import InputError
from hfcompress.extras import require
from hfcompress.host import default_threads, describe_host
from hfcompress.models.folder import read_config, task_of
from hfcompress.onnx_graph.file import model_file
from hfcompress.onnx_graph.layers import QUANTIZING
from hfcompress.onnx_graph.operators import INTEGER_OPERATORS, operator_counts
from hfcompress.profiling.asked import read_asked
from hfcompress.profiling.explanation import Explanation
from hfcompress.profiling.findings import find
from hfcompress.profiling.session import Batches, pass_seconds, profiled
from hfcompress.profiling.times import Profiled, layer_times, median_ms, operator_times
from hfcompress.profiling.workload import Workload, batches_of, made_up, shape_of
from hfcompress.progress import SILENT, Progress
from hfcompress.recipe.data import DataConfig
from hfcompress.runtimes.load import format_of
from hfcompress.tasks import get_task
from hfcompress.tasks.base import Task
from hfcompress.tasks.loading import load_data


def explain(
    model: Path | str,
    against: Path | str,
    *,
    data: DataConfig | None = None,
    workload: Workload = Workload(),
    progress: Progress = SILENT,
) -> Explanation:
    """Profile an INT8 model beside its fp32 source, and say where time goes, what stayed in floating point, and why.

    Both run in turns in this process, on the CPU.

    Args:
        model: an ONNX folder with integer operators or Q/DQ.
        against: the fp32 ONNX folder that it was made from.
        data: rows to run on, those of the one split that it names (or of its `test`); without it a made-up batch.
        workload: how much is run.
        progress: sees one bar.

    Raises:
        InputError: a folder is not what it should be, or the two are not of one model.
        ExtraError: ONNX Runtime is not installed.
    """
    require("onnxruntime", "`explain`")
    int8, fp32 = Path(model), Path(against)
    task = _checked(int8, fp32)
    batches = _batches(task, int8, data, workload)
    threads = workload.threads or default_threads()
    with progress.bar("profiling", 4 * (workload.passes + 1)) as bar:
        plain = pass_seconds((int8, fp32), batches, workload.passes, threads, bar)
        ours, theirs = profiled((int8, fp32), batches, workload.passes, threads, bar)
    _check_same_model(int8, ours, fp32, theirs)
    return Explanation(
        model=int8.resolve().name,
        against=fp32.resolve().name,
        host=describe_host().model_dump(mode="json"),
        threads=threads,
        shapes=tuple(shape_of(task, batch) for batch in batches),
        passes=workload.passes,
        **_speed(plain),
        **_breakdown(ours, theirs),
        findings=find(ours, theirs, read_asked(int8)),
    )


def _checked(int8: Path, fp32: Path) -> Task:
    """The common task of both folders."""
    tasks = []
    for folder in (int8, fp32):
        if not folder.is_dir():
            raise InputError(f"{folder} is no folder; give the folder of an ONNX model")
        if format_of(folder) == "openvino":
            raise InputError(f"{folder} is in OpenVINO's format, and what is explained is ONNX; give an `onnx` export")
        if format_of(folder) != "onnx":
            raise InputError(
                f"{folder} is no ONNX model; export it first: `hfcompress.export_onnx`, or an `export` stage"
            )
        task = task_of(read_config(folder))
        if task is None:
            raise InputError(f"{folder} has no head for a task that hfcompress knows")
        tasks.append(task)
    if tasks[0] != tasks[1]:
        raise InputError(f"{int8} is for {tasks[0]} and {fp32} for {tasks[1]}; give the export that it was made from")
    if not _is_quantized(int8):
        raise InputError(f"{int8} holds neither integer products nor Q/DQ; give the INT8 model first, then --against")
    if _is_quantized(fp32):
        raise InputError(f"{fp32} is quantized too; give the fp32 export that {int8} was made from")
    return get_task(tasks[0])


def _is_quantized(folder: Path) -> bool:
    return not (INTEGER_OPERATORS | QUANTIZING).isdisjoint(operator_counts(model_file(folder)))


def _batches(task: Task, model: Path, data: DataConfig | None, workload: Workload) -> Batches:
    if data is None:
        return made_up(task, model, workload)
    rows = load_data(data, task, model, workload.seed)
    split = "test" if "test" in data.splits else next(iter(data.splits))
    return batches_of(rows, split, model, workload)


def _check_same_model(int8: Path, ours: Profiled, fp32: Path, theirs: Profiled) -> None:
    products = {layer for layer in ours.by_layer if ours.products_of(layer)}
    unknown = sorted(products - theirs.by_layer.keys())
    if products and len(unknown) == len(products):
        raise InputError(
            f"{int8} and {fp32} are not of one model: {unknown[0]} and all others are in the first alone; give the "
            "fp32 export that it was made from"
        )


def _speed(seconds: np.ndarray) -> dict[str, float]:
    """Figures of a pass; the INT8 model's seconds come first."""
    low, middle, high = (float(ratio) for ratio in np.percentile(seconds[1] / seconds[0], (25, 50, 75)))
    return {
        "int8_ms": median_ms(seconds[0]),
        "fp32_ms": median_ms(seconds[1]),
        "speedup": middle,
        "speedup_low": low,
        "speedup_high": high,
    }


def _breakdown(int8: Profiled, fp32: Profiled) -> dict[str, Any]:
    return {
        "int8_profiled_ms": median_ms(int8.seconds.sum(axis=1)),
        "fp32_profiled_ms": median_ms(fp32.seconds.sum(axis=1)),
        "operators": operator_times(int8, fp32),
        "layers": layer_times(int8, fp32),
    }
