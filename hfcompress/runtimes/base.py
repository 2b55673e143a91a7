"""What every runtime is: something that predicts, and says what it is and how many cores it uses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np

from hfcompress.errors import InputError


class Runtime(Protocol):
    """A loaded model.

    Attributes:
        name: `torch`, `onnxruntime:` and the provider in use, or `openvino:` and the device.
        threads: cores that one call uses.
        input_names: the inputs that the model can take.
    """

    @property
    def name(self) -> str: ...

    @property
    def threads(self) -> int: ...

    @property
    def input_names(self) -> tuple[str, ...]: ...

    def predict(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Named outputs, `logits` among them, with the rows on axis 0. May be called from several threads.

        Args:
            batch: input name -> array with the rows on axis 0. What the model does not take (labels, row ids,
                another model's inputs) is ignored.

        Raises:
            InputError: an input that the model needs is missing.
        """


def check_inputs(batch: Mapping[str, np.ndarray], required: Iterable[str], runtime: str) -> None:
    """Raise `InputError` unless `batch` holds every input of `required`."""
    if missing := [name for name in required if name not in batch]:
        raise InputError(
            f"the model in {runtime} needs {', '.join(missing)}, and the batch holds {', '.join(batch) or 'nothing'}; "
            "prepare the batch with the artifact's own tokenizer or image processor"
        )
