"""From single rows to batches and back: what one row is given is what the same row alone would be given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hfcompress.errors import InputError
from hfcompress.runtimes.batching import Batching
from hfcompress.runtimes.load import LoadedModel
from hfcompress.runtimes.streams import Streams


class RowBatches:
    """A model that takes many rows at a time, each with its own length.

    Args:
        model: what computes.
        streams: calls side by side.
        batching: which rows meet.
        window: rows that whoever reads them one by one should hand over together.
    """

    def __init__(self, model: LoadedModel, streams: Streams, batching: Batching, window: int) -> None:
        self.model = model
        self.batching = batching
        self.window = window
        self.streams = streams
        self._fill = {"input_ids": getattr(model.processor, "pad_token_id", None) or 0}
        self._fill["token_type_ids"] = getattr(model.processor, "pad_token_type_id", 0)
        self._left = getattr(model.processor, "padding_side", "right") == "left"

    def outputs(self, rows: Sequence[Mapping[str, Any]], most: int | None) -> list[dict[str, np.ndarray]]:
        """The outputs of each, cut to its own length.

        Args:
            rows: what a pipeline's `preprocess` gave for each: arrays or tensors with one row, and other things.
            most: rows of a batch, where the caller bounds it.

        Raises:
            InputError: one has several rows.
        """
        inputs = [self._inputs_of(row) for row in rows]
        lengths = [_length(each) for each in inputs]
        batching = self.batching if most is None else replace(self.batching, rows=most)
        groups = batching.groups(lengths)
        batches = (self._batch([inputs[place] for place in group]) for group in groups)
        found: list[dict[str, np.ndarray]] = [{} for _ in rows]
        for group, answer in zip(groups, self.streams.map(self.model.predict, batches), strict=True):
            for index, place in enumerate(group.tolist()):
                found[place] = {
                    name: self._cut(name, values[index : index + 1], lengths[place]) for name, values in answer.items()
                }
        return found

    def _inputs_of(self, row: Mapping[str, Any]) -> dict[str, np.ndarray]:
        names = self.model.runtime.input_names
        inputs = {name: np.asarray(row[name]) for name in names if row.get(name) is not None}
        if any(len(array) != 1 for array in inputs.values()):
            raise InputError("an input became several rows; give them as inputs of their own")
        if "token_type_ids" in names and "input_ids" in inputs:  # the graph needs what the tokenizer does not give
            inputs.setdefault("token_type_ids", np.zeros_like(inputs["input_ids"]))
        return inputs

    def _batch(self, rows: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        return {name: self._joined(name, [row[name] for row in rows]) for name in rows[0]}

    def _joined(self, name: str, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Rows below each other, filled up on axis 1 where they are text."""
        if len({array.shape[1:] for array in arrays}) == 1:
            return np.concatenate(arrays)
        width = max(array.shape[1] for array in arrays)
        fill = self._fill.get(name, 0)
        joined = np.full((len(arrays), width, *arrays[0].shape[2:]), fill, dtype=arrays[0].dtype)
        for index, array in enumerate(arrays):
            size = array.shape[1]
            joined[index, width - size if self._left else 0 : width if self._left else size] = array[0]
        return joined

    def _cut(self, name: str, values: np.ndarray, length: int) -> np.ndarray:
        """Without what was filled up, where an output has a place for each token."""
        task = self.model.task
        if name not in task.outputs or (values.ndim < 3 and task.answers_rows):
            return values
        return values[:, values.shape[1] - length :] if self._left else values[:, :length]


def _length(inputs: Mapping[str, np.ndarray]) -> int:
    return int(inputs["input_ids"].shape[1]) if "input_ids" in inputs else 1
