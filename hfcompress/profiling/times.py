"""The seconds of nodes, added up by operator and by layer, and both models beside each other."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hfcompress.onnx_graph.flow import Flow
from hfcompress.onnx_graph.layers import PRODUCTS, QUANTIZING, layers_of
from hfcompress.onnx_graph.operators import INTEGER_OPERATORS
from hfcompress.profiling.explanation import LayerTime, OperatorTime


@dataclass(frozen=True)
class Profiled:
    """The graph that ONNX Runtime ran, and the seconds of its nodes.

    Attributes:
        flow: the optimized graph.
        seconds: of each node in each pass, shape (passes, nodes).
    """

    flow: Flow
    seconds: np.ndarray

    @cached_property
    def layers(self) -> list[tuple[str, ...]]:
        """Node by node, the layers that share its time."""
        return layers_of(self.flow)

    @cached_property
    def by_layer(self) -> dict[str, np.ndarray]:
        """Layer -> its seconds in each pass."""
        return self._sums(lambda index: True)

    @cached_property
    def quantizing(self) -> dict[str, np.ndarray]:
        """Layer -> the seconds of what quantizes and dequantizes for it, in each pass."""
        return self._sums(lambda index: self.flow.nodes[index].op_type in QUANTIZING)

    @cached_property
    def operators_of(self) -> dict[str, Counter[str]]:
        """Layer -> its operators and how often each comes."""
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for node, layers in zip(self.flow.nodes, self.layers, strict=True):
            for layer in layers:
                found[layer][node.op_type] += 1
        return dict(found)

    def operator_seconds(self, operator: str) -> np.ndarray:
        """All nodes of an operator together, in each pass."""
        chosen = [node.op_type == operator for node in self.flow.nodes]
        total: np.ndarray = self.seconds[:, chosen].sum(axis=1)
        return total

    def operator_ms(self, layers: Collection[str]) -> dict[str, float]:
        """Operator -> milliseconds of a pass, of what belongs to these layers."""
        sums: dict[str, float] = defaultdict(float)
        for index, owners in enumerate(self.layers):
            share = sum(owner in layers for owner in owners) / len(owners)
            sums[self.flow.nodes[index].op_type] += share * median_ms(self.seconds[:, index])
        return dict(sums)

    def is_integer(self, layer: str) -> bool:
        """Whether integers are multiplied in a layer."""
        return not INTEGER_OPERATORS.isdisjoint(self.operators_of.get(layer, ()))

    def products_of(self, layer: str) -> tuple[str, ...]:
        """The operators of a layer that multiply."""
        return tuple(name for name in self.operators_of.get(layer, ()) if name in PRODUCTS)

    def _sums(self, counts: Callable[[int], bool]) -> dict[str, np.ndarray]:
        sums: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(len(self.seconds)))
        for index, layers in enumerate(self.layers):
            for layer in layers if counts(index) else ():
                sums[layer] += self.seconds[:, index] / len(layers)
        return dict(sums)


def median_ms(seconds: np.ndarray | None) -> float:
    """Seconds of each pass to the median in milliseconds; None: nothing ran."""
    return 0.0 if seconds is None else 1000 * float(np.median(seconds))


def operator_times(int8: Profiled, fp32: Profiled) -> tuple[OperatorTime, ...]:
    """One entry an operator type, by the time of the INT8 model."""
    counts = [Counter(node.op_type for node in side.flow.nodes) for side in (int8, fp32)]
    entries = (
        OperatorTime(
            operator=operator,
            fp32_ms=median_ms(fp32.operator_seconds(operator)),
            int8_ms=median_ms(int8.operator_seconds(operator)),
            fp32_nodes=counts[1][operator],
            int8_nodes=counts[0][operator],
        )
        for operator in _union(*counts)
    )
    return tuple(sorted(entries, key=lambda entry: -entry.int8_ms))


def layer_times(int8: Profiled, fp32: Profiled) -> tuple[LayerTime, ...]:
    """One entry a layer, by the time of the INT8 model."""
    entries = (
        LayerTime(
            layer=layer,
            fp32_ms=median_ms(fp32.by_layer.get(layer)),
            int8_ms=median_ms(int8.by_layer.get(layer)),
            quantizing_ms=median_ms(int8.quantizing.get(layer)),
            fp32_products=fp32.products_of(layer),
            int8_products=int8.products_of(layer),
        )
        for layer in _union(int8.by_layer, fp32.by_layer)
    )
    return tuple(sorted(entries, key=lambda entry: -entry.int8_ms))


def _union(*names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name for some in names for name in some))
