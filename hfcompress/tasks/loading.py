"""The data of a model from outside a recipe: its classes are the model's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hfcompress.errors import InputError
from hfcompress.models.folder import read_config
from hfcompress.recipe.data import DataConfig, Split
from hfcompress.tasks.base import Task
from hfcompress.tasks.data import Data
from hfcompress.tasks.dataset import load_inputs, load_rows
from hfcompress.tasks.labels import misfit

if TYPE_CHECKING:
    from datasets import Dataset


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


def load_prepared_inputs(config: DataConfig, role: Split, task: Task, model: Path, seed: int = 0) -> Dataset:
    """Rows of one split as inputs of a model folder, cut at the config's `max_length`; labels are not read.

    Args:
        config: the dataset; its `limit` says how many rows.
        role: the role of the split.
        task: the model's.
        model: its folder, with config and processor.
        seed: chooses the rows.

    Raises:
        DataError: the dataset, the split or a column is missing, or there are no rows.
    """
    labels = task.labels_of_model(read_config(model))
    rows = task.without_labels(load_inputs(config, role, task.name, seed), labels)
    return task.prepare(rows, task.load_processor(model), config.max_length, seed)
