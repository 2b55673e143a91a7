"""Which module computed what another one is given, seen in one forward pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

#: What only passes on, or chooses among, the values that it is given.
_PASSES_ON = (nn.Identity, nn.Dropout, nn.MaxPool2d)
#: The ways to add two tensors.
_ADDS = frozenset({torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__iadd__})

#: A tensor as it was: which one, and how often it had been changed in place.
State = tuple[int, int]


@dataclass(frozen=True)
class Call:
    """One call of a module: what went in, what came out."""

    name: str
    module: nn.Module
    given: State
    made: State


class Dataflow:
    """The calls of one forward pass in eval mode, of modules that take a tensor and give one.

    Args:
        model: runs once, and keeps its mode.
        batch: its keyword arguments.

    Attributes:
        calls: in the order in which they ended.
        sums: the two summands of each sum of tensors, in order.
        counts: module -> how often it was called.
    """

    def __init__(self, model: nn.Module, batch: Mapping[str, Tensor]) -> None:
        self.calls: list[Call] = []
        self.sums: list[tuple[State, State]] = []
        self._kept: list[Tensor] = []  # so that each has an id of its own
        self._given: list[State | None] = []
        hooks = [module.register_forward_pre_hook(self._before) for module in model.modules()]
        hooks += [module.register_forward_hook(self._after(name)) for name, module in model.named_modules()]
        training = model.training
        try:
            with torch.no_grad(), _Sums(self._add):  # inference mode does not count changes in place
                model.eval()(**batch)
        finally:
            for hook in hooks:
                hook.remove()
            model.train(training)
            self._kept.clear()
        self.counts = Counter(call.name for call in self.calls)
        self._makers: dict[State, Call] = {}
        for call in self.calls:  # the innermost module that made a tensor ends first
            if call.made != call.given:
                self._makers.setdefault(call.made, call)

    def _before(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self._given.append(self._state(args[0]) if args and isinstance(args[0], Tensor) else None)

    def _after(self, name: str) -> Any:
        def after(module: nn.Module, args: tuple[Any, ...], made: Any) -> None:
            given = self._given.pop()
            if given is not None and isinstance(made, Tensor):
                self.calls.append(Call(name, module, given, self._state(made)))

        return after

    def _add(self, a: Tensor, b: Tensor) -> None:
        self.sums.append((self._state(a), self._state(b)))

    def _state(self, tensor: Tensor) -> State:
        self._kept.append(tensor)
        return id(tensor), tensor._version

    def maker(self, state: State) -> Call | None:
        """The call that made a tensor; None where it came otherwise: from an operator between modules, or outside."""
        return self._makers.get(state)

    def source(self, state: State) -> State:
        """The tensor whose values these are, passed on or chosen among."""
        call = self.maker(state)
        return self.source(call.given) if call is not None and isinstance(call.module, _PASSES_ON) else state

    def pairs(self, first: type[nn.Module], second: type[nn.Module]) -> list[tuple[Call, Call]]:
        """Calls of `second` on just what `first` made, of modules that are called once."""
        found = ((self.maker(call.given), call) for call in self.calls if isinstance(call.module, second))
        return [
            (maker, call)
            for maker, call in found
            if maker is not None
            and isinstance(maker.module, first)
            and self.counts[maker.name] == self.counts[call.name] == 1
        ]


class _Sums(TorchFunctionMode):
    """Tells of sums of two tensors before they are computed."""

    def __init__(self, tell: Callable[[Tensor, Tensor], None]) -> None:
        super().__init__()
        self.tell = tell

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in _ADDS and len(args) == 2 and all(isinstance(each, Tensor) for each in args):
            self.tell(*args)
        return func(*args, **(kwargs or {}))


def replace_(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put a module in the place of another."""
    parent, _, child = name.rpartition(".")
    holder = model.get_submodule(parent)
    setattr(holder, child, module.train(holder.training))
