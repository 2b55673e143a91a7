"""What a model is asked for, and what it answers: its outputs, and what lies on the way to them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

from torch import Tensor, nn
from transformers import PreTrainedModel

from hfcompress.models.layers import projections_of

#: The query, key and value projections of one layer, each `[N, T, width]`.
Projections: TypeAlias = tuple[Tensor, Tensor, Tensor]

#: Whose projections: an index of a layer, or the dotted paths of the three modules.
Attends: TypeAlias = int | tuple[str, str, str]

#: What a batch holds for losses and bookkeeping, and no model is given in training.
NOT_INPUTS = frozenset({"labels", "start_positions", "end_positions", "row_id"})


@dataclass(frozen=True)
class Wants:
    """What objectives need beside the outputs.

    Attributes:
        hidden_states: all of them.
        projections: whose query, key and value projections are needed.
    """

    hidden_states: bool = False
    projections: frozenset[Attends] = frozenset()

    def __or__(self, other: Wants) -> Wants:
        return Wants(self.hidden_states or other.hidden_states, self.projections | other.projections)


@dataclass(frozen=True)
class Answer:
    """What a model said to one batch.

    Attributes:
        outputs: by name: `logits` (N, C) or (N, T, C); `start_logits` and `end_logits` (N, T); `last_hidden_state` or
            `embedding` for bare encoders.
        hidden_states: the embedding's output first, then each layer's (for convolutional nets each stage's).
        projections: whose -> query, key and value.
    """

    outputs: Mapping[str, Any]
    hidden_states: Sequence[Tensor] = ()
    projections: Mapping[Attends, Projections] = field(default_factory=dict)


class ProjectionRecorder:
    """Keeps what the query, key and value modules of some layers of a model put out in its last forward pass.

    Args:
        model: whose modules; the hooks stay on them until `close`.
        wanted: layers, or paths of modules.

    Raises:
        InputError: the model does not have them.
    """

    def __init__(self, model: PreTrainedModel, wanted: frozenset[Attends]) -> None:
        self._seen: dict[tuple[Attends, int], Tensor] | None = None
        self.wanted = wanted
        modules = {whose: projections_of(model, whose) for whose in wanted}
        self._hooks = [
            module.register_forward_hook(self._keep(whose, place))
            for whose, three in modules.items()
            for place, module in enumerate(three)
        ]

    def take(self) -> dict[Attends, Projections]:
        """The projections of the forward pass since `arm`; forgotten here, so that nothing keeps their graph."""
        seen, self._seen = self._seen or {}, None
        return {whose: (seen[whose, 0], seen[whose, 1], seen[whose, 2]) for whose in self.wanted}

    def arm(self) -> None:
        """Keep what the next forward pass gives; others (evaluation, recomputation, another trainer) leave nothing."""
        self._seen = {}

    def close(self) -> None:
        """Take the hooks away."""
        for hook in self._hooks:
            hook.remove()

    def _keep(self, whose: Attends, place: int) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            if self._seen is not None:
                self._seen[whose, place] = output

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
