"""What a model is asked for, and what it answers: its outputs, and what lies on the way to them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

from torch import Tensor, nn

#: The query, key and value projections of one layer, each `[N, T, width]`.
Projections: TypeAlias = tuple[Tensor, Tensor, Tensor]

#: What a batch holds for losses and bookkeeping, and no model is given in training.
NOT_INPUTS = frozenset({"labels", "start_positions", "end_positions", "row_id"})


@dataclass(frozen=True)
class Wants:
    """What objectives need beside the outputs.

    Attributes:
        hidden_states: all of them.
        projections: layers, from 0, whose query, key and value projections are needed.
    """

    hidden_states: bool = False
    projections: frozenset[int] = frozenset()

    def __or__(self, other: Wants) -> Wants:
        return Wants(self.hidden_states or other.hidden_states, self.projections | other.projections)


@dataclass(frozen=True)
class Answer:
    """What a model said to one batch.

    Attributes:
        outputs: by name: `logits` (N, C) or (N, T, C); `start_logits` and `end_logits` (N, T); `last_hidden_state` or
            `embedding` for bare encoders.
        hidden_states: the embedding's output first, then each layer's (for convolutional nets each stage's).
        projections: layer -> its query, key and value.
    """

    outputs: Mapping[str, Any]
    hidden_states: Sequence[Tensor] = ()
    projections: Mapping[int, Projections] = field(default_factory=dict)


class ProjectionRecorder:
    """Keeps what the query, key and value modules of some layers of a model put out in its last forward pass.

    Args:
        modules: layer -> its three modules. The hooks stay on them until `close`.
    """

    def __init__(self, modules: Mapping[int, tuple[nn.Module, nn.Module, nn.Module]]) -> None:
        self._seen: dict[tuple[int, int], Tensor] | None = None
        self._layers = tuple(modules)
        self._hooks = [
            module.register_forward_hook(self._keep(layer, place))
            for layer, three in modules.items()
            for place, module in enumerate(three)
        ]

    def take(self) -> dict[int, Projections]:
        """The projections of the forward pass since `arm`; forgotten here, so that nothing keeps their graph."""
        seen, self._seen = self._seen or {}, None
        return {layer: (seen[layer, 0], seen[layer, 1], seen[layer, 2]) for layer in self._layers}

    def arm(self) -> None:
        """Keep what the next forward pass gives; others (evaluation, recomputation, another trainer) leave nothing."""
        self._seen = {}

    def close(self) -> None:
        """Take the hooks away."""
        for hook in self._hooks:
            hook.remove()

    def _keep(self, layer: int, place: int) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            if self._seen is not None:
                self._seen[layer, place] = output

        return hook


def ask(
    model: nn.Module, inputs: Mapping[str, Any], wants: Wants, recorder: ProjectionRecorder | None = None
) -> Answer:
    """Run a model, wrapped for several processes or not, on inputs that it takes."""
    asked = {**inputs, "output_hidden_states": True} if wants.hidden_states else inputs
    if recorder:
        recorder.arm()
    outputs = model(**asked)
    states = outputs.get("hidden_states") if wants.hidden_states else None
    return Answer(outputs, states or (), recorder.take() if recorder and wants.projections else {})


def inputs_of(model: nn.Module, batch: Mapping[str, Any]) -> dict[str, Any]:
    """What of `batch` the `forward` of `model` names, as a new dict.

    Batches hold the union of what student and teacher take, and more (`row_id`). A `**kwargs` names nothing.
    """
    # From the class: accelerate replaces `forward` on the instance by a wrapper that names nothing.
    names = _parameters(type(model).forward)
    return {name: value for name, value in batch.items() if name in names}


def unlabelled_inputs_of(model: nn.Module, batch: Mapping[str, Any]) -> dict[str, Any]:
    """`inputs_of` without labels: the losses are ours, and a model would compute its own from them."""
    return {name: value for name, value in inputs_of(model, batch).items() if name not in NOT_INPUTS}


@cache
def _parameters(forward: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(forward).parameters) - {"self"}
