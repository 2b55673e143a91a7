"""Calls whose inputs lie on the device: memory for each combination of sizes is taken once, and filled each time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

#: Combinations of sizes whose memory a thread keeps; text of free lengths has many.
_KEPT = 16


class BoundCalls:
    """Runs a session through ONNX Runtime's IO binding; safe to call from several threads.

    Args:
        session: an open session.
        outputs: the names of the outputs.
        device: where inputs lie: `cuda`, or `cpu`.
        index: which device.
        check: refuses inputs before a call.
    """

    def __init__(
        self,
        session: Any,
        outputs: Sequence[str],
        device: str = "cuda",
        index: int = 0,
        check: Callable[[Mapping[str, np.ndarray]], None] = lambda inputs: None,
    ) -> None:
        self._session, self._outputs, self._device, self._index = session, list(outputs), device, index
        self._check = check
        self._kept = threading.local()  # an input that is filled for one call must not be read by another

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Inputs by name to outputs in the order of their names; outputs are the caller's own."""
        self._check(inputs)
        binding, values = self._bound(inputs)
        for name, array in inputs.items():
            values[name].update_inplace(np.ascontiguousarray(array))
        for name in self._outputs:  # anew for each call: their memory goes to the caller
            binding.bind_output(name, "cpu")
        self._session.run_with_iobinding(binding)
        found: list[np.ndarray] = binding.copy_outputs_to_cpu()
        return found

    def _bound(self, inputs: Mapping[str, np.ndarray]) -> tuple[Any, dict[str, Any]]:
        import onnxruntime

        known: OrderedDict[Any, tuple[Any, dict[str, Any]]] = self._kept.__dict__.setdefault("calls", OrderedDict())
        key = tuple((name, array.shape) for name, array in inputs.items())
        if key not in known:
            binding, values = self._session.io_binding(), {}
            for name, array in inputs.items():
                values[name] = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
                    list(array.shape), array.dtype, self._device, self._index
                )
                binding.bind_ortvalue_input(name, values[name])
            known[key] = binding, values
            while len(known) > _KEPT:
                known.popitem(last=False)
        known.move_to_end(key)
        return known[key]
