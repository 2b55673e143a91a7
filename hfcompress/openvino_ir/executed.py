"""What became of a graph once OpenVINO has compiled it: which products multiply integers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_PRODUCTS = frozenset({"FullyConnected", "MatMul", "Convolution", "GroupConvolution"})
#: The names of the nodes of a layer, the surest first: a product, `/bert/pooler/dense/Gemm/WithoutBiases`, or its bias.
_NAMES = (r"/([^,]+)/(?:MatMul|Gemm|Conv)(?:_\d+)?(?=[/,]|$)", r"/([^,]+)/Add(?=[/,]|$)")


@dataclass(frozen=True)
class Product:
    """An operator that multiplies.

    Attributes:
        kind: OpenVINO's name of it.
        precision: of what it multiplies: `u8`, `i8`, `f32`, ...
        names: of what it was fused from, joined by commas.
    """

    kind: str
    precision: str
    names: str

    @property
    def layer(self) -> str:
        """The module whose weight it is, as torch names it; its own names where they tell of none."""
        found = next(filter(None, (re.search(pattern, self.names) for pattern in _NAMES)), None)
        if found is None:
            return self.names
        parts = found[1].split("/")
        # What is in a Sequential is named after it once more: `classifier/classifier.1` is `classifier.1`.
        kept = [part for part, inner in zip(parts, [*parts[1:], ""], strict=True) if not inner.startswith(f"{part}.")]
        return ".".join(kept)

    @property
    def is_integer(self) -> bool:
        """Whether it multiplies integers."""
        return self.precision in ("u8", "i8")


def products_of(compiled: Any) -> list[Product]:
    """Every operator that multiplies, in an `openvino.CompiledModel` as it runs."""
    nodes = (node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops())
    said = (
        tuple(info[key].astype(str) for key in ("layerType", "runtimePrecision", "originalLayersNames"))
        for info in nodes
    )
    return [Product(kind, precision, names) for kind, precision, names in said if kind in _PRODUCTS]
