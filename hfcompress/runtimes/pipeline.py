"""`load_pipeline(path)`: an artifact as a `transformers.Pipeline`, with this project's batches behind it.

Reading arguments, preprocessing and postprocessing are Transformers' own, row by row, so that answers have its shapes
and keys. Only the computing is ours: rows are looked ahead in a window, sorted by length, batched by a token budget,
run side by side, and given back in their order. This imports torch, which Transformers' pipelines work with.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hfcompress.errors import InputError
from hfcompress.models.quiet import quiet
from hfcompress.recipe.tasks import TaskName
from hfcompress.runtimes.batching import Batching
from hfcompress.runtimes.load import LoadedModel, load_for
from hfcompress.runtimes.serving import batching_of
from hfcompress.runtimes.settings import Settings
from hfcompress.runtimes.streams import Streams

if TYPE_CHECKING:
    from transformers import Pipeline

#: Our name of a task -> that of Transformers' pipelines, where it is another one.
_PIPELINES: dict[TaskName, str] = {"masked-lm": "fill-mask"}
#: Without a serving file.
_BATCHING = Batching(rows=32, tokens=2048)
#: Inputs that a batch is filled up with where a row is shorter; ids are filled up with the tokenizer's own.
_PADDING = 0


def load_pipeline(
    path: Path | str,
    *,
    settings: Settings | None = None,
    batching: Batching | None = None,
    window: int = 512,
    artifact: str | None = None,
    revision: str | None = None,
    **options: Any,
) -> Pipeline:
    """An artifact as `transformers.pipeline(task, model)` gives it, only faster.

    It takes what that takes: one input, a list, a generator, a dataset. Lists and datasets are batched; the results
    are in the order of the inputs, and iterators give theirs lazily.

    Args:
        path: as for `load`.
        settings: what runs it; default: the best for throughput by the artifact's serving file for this host
            (`hfcompress tune`), or the format's own runtime on all cores.
        batching: of lists and datasets; default: likewise, or 32 rows and 2048 tokens. A `batch_size` above 1 in a call
            bounds its rows.
        window: inputs that are read ahead, and whose rows are held at once.
        artifact, revision: as for `load`.
        options: of Transformers' pipeline of the task: `top_k`, `aggregation_strategy`, `truncation`, ...

    Raises:
        InputError: as `load`; or the installed Transformers has no such pipeline, or `window` is not positive.
    """
    if window < 1:
        raise InputError(f"window should be 1 or more, got {window}")
    model = load_for("throughput", path, settings, artifact=artifact, revision=revision)
    streams = 1 if settings is None else settings.streams
    if model.serving is not None:
        streams = model.serving.settings.streams
        batching = batching or batching_of(model.serving.batching)
    engine = Engine(model, Streams(streams), batching or _BATCHING, window)
    return _make(model, engine, options)


def _make(model: LoadedModel, engine: Engine, options: Mapping[str, Any]) -> Pipeline:
    import inspect

    from transformers import Pipeline

    task = _PIPELINES.get(model.task.name, model.task.name)
    base = _pipeline_class(task)
    kind = type(f"Served{base.__name__}", (_Served, base), {"__module__": __name__, "engine": engine})
    # Of Transformers 4 alone, which would look at the model's class for it.
    framework = {"framework": "pt"} if "framework" in inspect.signature(Pipeline.__init__).parameters else {}
    processor = "image_processor" if model.task.name == "image-classification" else "tokenizer"
    with quiet("transformers.pipelines.base"):  # "Device set to use cpu"
        made: Pipeline = kind(
            model=_stand_in(model, engine),
            task=task,
            device="cpu",
            **{processor: model.processor},
            **framework,
            **options,
        )
    return made


def _pipeline_class(task: str) -> Any:
    import transformers
    from transformers.pipelines import PIPELINE_REGISTRY

    if task not in PIPELINE_REGISTRY.get_supported_tasks():
        raise InputError(
            f"Transformers {transformers.__version__} has no pipeline for {task}; use `load(...).answer(...)`, or "
            "Transformers 4"
        )
    return PIPELINE_REGISTRY.check_task(task)[1]["impl"]


class _Served:
    """What goes before a class of Transformers: how many rows are run. `__call__` and `run_single` stay its own."""

    engine: Engine

    def get_iterator(
        self: Any,
        inputs: Any,
        num_workers: int,
        batch_size: int,
        preprocess_params: dict[str, Any],
        forward_params: dict[str, Any],
        postprocess_params: dict[str, Any],
    ) -> Results:
        """Results in the order of the inputs. `num_workers` is not used: streams are the settings'."""
        from transformers.pipelines.base import ChunkPipeline

        in_chunks = isinstance(self, ChunkPipeline)
        most = batch_size if batch_size > 1 else None

        def results() -> Iterator[Any]:
            rest = _items(inputs)
            while window := list(islice(rest, self.engine.window)):
                made = [self.preprocess(item, **preprocess_params) for item in window]
                rows = [list(each) if in_chunks else [each] for each in made]
                outputs = iter(self.engine.outputs([row for each in rows for row in each], most))
                for each in rows:
                    answered = []
                    for row in each:
                        with self.model.answering(next(outputs)):
                            answered.append(self.forward(row, **forward_params))
                    yield self.postprocess(answered if in_chunks else answered[0], **postprocess_params)

        return Results(results(), inputs)


class Results(Iterator[Any]):
    """Lazy results; as long as what they are of, where that has a length."""

    def __init__(self, results: Iterator[Any], inputs: Any) -> None:
        self._results = results
        self._inputs = inputs

    def __next__(self) -> Any:
        return next(self._results)

    def __len__(self) -> int:
        return len(self._inputs)


def _items(inputs: Any) -> Iterator[Any]:
    """One input after another; of what has a length and places, by place, as torch reads a dataset."""
    if hasattr(inputs, "__len__") and hasattr(inputs, "__getitem__"):
        return (inputs[place] for place in range(len(inputs)))
    return iter(inputs)


class _StandIn:
    """What a pipeline takes for a model: gives outputs that were computed before, or computes."""

    def __init__(self, model: LoadedModel, engine: Engine, config: Any) -> None:
        import torch

        self.config = config
        self.device = torch.device("cpu")
        self.dtype = torch.float32
        self._engine = engine
        self._first = model.task.outputs
        self._computed = threading.local()

    @contextmanager
    def answering(self, outputs: Mapping[str, np.ndarray]) -> Iterator[None]:
        """Within the block a call in this thread gives these outputs."""
        self._computed.outputs = outputs
        try:
            yield
        finally:
            self._computed.outputs = None

    def forward(self, **inputs: Any) -> Any:
        """Outputs as tensors, those that the task reads first."""
        import torch
        from transformers.utils import ModelOutput

        outputs = getattr(self._computed, "outputs", None)
        if outputs is None:
            outputs = self._engine.outputs([inputs], None)[0]
        names = sorted(outputs, key=lambda name: name not in self._first)
        return ModelOutput({name: torch.tensor(outputs[name]) for name in names})

    __call__ = forward

    def can_generate(self) -> bool:
        """Never."""
        return False


def _stand_in(model: LoadedModel, engine: Engine) -> _StandIn:
    """Named after the model's class, by which pipelines know what they can serve."""
    from hfcompress.models.loading import load_config

    config = load_config(model.folder)
    names = getattr(config, "architectures", None) or ["Model"]
    kind: type[_StandIn] = type(names[0], (_StandIn,), {})
    return kind(model, engine, config)


class Engine:
    """From the model's inputs of each row to its outputs, many rows at a time."""

    def __init__(self, model: LoadedModel, streams: Streams, batching: Batching, window: int) -> None:
        self.model = model
        self.batching = batching
        self.window = window
        self._streams = streams
        self._fill = {"input_ids": getattr(model.processor, "pad_token_id", None) or 0}
        self._fill["token_type_ids"] = getattr(model.processor, "pad_token_type_id", 0)
        self._left = getattr(model.processor, "padding_side", "right") == "left"

    def outputs(self, rows: Sequence[Mapping[str, Any]], most: int | None) -> list[dict[str, np.ndarray]]:
        """The outputs of each, cut to its own length.

        Args:
            rows: what a pipeline's `preprocess` gave for each: arrays or tensors with one row, and other things.
            most: rows of a batch, where the caller bounds it.
        """
        inputs = [self._inputs_of(row) for row in rows]
        lengths = [_length(each) for each in inputs]
        batching = self.batching if most is None else Batching(most, self.batching.tokens, self.batching.sort)
        groups = batching.groups(lengths)
        found: list[dict[str, np.ndarray]] = [{} for _ in rows]
        batches = (self._batch([inputs[place] for place in group]) for group in groups)
        answers = self._streams.map(self.model.predict, batches)
        for group, answer in zip(groups, answers, strict=True):
            width = max(lengths[place] for place in group)
            for index, place in enumerate(group.tolist()):
                found[place] = {
                    name: self._cut(values[index : index + 1], lengths[place], width) for name, values in answer.items()
                }
        return found

    def _inputs_of(self, row: Mapping[str, Any]) -> dict[str, np.ndarray]:
        names = self.model.runtime.input_names
        inputs = {name: np.asarray(row[name]) for name in names if row.get(name) is not None}
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
        fill = self._fill.get(name, _PADDING)
        joined = np.full((len(arrays), width, *arrays[0].shape[2:]), fill, dtype=arrays[0].dtype)
        for index, array in enumerate(arrays):
            size = array.shape[1]
            joined[index, width - size if self._left else 0 : width if self._left else size] = array[0]
        return joined

    def _cut(self, values: np.ndarray, length: int, width: int) -> np.ndarray:
        """Without what was filled up, where an output has a place for each token."""
        if length == width or values.ndim < 2 or values.shape[1] != width:
            return values
        return values[:, width - length :] if self._left else values[:, :length]


def _length(inputs: Mapping[str, np.ndarray]) -> int:
    return int(inputs["input_ids"].shape[1]) if "input_ids" in inputs else 1
