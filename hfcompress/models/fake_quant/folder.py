"""`fake_quant.json` and `fake_quant.safetensors`: what makes a plain model of Transformers the fake-quantized one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from hfcompress.errors import ModelError
from hfcompress.models.fake_quant.attention import attentions, round_products_
from hfcompress.models.fake_quant.batch_norm import FoldedBatchNorm, FoldedReLU, leave_folded_
from hfcompress.models.fake_quant.insert import set_phase_, turn_, twins
from hfcompress.models.fake_quant.links import fold_relu_
from hfcompress.models.fake_quant.modules import Given, QuantConv2d, round_output_, share_
from hfcompress.models.fake_quant.quantizer import ActivationQuantizer, FakeQuantize
from hfcompress.models.fake_quant.scheme import QuantScheme

#: Scales lie beside the weights and not among them: `model.safetensors` is that of a plain model, and Transformers 5
#: renames what is in it.
STRUCTURE, SCALES = "fake_quant.json", "fake_quant.safetensors"


@dataclass(frozen=True)
class Structure:
    """How a fake-quantized model differs from a plain one, by names of modules.

    Attributes:
        scheme: how tensors become integers.
        layers: Linear, Conv2d and Embedding that are rounded.
        attentions: attentions whose products are rounded.
        batch_norms: folded batch-norm -> its convolution.
        relus: ReLU -> the convolution that does it.
        shared: quantizer -> the one that does its work.
        smoothed: Linear layers that multiply their input by factors of its channels.
        residual: convolutions whose output is rounded, as what comes along a skip connection, where others' are not.
    """

    scheme: QuantScheme
    layers: tuple[str, ...]
    attentions: tuple[str, ...]
    batch_norms: dict[str, str]
    relus: dict[str, str]
    shared: dict[str, str]
    smoothed: tuple[str, ...] = ()
    residual: tuple[str, ...] = ()

    @property
    def reader(self) -> Literal["tensorrt"] | None:
        """The target by whose linter its graph has to be read; None: ONNX Runtime on a CPU, which says so itself."""
        return "tensorrt" if self.scheme.whole_pairs else None

    @property
    def planned(self) -> tuple[str, ...]:
        """What should multiply or look up integers: layers, and the two products of each attention."""
        products = (f"{name}.{product}" for name in self.attentions for product in ("query_key", "probabilities_value"))
        return (*self.layers, *products)


def structure_of(model: nn.Module) -> Structure:
    """The structure of a fake-quantized model."""
    layers, modules = twins(model), list(model.named_modules())
    names = {id(module): name for name, module in modules}
    return Structure(
        scheme=next(iter(layers.values())).scheme,
        layers=tuple(layers),
        attentions=tuple(attentions(model)),
        batch_norms={name: module.into for name, module in modules if isinstance(module, FoldedBatchNorm)},
        relus={name: module.into for name, module in modules if isinstance(module, FoldedReLU)},
        shared={name: names[id(module.quantizer)] for name, module in modules if isinstance(module, Given)},
        smoothed=tuple(name for name, twin in layers.items() if getattr(twin, "smooth", None) is not None),
        residual=tuple(name for name, twin in layers.items() if isinstance(twin, QuantConv2d) and _skips(twin)),
    )


def _skips(twin: QuantConv2d) -> bool:
    return twin.scheme.whole_pairs and isinstance(twin.output_quantizer, ActivationQuantizer)


def added_names(model: nn.Module) -> set[str]:
    """What the state dict of a fake-quantized model holds that a plain one's does not: scales, zero points, factors of
    SmoothQuant, biases of batch-norms that were folded."""
    own = {
        f"{name}.{key}"
        for name, module in model.named_modules()
        if isinstance(module, FakeQuantize)
        for key in module.state_dict()
    }
    smoothed = {f"{name}.smooth" for name, twin in twins(model).items() if getattr(twin, "smooth", None) is not None}
    return own | smoothed | {f"{each.into}.bias" for each in model.modules() if isinstance(each, FoldedBatchNorm)}


def write_fake_quant(model: nn.Module, folder: Path, weights: Mapping[str, Tensor]) -> None:
    """Write `fake_quant.json` and `fake_quant.safetensors` of a fake-quantized model; `weights`: its state dict."""
    from safetensors.torch import save_file

    text = json.dumps(asdict(structure_of(model)), indent=2, sort_keys=True)
    (folder / STRUCTURE).write_text(text + "\n", encoding="utf-8")
    added = {name: weights[name].detach().contiguous() for name in sorted(added_names(model))}
    save_file(added, folder / SCALES, metadata={"format": "pt"})


def read_structure(folder: Path) -> Structure | None:
    """The structure in a model folder; None where its model is a plain one.

    Raises:
        ModelError: `fake_quant.json` cannot be read.
    """
    path = folder / STRUCTURE
    if not path.is_file():
        return None
    try:
        return TypeAdapter(Structure).validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} does not describe a fake-quantized model: {error}") from error


def rebuild_(model: nn.Module, structure: Structure, folder: Path) -> None:
    """Make of a plain model, loaded with the weights of a folder, the fake-quantized one.

    Raises:
        ModelError: the model has no such modules, or scales are missing or of other shapes.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        for norm, convolution in structure.batch_norms.items():
            leave_folded_(model, norm, convolution)
        for name in structure.layers:
            turn_(model.get_submodule(name), structure.scheme)
        for name in structure.attentions:
            round_products_(model.get_submodule(name), structure.scheme)
        for name in structure.residual:
            round_output_(model, name)
        for relu, convolution in structure.relus.items():
            fold_relu_(model, relu, convolution)
        for name, leader in structure.shared.items():
            share_(model, name, leader)
        added = load_file(folder / SCALES)
        for name in structure.smoothed:
            model.get_submodule(name).smooth = torch.ones(added[f"{name}.smooth"].shape)
        model.load_state_dict({name: added[name] for name in added_names(model)}, strict=False)
    except (AttributeError, KeyError, RuntimeError, TypeError, OSError, SafetensorError) as error:
        raise ModelError(
            f"{STRUCTURE} and {SCALES} do not fit a {type(model).__name__}: {error}; load it with the version of "
            "Transformers and the number of labels that it was saved with"
        ) from error
    set_phase_(model, "quantizing")


def expected_missing(structure: Structure | None) -> tuple[str, ...]:
    """The starts of names that a plain model has, and the state dict of the fake-quantized one has not."""
    return () if structure is None else tuple(f"{norm}." for norm in structure.batch_norms)
