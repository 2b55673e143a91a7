"""Running averages of the parts of a loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor


class RunningParts:
    """Averages over optimizer steps of named loss parts since the last `averages()`; no part leaves its device before.

    A part of a step is the sum of what its micro-batches and processes contribute: each has divided by the count of
    all of them.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._steps = 0.0

    def add(self, parts: Mapping[str, Tensor], steps: float) -> None:
        """Count the contributions of one micro-batch (scalars), which is `steps` of an optimizer step."""
        for name, value in parts.items():
            contribution = value.detach().float()
            self._sums[name] = self._sums[name] + contribution if name in self._sums else contribution
        self._steps += steps

    def averages(self, reduce: Callable[[Tensor], Tensor], processes: int = 1) -> dict[str, float]:
        """The averages, over all processes by `reduce` (an elementwise sum over them), and start anew."""
        if not self._sums:
            return {}
        first = next(iter(self._sums.values()))
        totals = reduce(torch.stack([*self._sums.values(), first.new_tensor(self._steps / processes)])).tolist()
        averages = {name: total / totals[-1] for name, total in zip(self._sums, totals[:-1], strict=True)}
        self.clear()
        return averages

    def clear(self) -> None:
        """Forget everything since the last `averages()`."""
        self._sums, self._steps = {}, 0.0
