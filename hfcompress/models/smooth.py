"""SmoothQuant of a fake-quantized model, before its scales are calibrated: the same function, easier to round.

Layers that read the same tensor get the same factors; which they are is seen while the model runs, so that no family
has to be known. The weights are multiplied by the factors, and their input is divided by them: in the layer
normalization that makes it where nothing else reads it (ViT), otherwise by each layer itself (BERT:
`QuantLinear.smooth`), which is one `Mul` of the exported graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal

import torch
from torch import Tensor, nn

from hfcompress.calibration.channels import Channels
from hfcompress.calibration.smoothquant import WORTH_A_MUL, Choice, Grid, Reader, Smoothed, SmoothReport, choose
from hfcompress.errors import InputError
from hfcompress.models.fake_quant.modules import QuantLinear
from hfcompress.models.fake_quant.scheme import QuantScheme

#: What tells a tensor from others while all of them are alive: address, version, sizes.
_Key = tuple[int, int, tuple[int, ...]]


def grid_of(scheme: QuantScheme) -> Grid:
    """The integers of a scheme, as the search for alpha simulates them."""
    return Grid(scheme.weights.per_channel, scheme.weights.bits, scheme.activations.symmetric)


def smooth_(
    model: nn.Module,
    batches: Iterable[Mapping[str, Tensor]],
    alpha: float | Literal["auto"] = "auto",
    grid: Grid | None = None,
    *,
    seed: int = 0,
) -> SmoothReport:
    """Move outliers of activations into weights, in place; the outputs stay what they are, to rounding.

    Args:
        model: after `insert_fake_quant_` and before `calibrate_`. Its mode stays.
        batches: keyword arguments of the model, on its device; tokens that `attention_mask` masks do not count.
        alpha: of equation 4; `auto` chooses one for each activation, or to leave it.
        grid: what will be rounded to; see `grid_of`. Default: 8-bit weights per channel, unsigned activations.
        seed: of the sample of rows.

    Raises:
        InputError: no layer to smooth; it is calibrated already; no batches, or some that give NaN or infinity.
    """
    layers = _layers(model)
    groups = _observe(model, layers, batches, seed)
    done = []
    for group in groups:
        readers = [Reader(each.inputs, each.layer.weight.detach().float().cpu().numpy().T) for each in group.members]
        choice = choose(readers, alpha, grid or Grid(), WORTH_A_MUL if group.norm is None else 0.0)
        done.append(_applied_(group, choice))
    return SmoothReport(tuple(done))


@dataclass
class _Member:
    """A layer and what is known of its input."""

    name: str
    layer: QuantLinear
    inputs: Channels


@dataclass
class _Group:
    """Layers that read one tensor; `norm`: what makes it, where they are all that reads it."""

    members: list[_Member]
    norm: nn.Module | None = None


@dataclass
class _Trace:
    """Which layer read which tensor in one forward pass. Tensors are kept, so that no address is used twice."""

    reads: list[tuple[str, Tensor]] = field(default_factory=list)
    norms: list[tuple[nn.Module, Tensor]] = field(default_factory=list)


def _layers(model: nn.Module) -> dict[str, QuantLinear]:
    owners: dict[int, int] = {}
    for _, parameter in model.named_parameters(remove_duplicate=False):
        owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    layers = {
        name: module
        for name, module in model.named_modules()
        # A tied weight belongs to another layer too.
        if isinstance(module, QuantLinear) and owners[id(module.weight)] == 1
    }
    if not layers:
        raise InputError(
            "smooth found no fake-quantized Linear with a weight of its own; run insert_fake_quant_ first, or leave "
            "`smooth` out"
        )
    begun = [
        name for name, layer in layers.items() if layer.weight_quantizer.phase != "off" or layer.smooth is not None
    ]
    if begun:
        raise InputError(f"{begun[0]} is calibrated or smoothed already; call smooth_ once, before calibrate_")
    return layers


def _observe(
    model: nn.Module, layers: dict[str, QuantLinear], batches: Iterable[Mapping[str, Tensor]], seed: int
) -> list[_Group]:
    members = {name: _Member(name, layer, Channels(seed=seed)) for name, layer in layers.items()}
    training = model.training
    model.eval()
    try:
        remaining = iter(batches)
        first = next(remaining, None)
        if first is None:
            raise InputError("smooth needs rows of activations and got no batch; give `calibration` at least one row")
        with _traced(model, layers) as trace, torch.enable_grad():
            outputs = model(**first)
        groups = _groups(trace, members, outputs)
        for batch in chain([first], remaining):
            with _traced(model, layers) as trace, torch.no_grad():
                model(**batch)
            for name, values in trace.reads:
                _update(members[name], values, batch.get("attention_mask"))
    finally:
        model.train(training)
    return groups


def _update(member: _Member, values: Tensor, mask: Tensor | None) -> None:
    if mask is not None and values.dim() == mask.dim() + 1 and values.shape[:-1] == mask.shape:
        values = values[mask.bool()]
    try:
        member.inputs.update(values.detach().float().cpu().numpy())
    except InputError as error:
        raise InputError(
            f"calibration: {error} at the input of {member.name}; look at the rows and the model"
        ) from error


@contextmanager
def _traced(model: nn.Module, layers: dict[str, QuantLinear]) -> Iterator[_Trace]:
    trace = _Trace()
    hooks = [
        layer.register_forward_pre_hook(lambda _, inputs, name=name: trace.reads.append((name, inputs[0])))
        for name, layer in layers.items()
    ]
    hooks += [
        module.register_forward_hook(lambda norm, _, output: trace.norms.append((norm, output)))
        for module in model.modules()
        if isinstance(module, nn.LayerNorm | nn.RMSNorm) and module.weight is not None
    ]
    try:
        yield trace
    finally:
        for hook in hooks:
            hook.remove()


def _groups(trace: _Trace, members: dict[str, _Member], outputs: Any) -> list[_Group]:
    """Layers that share an input, or are called again with another one, are in one group."""
    group_of: dict[str, _Group] = {}
    reader_of: dict[_Key, str] = {}
    for name, values in trace.reads:
        group = group_of.setdefault(name, _Group([members[name]]))
        other = group_of[reader_of.setdefault(_key(values), name)]
        if other is not group:
            other.members += group.members
            group_of |= {member.name: other for member in group.members}
    groups = list({id(group): group for group in group_of.values()}.values())
    edges = _edges(outputs)
    for group in groups:
        group.norm = _only_norm(trace, group, edges)
    return groups


def _only_norm(trace: _Trace, group: _Group, edges: dict[Any, int]) -> nn.Module | None:
    """The normalization, called once, whose output is read by the layers of a group and by nothing else."""
    names = {member.name for member in group.members}
    reads = [_key(values) for name, values in trace.reads if name in names]
    made = [(norm, output) for norm, output in trace.norms if _key(output) == reads[0]]
    if len(made) != 1 or len(set(reads)) != 1:
        return None
    norm, output = made[0]
    called_once = sum(each is norm for each, _ in trace.norms) == 1
    return norm if called_once and output.grad_fn is not None and edges.get(output.grad_fn) == len(reads) else None


def _edges(outputs: Any) -> dict[Any, int]:
    """Autograd node -> how many others, or outputs of the model, read what it gave."""
    waiting = [tensor.grad_fn for tensor in _tensors(outputs) if tensor.grad_fn is not None]
    counts: dict[Any, int] = {}
    while waiting:
        node = waiting.pop()
        counts[node] = counts.get(node, 0) + 1
        if counts[node] == 1:
            waiting += [above for above, _ in node.next_functions if above is not None]
    return counts


def _tensors(outputs: Any) -> Iterator[Tensor]:
    if isinstance(outputs, Tensor):
        yield outputs
    elif isinstance(outputs, Mapping | list | tuple):
        for each in outputs.values() if isinstance(outputs, Mapping) else outputs:
            yield from _tensors(each)


def _key(tensor: Tensor) -> _Key:
    return tensor.data_ptr(), tensor._version, tuple(tensor.shape)


def _applied_(group: _Group, choice: Choice) -> Smoothed:
    names = tuple(member.name for member in group.members)
    activation = f"the input of {names[0]}"
    if choice.alpha is None:
        return Smoothed(activation, names, "left", choice)
    factors = torch.from_numpy(choice.factors)
    with torch.no_grad():
        for member in group.members:
            weight = member.layer.weight
            weight.copy_(weight.double() * factors.to(weight.device))
        if group.norm is None:
            for member in group.members:
                member.layer.smooth = (1 / factors).to(member.layer.weight)
            return Smoothed(activation, names, "inserted", choice)
        for parameter in group.norm.parameters(recurse=False):  # gamma and, where there is one, beta
            parameter.copy_(parameter.double() / factors.to(parameter.device))
    return Smoothed(activation, names, "folded", choice)
