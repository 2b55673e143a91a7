"""Which layers of a model are fake-quantized, and what all their quantizers do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches

from torch import Tensor, nn

from hfcompress.errors import InputError
from hfcompress.models.fake_quant.attention import attention_paths, round_products_
from hfcompress.models.fake_quant.modules import TWINS, QuantConv2d, QuantEmbedding, QuantLinear, Twin
from hfcompress.models.fake_quant.quantizer import FakeQuantize, Phase
from hfcompress.models.fake_quant.scheme import QuantScheme
from hfcompress.recipe.quantization import names_module

#: Their weights scale values one by one.
_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm, nn.RMSNorm)


def insert_fake_quant_(model: nn.Module, scheme: QuantScheme, skip: Sequence[str] = ()) -> tuple[str, ...]:
    """Turn every Linear, Conv2d and Embedding outside `skip` into its twin. The quantizers are off until calibration.

    Batch-norm is folded before (`fold_batch_norm_`).

    Args:
        model: in place.
        scheme: how tensors become integers.
        skip: names of layers that stay in floating point, with `*` as in file names; a name also stands for
            what is below it.

    Returns:
        The names of the layers that were turned.

    Raises:
        InputError: the model is fake-quantized already; a pattern fits no layer; nothing is left; or a module holds a
            weight of products and has no twin (named).
    """
    if is_fake_quantized(model):
        raise InputError("the model is fake-quantized already; give the floating point model that it was made from")
    layers = dict(_products(model))
    skipped = _skipped(tuple(layers), skip)
    chosen = {name: module for name, module in layers.items() if name not in skipped}
    _check_twins(chosen)
    if not chosen:
        raise InputError(f"no layer is left outside skip {tuple(skip)}; INT8 would gain nothing; shorten `skip`")
    paths = attention_paths(model) if scheme.attention_products else ()
    for module in chosen.values():
        turn_(module, scheme)
    for path in paths:
        round_products_(model.get_submodule(path), scheme)
    return tuple(chosen)


def turn_(module: nn.Module, scheme: QuantScheme) -> None:
    """Turn one module into its twin."""
    module.__class__ = TWINS[type(module)]
    module.adopt_(scheme)  # type: ignore[operator]
    weight: Tensor = module.weight  # type: ignore[assignment]
    module.to(weight.device).train(module.training)  # what was added is on the CPU, and in training mode


def twins(model: nn.Module) -> dict[str, Twin]:
    """The fake-quantized layers of a model by name."""
    kinds = (QuantLinear, QuantConv2d, QuantEmbedding)
    return {name: module for name, module in model.named_modules() if isinstance(module, kinds)}


def quantizers(model: nn.Module) -> Iterator[FakeQuantize]:
    """Every quantizer of a model, once."""
    return (module for module in model.modules() if isinstance(module, FakeQuantize))


def is_fake_quantized(model: nn.Module) -> bool:
    """Whether any layer is fake-quantized."""
    return next(quantizers(model), None) is not None


def set_phase_(model: nn.Module, phase: Phase) -> None:
    """Tell every quantizer what to do."""
    for quantizer in quantizers(model):
        quantizer.phase = phase


def freeze_observers_(model: nn.Module) -> None:
    """Keep all scales as they are from now on: they neither learn nor follow what they see."""
    for quantizer in quantizers(model):
        quantizer.freeze_()


def fake_quant_parameters(model: nn.Module) -> tuple[str, ...]:
    """Names of the scales that are parameters, which should have no weight decay."""
    learned = {id(quantizer.scale) for quantizer in quantizers(model) if quantizer.learned}
    return tuple(name for name, parameter in model.named_parameters() if id(parameter) in learned)


def _products(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Modules that hold a weight of a product or a table: what has a twin, and what would need one."""
    for name, module in model.named_modules():
        own = module.named_parameters(recurse=False)
        matrices = (key for key, parameter in own if "weight" in key and sum(size > 1 for size in parameter.shape) > 1)
        if type(module) in TWINS or (not isinstance(module, _NORMS) and any(True for _ in matrices)):
            yield name, module


def _skipped(names: Sequence[str], skip: Sequence[str]) -> set[str]:
    skipped: set[str] = set()
    for pattern in skip:
        fitting = [name for name in names if names_module(pattern, name)]
        if not fitting:
            near = get_close_matches(pattern, names, n=3, cutoff=0.3) or list(names[:3])
            raise InputError(f"skip names {pattern!r}, which no layer is called; there are {', '.join(near)}, ...")
        skipped.update(fitting)
    return skipped


def _check_twins(layers: dict[str, nn.Module]) -> None:
    without = {name: type(module).__name__ for name, module in layers.items() if type(module) not in TWINS}
    if without:
        raise InputError(
            f"{_listed(f'{name} ({kind})' for name, kind in without.items())} would have to be rounded, and "
            f"hfcompress has twins of {', '.join(kind.__name__ for kind in TWINS)} alone; leave them in floating point "
            f"by `skip: [{_listed((repr(name) for name in without), ', ')}]`, or quantize after training"
        )


def _listed(words: Iterable[str], joint: str = ", ") -> str:
    return joint.join(words)
