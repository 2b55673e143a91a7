"""`load_pipeline(path)`: an artifact as a `transformers.Pipeline`, with this project's batches behind it.

Reading arguments, preprocessing and postprocessing are Transformers' own, row by row, so that answers have its shapes
and keys. Only the computing is ours: rows are looked ahead in a window, sorted by length, batched by a token budget,
run side by side, and given back in their order. This imports torch, which Transformers' pipelines work with.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hfcompress.errors import InputError, ModelError
from hfcompress.models.quiet import quiet
from hfcompress.recipe.tasks import TaskName
from hfcompress.runtimes.batching import Batching
from hfcompress.runtimes.load import LoadedModel, load_for
from hfcompress.runtimes.row_batches import RowBatches
from hfcompress.runtimes.serving import batching_of
from hfcompress.runtimes.settings import Settings
from hfcompress.runtimes.streams import Streams

if TYPE_CHECKING:
    from transformers import Pipeline

#: Task -> its name in Transformers' pipelines, and the class.
_PIPELINES: dict[TaskName, tuple[str, str]] = {
    "text-classification": ("text-classification", "TextClassificationPipeline"),
    "token-classification": ("token-classification", "TokenClassificationPipeline"),
    "masked-lm": ("fill-mask", "FillMaskPipeline"),
    "feature-extraction": ("feature-extraction", "FeatureExtractionPipeline"),
    "question-answering": ("question-answering", "QuestionAnsweringPipeline"),
    "image-classification": ("image-classification", "ImageClassificationPipeline"),
}
#: Without a serving file.
_BATCHING = Batching(rows=32, tokens=2048)


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
    batches = RowBatches(model, Streams(streams), batching or _BATCHING, window)
    return _make(model, batches, options)


def _make(model: LoadedModel, batches: RowBatches, options: Mapping[str, Any]) -> Pipeline:
    import inspect

    from transformers import Pipeline

    task, name = _PIPELINES[model.task.name]
    base = _pipeline_class(task, name)
    kind = type(f"Served{base.__name__}", (_Served, base), {"__module__": __name__, "batches": batches})
    # Of Transformers 4 alone, which would look at the model's class for it.
    framework = {"framework": "pt"} if "framework" in inspect.signature(Pipeline.__init__).parameters else {}
    processor = "image_processor" if model.task.name == "image-classification" else "tokenizer"
    with quiet("transformers.pipelines.base"):  # "Device set to use cpu"
        made: Pipeline = kind(
            model=_stand_in(model, batches),
            task=task,
            device="cpu",
            **{processor: model.processor},
            **framework,
            **options,
        )
    return made


def _pipeline_class(task: str, name: str) -> Any:
    import transformers

    if not hasattr(transformers, name):
        raise InputError(
            f"Transformers {transformers.__version__} has no pipeline for {task}; use `load(...).answer(...)`, or "
            "Transformers 4"
        )
    return getattr(transformers, name)


class _Served:
    """What goes before a class of Transformers: how many rows are run. `__call__` and `run_single` stay its own."""

    batches: RowBatches

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
            while window := list(islice(rest, self.batches.window)):
                made = [self.preprocess(item, **preprocess_params) for item in window]
                rows = [list(each) if in_chunks else [each] for each in made]
                outputs = iter(self.batches.outputs([row for each in rows for row in each], most))
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

    def __init__(self, model: LoadedModel, batches: RowBatches, config: Any) -> None:
        import torch

        self.config = config
        self.device = torch.device("cpu")
        self.dtype = torch.float32
        self._batches = batches
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
            outputs = self._batches.outputs([inputs], None)[0]
        names = sorted(outputs, key=lambda name: name not in self._first)
        return ModelOutput({name: torch.tensor(outputs[name]) for name in names})

    __call__ = forward

    def can_generate(self) -> bool:
        """Never."""
        return False


def _stand_in(model: LoadedModel, batches: RowBatches) -> _StandIn:
    """Named after the model's class, by which pipelines know what they can serve."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(model.folder, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(f"the config in {model.folder} could not be loaded: {error}") from error
    names = getattr(config, "architectures", None) or ["Model"]
    kind: type[_StandIn] = type(names[0], (_StandIn,), {})
    return kind(model, batches, config)
