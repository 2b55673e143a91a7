"""Which nodes of a graph become integer, and which ones a user keeps in floating point."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from hfcompress.errors import InputError, StageError
from hfcompress.onnx_graph.layers import module_of
from hfcompress.quantize.residuals import Residual, residuals_of
from hfcompress.quantize.targets import Scheme
from hfcompress.recipe.quantization import names_module


@dataclass(frozen=True)
class Layers:
    """The nodes that static INT8 quantizes, in the order of the graph.

    Attributes:
        products: MatMul, Gemm and Conv with a weight.
        tables: Gather from a weight: embeddings.
        between: what stands between convolutions.
        residuals: sums with convolutions of which one summand alone is quantized.
    """

    products: tuple[Any, ...]
    tables: tuple[Any, ...]
    between: tuple[Any, ...]
    residuals: tuple[Residual, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all nodes."""
        return tuple(node.name for node in (*self.tables, *self.products, *self.between))

    @property
    def operators(self) -> tuple[str, ...]:
        """The operators among them."""
        return tuple(dict.fromkeys(node.op_type for node in (*self.tables, *self.products, *self.between)))


def layers_of(graph: Any, scheme: Scheme, excluded: Collection[str] = ()) -> Layers:
    """What a scheme quantizes of an fp32 graph.

    Args:
        graph: an `onnx.GraphProto` whose weights are initializers: see `prepared`.
        scheme: the target's.
        excluded: names of nodes that stay in floating point.

    """
    ranks = {tensor.name: len(tensor.dims) for tensor in graph.initializer if tensor.data_type == _FLOAT}
    candidates = [node for node in graph.node if node.name not in excluded]
    products = [node for node in candidates if node.op_type in scheme.products and _has_weight(node, ranks)]
    tables = [node for node in candidates if scheme.tables and node.op_type == "Gather" and node.input[0] in ranks]
    convolutions = {node.output[0] for node in products if node.op_type == "Conv"}
    between = list(_between(candidates, scheme.between, convolutions, set(ranks)))
    residuals = residuals_of(graph, convolutions, ranks) if scheme.residuals else ()
    return Layers(tuple(products), tuple(tables), tuple(between), tuple(residuals))


def check_products(layers: Layers, scheme: Scheme, excluded: Collection[str]) -> None:
    """Refuse a graph in which a scheme finds nothing to multiply as integers.

    Raises:
        StageError: says what was looked for.
    """
    if not layers.products:
        kept = ", but for those that `skip` names" if excluded else ""
        raise StageError(
            f"quantize found no {' or '.join(sorted(scheme.products))} with constant weights{kept}; INT8 would gain "
            "nothing; leave the stage out"
        )


_FLOAT = 1  # TensorProto.FLOAT


def _has_weight(node: Any, ranks: dict[str, int]) -> bool:
    rank = ranks.get(node.input[1], 0)
    # A batched weight has no axis of channels that an integer kernel takes.
    return rank >= 3 if node.op_type == "Conv" else rank == 2


def _between(
    nodes: Sequence[Any], operators: frozenset[str], quantized: set[str], constants: set[str]
) -> Iterator[Any]:
    """Nodes of these operators all of whose inputs come from convolutions, on the way through others of them."""
    reached = set(quantized)
    for node in nodes:  # in topological order
        if node.op_type in operators and node.input[0] in reached and set(node.input) <= reached | constants | {""}:
            reached.update(node.output)
            yield node


def skipped(graph: Any, patterns: Sequence[str]) -> frozenset[str]:
    """The names of the nodes that `skip` keeps in floating point.

    A pattern, with `*` and `?` as in file names, is compared as a whole with the name of a node in the graph
    (`/bert/encoder/layer.2/output/dense/MatMul`) and with that of its module, as torch names it
    (`bert.encoder.layer.2.output.dense`). The name of a module stands for all that is below it.

    Raises:
        InputError: a pattern fits no product or table; says near names.
    """
    return frozenset(matching({node.name: node.op_type for node in graph.node if node.name}, patterns, _SKIPPABLE))


def matching(nodes: Mapping[str, str], patterns: Sequence[str], operators: Collection[str]) -> list[str]:
    """The names of the nodes that patterns fit; see `skipped`.

    Args:
        nodes: name -> operator.
        patterns: of `skip`.
        operators: those that can be skipped.

    Raises:
        InputError: a pattern fits none of these; says near names.
    """
    modules = {name: module_of(name) for name, operator in nodes.items() if operator in operators}
    found: set[str] = set()
    for pattern in patterns:
        fitting = [
            name for name, module in modules.items() if fnmatchcase(name, pattern) or names_module(pattern, module)
        ]
        if not fitting:
            known = list(dict.fromkeys([*modules.values(), *modules]))
            near = get_close_matches(pattern, known, n=3, cutoff=0.3) or known[:3]
            raise InputError(f"skip names {pattern!r}, which fits no layer; there are {', '.join(near)}, ...")
        found.update(fitting)
    return sorted(found)


_SKIPPABLE = ("MatMul", "Gemm", "Conv", "Gather")
