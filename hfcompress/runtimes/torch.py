"""PyTorch in eager mode, in float32: what a fine-tuned model costs before anything is done to it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from hfcompress.errors import ProviderError
from hfcompress.host import default_threads
from hfcompress.recipe.tasks import TaskName
from hfcompress.runtimes.base import check_inputs

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

#: Parameters of a `forward` that are switches or stand in for an input, not inputs of an exported model.
_NOT_INPUTS = frozenset(
    {"self", "head_mask", "inputs_embeds", "return_dict", "use_cache", "past_key_values", "bool_masked_pos"}
    | {"output_attentions", "output_hidden_states", "interpolate_pos_encoding"}
)


class TorchRuntime:
    """A model of Transformers on one device.

    The number of threads is torch's own, process-wide setting: it is set for each call and restored after it.

    Args:
        path: a model folder.
        task: decides the class of the model.
        threads: cores of one call; default: all that this process may use.
        device: a torch device. `cpu` has the name `torch`, others `torch:<device>`.
        trust_remote_code: whether the model may bring its own code.

    Raises:
        ProviderError: torch does not have the device.
        ModelError: the folder cannot be loaded.
    """

    def __init__(
        self,
        path: Path,
        task: TaskName,
        threads: int | None = None,
        device: str = "cpu",
        *,
        trust_remote_code: bool = False,
    ) -> None:
        from hfcompress.models.loading import load_model
        from hfcompress.tasks import get_task

        check_device(device)
        self._hold(load_model(path, task, trust_remote_code=trust_remote_code), threads, device, get_task(task).outputs)

    @classmethod
    def from_model(cls, model: PreTrainedModel, threads: int | None = None, device: str = "cpu") -> Self:
        """A runtime for a model in memory, which it puts in eval mode and on `device`."""
        check_device(device)
        runtime = cls.__new__(cls)
        runtime._hold(model, threads, device)
        return runtime

    def _hold(
        self, model: PreTrainedModel, threads: int | None, device: str, outputs: tuple[str, ...] | None = None
    ) -> None:
        self._model: Any = model.to(device).eval()
        self.name = "torch" if device == "cpu" else f"torch:{device}"
        self.threads = threads or default_threads()
        self.input_names, self._required = _inputs_of(model)
        self._outputs = outputs

    def predict(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs that the task reads, as float32 where they are floating point numbers. See `Runtime.predict`.

        Of a model in memory, whose task is not known: every output that is one tensor.
        """
        import torch

        check_inputs(batch, self._required, self.name)
        with torch.inference_mode(), _threads(self.threads):
            inputs = {name: self._tensor(batch[name]) for name in self.input_names if name in batch}
            outputs = self._model(**inputs, return_dict=True)
            return {
                name: _array(value)
                for name, value in outputs.items()
                if isinstance(value, torch.Tensor) and (self._outputs is None or name in self._outputs)
            }

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        import torch

        # `from_numpy` shares memory, and warns when it may not be written to.
        tensor = torch.from_numpy(np.ascontiguousarray(array)) if array.flags.writeable else torch.tensor(array)
        return tensor.to(self._model.device, self._model.dtype if tensor.is_floating_point() else None)


def check_device(device: str) -> None:
    """Raise `ProviderError` when this torch cannot compute on `device`."""
    import torch

    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, ImportError) as error:  # AssertionError: a build without CUDA
        raise ProviderError(f"torch cannot use the device `{device}`: {error}; use `cpu`") from error


@contextmanager
def _threads(count: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    if before == count:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _inputs_of(model: PreTrainedModel) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What `forward` can take, and what it cannot do without: its main input and parameters without a default."""
    parameters = [
        parameter
        for parameter in inspect.signature(model.forward).parameters.values()
        if parameter.name not in _NOT_INPUTS
        and "label" not in parameter.name
        and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    ]
    required = [p.name for p in parameters if p.default is p.empty or p.name == model.main_input_name]
    return tuple(p.name for p in parameters), tuple(required)


def _array(tensor: torch.Tensor) -> np.ndarray:
    array: np.ndarray = (tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy()
    return array
