"""The two products of an attention with rounded factors: queries by keys, and probabilities by values.

They are found while the attention runs, by PyTorch's `TorchFunctionMode`: the first product of two activations is
queries by keys, the second probabilities by values; `scaled_dot_product_attention` is computed as its two products. So
it works with every attention of Transformers that computes no other product, whichever way it is written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # what everybody calls it
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hfcompress.errors import InputError
from hfcompress.models.fake_quant.quantizer import ActivationQuantizer
from hfcompress.models.fake_quant.scheme import QuantScheme
from hfcompress.models.layers import architecture_of, layer_paths

#: The name of the submodule that an attention is given.
PRODUCTS = "attention_products"
#: PyTorch's own, whatever an exporter puts in its place.
_ATTEND = F.scaled_dot_product_attention
_MATMULS = frozenset({torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm})


class AttentionProducts(nn.Module):
    """The quantizers of the factors of one attention's products."""

    def __init__(self, scheme: QuantScheme) -> None:
        super().__init__()
        self.query, self.key, self.probabilities, self.value = (
            ActivationQuantizer(scheme.activations, scheme.learned) for _ in range(4)
        )

    def forward(self, turn: int, product: Callable[..., Tensor], a: Tensor, b: Tensor) -> Tensor:
        """The product of an attention whose turn it is: 0 is queries by keys, 1 probabilities by values."""
        first, second = ((self.query, self.key), (self.probabilities, self.value))[turn]
        return product(first(a), second(b))


class QuantAttention:
    """What the class of an attention is extended by when its products are rounded."""

    attention_products: AttentionProducts

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The attention's own forward, with its products rounded."""
        with _Rounded(self.attention_products, type(self).__mro__[2].__name__) as rounded:
            found = super().forward(*args, **kwargs)  # type: ignore[misc]
        rounded.check_done()
        return found


class _Rounded(TorchFunctionMode):
    def __init__(self, products: AttentionProducts, owner: str) -> None:
        super().__init__()
        self.products, self.owner, self.turn = products, owner, 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in _MATMULS and len(args) == 2:
            return self._multiply(func, *args)
        if func is _ATTEND:
            return self._attend(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _multiply(self, product: Callable[..., Tensor], a: Tensor, b: Tensor) -> Tensor:
        if self.turn > 1:
            raise self._refused()
        self.turn += 1
        rounded: Tensor = self.products(self.turn - 1, product, a, b)
        return rounded

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        **rest: Any,
    ) -> Tensor:
        """`scaled_dot_product_attention`, by the formula in its documentation."""
        if is_causal or any(rest.values()):
            raise self._refused()
        factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
        scores = self._multiply(torch.matmul, query, key.transpose(-2, -1)) * factor
        if attn_mask is not None:
            whole = attn_mask.dtype == torch.bool
            scores = scores.masked_fill(~attn_mask, -torch.inf) if whole else scores + attn_mask
        probabilities = scores.softmax(-1)
        if dropout_p > 0:
            probabilities = F.dropout(probabilities, dropout_p)
        return self._multiply(torch.matmul, probabilities, value)

    def check_done(self) -> None:
        """Raise where the attention computed other products than the two."""
        if self.turn != 2:
            raise self._refused()

    def _refused(self) -> InputError:
        return InputError(
            f"{self.owner} does not compute its attention as one product of queries by keys and one of probabilities "
            "by values, so they cannot be rounded; set `attention_products: false`"
        )


def attention_paths(model: Any) -> tuple[str, ...]:
    """The dotted paths of the modules that compute attention: where the query projections are.

    Raises:
        InputError: a family that is unknown, or has no projections of its own.
    """
    architecture = architecture_of(model.config.model_type)
    if not architecture.projections:
        raise InputError(
            f"attention_products are found by the query projections, and {model.config.model_type} has none of its own "
            f"for each layer: {architecture.no_projections}; set `attention_products: false`"
        )
    modules = dict(model.named_modules())
    queries = (f"{layer}.{query}" for layer in layer_paths(model) for query, _, _ in architecture.projections)
    return tuple(query.rpartition(".")[0] for query in queries if query in modules)


def round_products_(module: nn.Module, scheme: QuantScheme) -> None:
    """Extend the class of an attention, in place, so that it rounds the factors of its products."""
    kind = type(module)
    module.__class__ = type(f"Quant{kind.__name__}", (QuantAttention, kind), {"__module__": __name__})
    device = next(module.parameters()).device
    module.add_module(PRODUCTS, AttentionProducts(scheme).to(device).train(module.training))


def attentions(model: nn.Module) -> dict[str, AttentionProducts]:
    """The attentions whose products are rounded, by name."""
    return {
        name: module.attention_products for name, module in model.named_modules() if isinstance(module, QuantAttention)
    }
