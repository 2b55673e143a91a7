"""`simulate`: what an INT8 artifact answers on another CPU, without a recipe."""

from __future__ import annotations

from pathlib import Path

from hfcompress.errors import ModelError
from hfcompress.models.folder import read_config, task_of
from hfcompress.progress import SILENT, Progress
from hfcompress.quantize.simulation import SIMULATED_ROWS, Simulation, simulate_cpu
from hfcompress.recipe.data import DataConfig, Split
from hfcompress.runtimes.load import format_of
from hfcompress.runtimes.simulated.runtime import SimulatedCpu
from hfcompress.tasks import get_task
from hfcompress.tasks.loading import load_data


def simulate(
    model: Path | str,
    cpu: SimulatedCpu,
    *,
    data: DataConfig,
    split: Split = "validation",
    rows: int = SIMULATED_ROWS,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Simulation:
    """Answer rows of a dataset as a kind of CPU would: x86 CPUs without VNNI saturate 8-bit products.

    To see single answers instead: `load(model, runtime="simulated:avx2")`.

    Args:
        model: the folder of an INT8 model in ONNX.
        cpu: what to simulate.
        data: rows with labels.
        split: the role of the split in `data` that is read.
        rows: at most so many.
        seed: chooses among the rows.
        progress: where progress goes.

    Raises:
        InputError: the folder or the data cannot be used, or there is no such CPU.
    """
    folder = Path(model)
    if not folder.is_dir() or format_of(folder) != "onnx":
        raise ModelError(f"{folder} holds no ONNX model; give the folder of an INT8 artifact")
    task = task_of(read_config(folder))
    if task is None:
        raise ModelError(f"{folder} has no head for a task that hfcompress knows")
    found = load_data(data, get_task(task), folder, seed)
    return simulate_cpu(folder, cpu, found, split, rows=rows, progress=progress)
