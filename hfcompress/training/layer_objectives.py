"""Parts of the loss that compare layers: hidden states, self-attention relations, attention scores."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from hfcompress.errors import InputError
from hfcompress.models.architectures import ARCHITECTURES
from hfcompress.models.layers import layer_count, widths
from hfcompress.recipe.objectives import AttentionConfig, HiddenConfig, LayerMap, Part, RelationsConfig
from hfcompress.training import losses
from hfcompress.training.answers import Answer, Wants
from hfcompress.training.heads import Batch, tokens_of
from hfcompress.training.objective import Count, Objective


class HiddenStates(Objective):
    """Hidden states of chosen layers; feature maps of chosen stages, for convolutional nets.

    Where widths differ, the student's are projected: by a linear layer, or a 1x1 convolution. Where feature maps differ
    in height or width, the larger ones are averaged down.
    """

    part: ClassVar[Part] = "hidden"
    count: ClassVar[Count] = "tokens"
    student_wants = Wants(hidden_states=True)
    teacher_wants = Wants(hidden_states=True)

    def __init__(self, config: HiddenConfig) -> None:
        self._config = config
        self._layers: dict[int, int] = {}
        self.projections = nn.ModuleDict()

    def probe(self, student: Answer, teacher: Answer) -> None:
        """See `Objective.probe`."""
        counts = [len(answer.hidden_states) - 1 for answer in (student, teacher)]
        if min(counts) < 1:
            who = "student" if counts[0] < 1 else "teacher"
            raise InputError(f"the {who} gives no hidden states, so `hidden` has nothing to compare; leave it out")
        self._layers = resolve_layers(self._config.layers, counts[0], counts[1], "hidden")
        built = {}
        for ours, theirs in self._layers.items():
            a, b = student.hidden_states[ours + 1], teacher.hidden_states[theirs + 1]
            _check_alike(a, b, f"hidden: layer {ours} of the student and layer {theirs} of the teacher")
            if a.shape[_channel(a)] != b.shape[_channel(b)]:
                built[str(ours)] = _projection(a, b)
        self.projections = nn.ModuleDict(built)

    def __call__(self, student: Answer, teacher: Answer, batch: Batch) -> Tensor:
        """See `Objective`."""
        tokens = tokens_of(batch)
        sums = [
            _over_tokens(
                self._compare(ours, student.hidden_states[ours + 1], teacher.hidden_states[theirs + 1]), tokens
            )
            for ours, theirs in self._layers.items()
        ]
        return torch.stack(sums).mean()

    def _compare(self, layer: int, ours: Tensor, theirs: Tensor) -> Tensor:
        projections: Any = self.projections
        if str(layer) in projections:
            projection = projections[str(layer)]
            ours = projection(ours.to(projection.weight.dtype))
        if ours.dim() == 4:
            ours, theirs = _as_tokens(*_same_size(ours, theirs))
        return losses.mse(ours, theirs) if self._config.loss == "mse" else losses.cosine(ours, theirs)


class Relations(Objective):
    """MiniLMv2: query-query, key-key and value-value relations of one layer of each."""

    part: ClassVar[Part] = "relations"
    count: ClassVar[Count] = "tokens"

    def __init__(self, config: RelationsConfig, student: PreTrainedModel, teacher: PreTrainedModel) -> None:
        self._ours = config.student_projections or _layer(config.student_layer, student, "relations.student_layer")
        self._theirs = config.teacher_projections or _layer(config.teacher_layer, teacher, "relations.teacher_layer")
        self._heads = config.heads or _attention_heads(student)
        self.student_wants = Wants(projections=frozenset({self._ours}))
        self.teacher_wants = Wants(projections=frozenset({self._theirs}))

    def probe(self, student: Answer, teacher: Answer) -> None:
        """See `Objective.probe`."""
        ours, theirs = (
            {states.shape[-1] for states in answer.projections[whose]}
            for answer, whose in ((student, self._ours), (teacher, self._theirs))
        )
        if any(width % self._heads for width in ours | theirs):
            raise InputError(
                f"relations.heads is {self._heads}, which does not divide both widths, {_listed(ours)} and "
                f"{_listed(theirs)}; choose a common divisor"
            )

    def __call__(self, student: Answer, teacher: Answer, batch: Batch) -> Tensor:
        """See `Objective`."""
        ours, theirs = student.projections[self._ours], teacher.projections[self._theirs]
        tokens = tokens_of(batch)
        mask = _every_token(ours[0]) if tokens is None else tokens
        each = [losses.relation_kl(a, b, self._heads, mask) for a, b in zip(ours, theirs, strict=True)]
        return _over_tokens(torch.stack(each).mean(0), tokens)


class AttentionMaps(Objective):
    """TinyBERT: attention scores of chosen layers, computed from their queries and keys.

    What a family adds to them afterwards (rotary or relative positions) is not part of the comparison.
    """

    part: ClassVar[Part] = "attention"
    count: ClassVar[Count] = "tokens"

    def __init__(self, config: AttentionConfig, student: PreTrainedModel, teacher: PreTrainedModel) -> None:
        counts = layer_count(student.config), layer_count(teacher.config)
        self._layers = resolve_layers(config.layers, *counts, "attention")
        (_, self._heads), (_, their_heads) = widths(student.config), widths(teacher.config)
        if self._heads != their_heads:
            raise InputError(
                f"attention needs equal numbers of heads, and the student has {self._heads}, the teacher {their_heads};"
                " use `relations`, which has no such need"
            )
        self.student_wants = Wants(projections=frozenset(self._layers))
        self.teacher_wants = Wants(projections=frozenset(self._layers.values()))

    def __call__(self, student: Answer, teacher: Answer, batch: Batch) -> Tensor:
        """See `Objective`."""
        tokens, sums = tokens_of(batch), []
        for ours, theirs in self._layers.items():
            scores = [
                losses.attention_scores(answer.projections[layer][0], answer.projections[layer][1], self._heads)
                for answer, layer in ((student, ours), (teacher, theirs))
            ]
            mask = _every_token(student.projections[ours][0]) if tokens is None else tokens
            sums.append(_over_tokens(losses.attention_mse(scores[0], scores[1], mask), tokens))
        return torch.stack(sums).mean()


def resolve_layers(layers: LayerMap, student: int, teacher: int, where: str) -> dict[int, int]:
    """Student's layer -> teacher's layer, both from 0.

    `uniform` lets layer m of M learn from layer m x N / M of N (counted from 1; Jiao et al. 2020, TinyBERT), so that
    the last learns from the last.

    Raises:
        InputError: a layer that one of them does not have.
    """
    match layers:
        case "last":
            return {student - 1: teacher - 1}
        case "uniform":
            return {layer: -(-(layer + 1) * teacher // student) - 1 for layer in range(student)}
    for whose, count, named in (("student", student, layers.keys()), ("teacher", teacher, layers.values())):
        beyond = [layer for layer in named if layer >= count]
        if beyond:
            raise InputError(
                f"{where}.layers names layer {beyond[0]} of the {whose}, which has {count} (0 to {count - 1})"
            )
    return dict(layers)


def _layer(chosen: int | None, model: PreTrainedModel, where: str) -> int:
    count = layer_count(model.config)
    if chosen is not None and chosen >= count:
        raise InputError(f"{where} is {chosen}, but the model has {count} layers (0 to {count - 1})")
    return count - 1 if chosen is None else chosen


def _attention_heads(model: PreTrainedModel) -> int:
    if model.config.model_type in ARCHITECTURES:
        return widths(model.config)[1]
    found = getattr(model.config, "num_attention_heads", None)
    if found is None:
        raise InputError(
            f"the config of {type(model).__name__} does not count its attention heads; give relations.heads"
        )
    return int(found)


def _listed(widths: set[int]) -> str:
    return "/".join(map(str, sorted(widths)))


def _channel(states: Tensor) -> int:
    """The axis of the width: the last of `[N, T, D]`, the second of `[N, C, H, W]`."""
    return 1 if states.dim() == 4 else -1


def _check_alike(ours: Tensor, theirs: Tensor, what: str) -> None:
    tokens_differ = ours.dim() == 3 and theirs.dim() == 3 and ours.shape[1] != theirs.shape[1]
    if ours.dim() != theirs.dim() or tokens_differ:
        raise InputError(
            f"{what} have shapes {tuple(ours.shape)} and {tuple(theirs.shape)}, which cannot be compared place by "
            "place; choose other layers, or leave this part out"
        )


def _projection(ours: Tensor, theirs: Tensor) -> nn.Module:
    if ours.dim() == 4:
        return nn.Conv2d(ours.shape[1], theirs.shape[1], kernel_size=1)
    return nn.Linear(ours.shape[-1], theirs.shape[-1])


def _same_size(ours: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
    size = min(ours.shape[2], theirs.shape[2]), min(ours.shape[3], theirs.shape[3])
    return functional.adaptive_avg_pool2d(ours, size), functional.adaptive_avg_pool2d(theirs, size)


def _as_tokens(*maps: Tensor) -> tuple[Tensor, ...]:
    """`[N, C, H, W]` to `[N, H x W, C]`."""
    return tuple(each.flatten(2).transpose(1, 2) for each in maps)


def _every_token(states: Tensor) -> Tensor:
    return torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)


def _over_tokens(values: Tensor, tokens: Tensor | None) -> Tensor:
    """The sum of `[N, T]` over real tokens; for images, where every row has as many, the sum over rows of the mean."""
    return values.mean(1).sum() if tokens is None else torch.where(tokens, values, 0.0).sum()
