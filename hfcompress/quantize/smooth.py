"""SmoothQuant of an exported graph, before static INT8: the same function in fp32, easier to round.

Each weight is multiplied by the factors of its input along its rows, and the input is divided by them: for nothing
where that can go into what made the input (see `onnx_graph.division`), by one `Mul` otherwise. A layer of a post-norm
encoder (BERT) takes up to three: in front of query, key and value and of the first feed-forward product, whose inputs
feed the residual connections too, and behind the GELU. A pre-norm encoder (ViT) takes the last alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hfcompress.calibration.channels import Channels
from hfcompress.calibration.smoothquant import WORTH_A_MUL, Choice, Grid, Reader, Smoothed, SmoothReport, choose
from hfcompress.errors import InputError, StageError
from hfcompress.onnx_graph.division import Edit, divide_, plan_division
from hfcompress.onnx_graph.products import Product, are_all_readers, by_source, weight_products
from hfcompress.onnx_graph.wiring import Wiring
from hfcompress.quantize.observation import observed
from hfcompress.quantize.targets import Scheme
from hfcompress.recipe.stages import QuantizeConfig

logger = logging.getLogger(__name__)

#: Gives the rows to calibrate on, the same ones each time.
Rows = Callable[[], Iterator[dict[str, np.ndarray]]]


@dataclass(frozen=True)
class _Group:
    """Products that get the same factors, and the edits that divide what they read; None: it takes a Mul."""

    tensor: str
    products: list[Product]
    edits: list[Edit] | None


def smoother(
    config: QuantizeConfig, scheme: Scheme, rows: Rows, excluded: Collection[str]
) -> Callable[[Any], SmoothReport]:
    """What smooths a graph as a stage's config says, and logs what it did.

    Args:
        config: the stage's, with `smooth`.
        scheme: the target's.
        rows: what gives the calibration rows.
        excluded: names of nodes that stay in floating point.
    """
    grid = Grid(config.per_channel, 7 if scheme.reduce_range else 8, scheme.symmetric_activations)
    alpha = "auto" if config.smooth is None else config.smooth.alpha

    def smooth_(model: Any) -> SmoothReport:
        report = smooth_graph_(model, rows(), alpha, grid, excluded=excluded)
        logger.info("SmoothQuant: activations: %s", report)
        if report.worse:
            worse, worst = len(report.worse), report.worse[0].activation
            logger.warning("alpha %s makes %d activations harder to round, most of all %s", alpha, worse, worst)
            logger.warning("`smooth: auto` leaves such activations as they are")
        return report

    return smooth_


def smooth_graph_(
    model: Any,
    batches: Iterable[Mapping[str, np.ndarray]],
    alpha: float | Literal["auto"] = "auto",
    grid: Grid | None = None,
    *,
    excluded: Collection[str] = (),
    seed: int = 0,
) -> SmoothReport:
    """Rewrite an fp32 graph in place; its outputs stay what they are, to rounding.

    Args:
        model: an `onnx.ModelProto` with its weights.
        batches: inputs of calibration rows; read once, one at a time.
        alpha: of equation 4; `auto` chooses one for each activation, or to leave it.
        grid: what the products will be rounded to; default: 8-bit weights per channel, unsigned activations.
        excluded: names of nodes that stay in floating point: they do not count.
        seed: of the sample of rows.

    Raises:
        InputError: no rows, or rows that give NaN or infinite activations.
        StageError: no product with a constant weight.
    """
    grid = grid or Grid()
    wiring = Wiring(model)
    products = [each for each in weight_products(wiring) if each.node.name not in excluded]
    if not products:
        raise StageError(
            "smooth found no MatMul or Gemm with a constant weight of its own to move outliers into; leave `smooth` out"
        )
    channels = _observe(model, sorted({each.input for each in products}), batches, seed)
    done = []
    # From the end to the start: edits change weights of earlier products, which are weighed later.
    for group in sorted(_groups(wiring, products, grid), key=lambda group: _place(wiring, group), reverse=True):
        readers = [Reader(channels[each.input], each.weight(wiring)) for each in group.products]
        choice = choose(readers, alpha, grid, WORTH_A_MUL if group.edits is None else 0.0)
        done.append(_applied_(wiring, group, choice))
    wiring.drop_unread_constants_()
    del model.graph.value_info[:]
    return SmoothReport(tuple(reversed(done)))


def _observe(
    model: Any, tensors: list[str], batches: Iterable[Mapping[str, np.ndarray]], seed: int
) -> dict[str, Channels]:
    channels = {name: Channels(seed=seed) for name in tensors}
    for found in observed(model, tensors, batches):
        for name, rows in found.items():
            try:
                channels[name].update(rows)
            except InputError as error:
                raise InputError(f"calibration: {error} in {name}; look at the rows and the model") from error
    unseen = [name for name, each in channels.items() if each.all.low.size == 0]
    if unseen:
        raise InputError(
            f"smooth needs rows of activations and got none for {unseen[0]}; give `calibration` at least one row"
        )
    return channels


def _groups(wiring: Wiring, products: list[Product], grid: Grid) -> list[_Group]:
    groups = []
    for source, readers in by_source(wiring, products).items():
        edits = _free_division(wiring, source, readers, grid)
        if edits is not None:
            groups.append(_Group(source, readers, edits))
            continue
        tensors = dict.fromkeys(each.input for each in readers)
        groups += [_Group(tensor, [each for each in readers if each.input == tensor], None) for tensor in tensors]
    return groups


def _free_division(wiring: Wiring, tensor: str, readers: list[Product], grid: Grid) -> list[Edit] | None:
    if not are_all_readers(wiring, tensor, readers):
        return None
    edits = plan_division(wiring, tensor, len(readers[0].weight(wiring)))
    if edits is None or grid.per_channel:
        return edits
    # One scale for a whole weight: other columns of the product before would change how well it rounds.
    return None if any(edit.node.op_type in ("MatMul", "Gemm") for edit in edits) else edits


def _place(wiring: Wiring, group: _Group) -> int:
    first = group.products[0].node.output[0]
    return next(index for index, node in enumerate(wiring.nodes) if first in node.output)


def _applied_(wiring: Wiring, group: _Group, choice: Choice) -> Smoothed:
    names = tuple(product.node.name for product in group.products)
    if choice.alpha is None:
        return Smoothed(group.tensor, names, "left", choice)
    for product in group.products:
        product.scale_rows_(wiring, choice.factors)
    if group.edits is not None:
        divide_(wiring, group.edits, choice.factors)
        return Smoothed(group.tensor, names, "folded", choice)
    _insert_(wiring, group, choice.factors)
    return Smoothed(group.tensor, names, "inserted", choice)


def _insert_(wiring: Wiring, group: _Group, factors: np.ndarray) -> None:
    name = f"{group.tensor}_smoothed"
    dtype = group.products[0].weight(wiring).dtype
    wiring.add_constant_(f"{name}_factors", (1 / factors).astype(dtype))
    # `by_source` keeps the order of the graph.
    wiring.add_node_(group.products[0].node, "Mul", [group.tensor, f"{name}_factors"], name)
    for product in group.products:
        product.node.input[0] = name
