"""The data of a model from outside a recipe: its classes are the model's own."""

from __future__ import annotations

from pathlib import Path

from hfcompress.errors import InputError
from hfcompress.models.folder import read_config
from hfcompress.recipe.data import DataConfig
from hfcompress.tasks.base import Task
from hfcompress.tasks.data import Data
from hfcompress.tasks.dataset import load_rows
from hfcompress.tasks.labels import misfit


def load_data(config: DataConfig, task: Task, model: Path, seed: int) -> Data:
    """Rows whose labels are in the order of those of a model folder.

    Raises:
        DataError: the rows cannot be read.
        InputError: their labels are not those of the model.
    """
    rows = load_rows(config, task.name, seed)
    known = task.labels_of_model(read_config(model))
    where = f"the data in {config.path}"
    found = task.labels_of(next(iter(rows.splits.values())), where, known)
    labels = task.align(found, known)
    if labels is None:
        raise InputError(f"{where} {misfit(found, known, model.name)}")
    data = Data(task, rows, labels, config.max_length, seed)
    data.check_labels()
    return data
