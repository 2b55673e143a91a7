"""SmoothQuant (Xiao et al. 2023, "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language
Models", ICML; https://arxiv.org/abs/2211.10438).

A few channels of an activation X are often many times larger than the others, so that one INT8 scale for all of them
leaves a few steps for the rest. Weights W have no such channels. With factors s > 0 for each channel

    X W = (X / s) (s W)                                          (equation 3)
    s_j = max|X_j| ^ alpha / max|W_j| ^ (1 - alpha)              (equation 4)

the function stays the same, and part of the difficulty moves into the weights: all of it at alpha 1, none at 0.

`alpha: auto` is chosen for each activation on its own, as Intel Neural Compressor's `auto` does, and not once for the
model as in the paper: by the error of the products that read it, under simulated INT8, on a sample of rows. Factors
and ranges that are judged come from other rows: by their own rows, the larger alphas of channels with heavy tails look
better than they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hfcompress.calibration.channels import ChannelExtremes, Channels

#: What `auto` chooses among, besides no smoothing at all.
ALPHAS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
#: `auto` divides an activation by a product of its own, which costs time, only where that takes away this share of the
#: error or more.
WORTH_A_MUL = 0.1
#: Factors stay within this and its inverse: what is beyond would leave float32's normal numbers.
_LARGEST = 1e5


@dataclass(frozen=True)
class Grid:
    """The integers that the products will be rounded to.

    Attributes:
        per_channel: one weight scale for each output channel in place of one for the tensor.
        weight_bits: 8, or 7 where two products are added in 16 bits (`reduce_range`).
        symmetric_activations: zero-point 0 and signed, in place of the whole range of an unsigned byte.
    """

    per_channel: bool = True
    weight_bits: int = 8
    symmetric_activations: bool = False


@dataclass(frozen=True)
class Reader:
    """One product that reads an activation.

    Attributes:
        inputs: what is known of its rows.
        weight: (channels, outputs).
    """

    inputs: Channels
    weight: np.ndarray


@dataclass(frozen=True)
class Choice:
    """What was chosen for one activation.

    Attributes:
        alpha: None: it is left as it is.
        factors: (channels,) float64; ones where it is left.
        error_before: of its products' outputs, relative and squared, without smoothing; see `output_error`. The mean
            over the products.
        error_after: the same with factors of this alpha from half of the rows.
    """

    alpha: float | None
    factors: np.ndarray
    error_before: float
    error_after: float


How = Literal["folded", "inserted", "left"]


@dataclass(frozen=True)
class Smoothed:
    """What was done to one activation.

    Attributes:
        activation: its name.
        products: names of the layers that read it.
        how: `folded` into constants before it, by an `inserted` product, or `left` as it was.
        choice: alpha, factors and errors.
    """

    activation: str
    products: tuple[str, ...]
    how: How
    choice: Choice


@dataclass(frozen=True)
class SmoothReport:
    """What was done to a model, activations in its order."""

    activations: tuple[Smoothed, ...]

    def count(self, how: How) -> int:
        """How many activations were treated so."""
        return sum(each.how == how for each in self.activations)

    def details(self) -> dict[str, Any]:
        """For an artifact's manifest."""
        return {
            "folded": self.count("folded"),
            "inserted": self.count("inserted"),
            "left": self.count("left"),
            "alphas": {each.activation: each.choice.alpha for each in self.activations},
        }


def smoothing_factors(activations: np.ndarray, weights: np.ndarray, alpha: float) -> np.ndarray:
    """Equation 4.

    A channel in which no activation was seen keeps 1: nothing is known of it. One whose weights are all 0 gets the
    largest factor: nobody reads it, so that it need not widen the range of the others.

    Args:
        activations: (channels,) largest |X| of each.
        weights: (channels,) largest |W| of each, over all products that read the activation.
        alpha: 0 to 1.

    Returns:
        (channels,) float64, from 1e-5 to 1e5.
    """
    activations, weights = activations.astype(np.float64), weights.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 where a channel is dead on both sides
        factors = activations**alpha / weights ** (1 - alpha)
    return np.where(activations > 0, np.clip(factors, 1 / _LARGEST, _LARGEST), 1.0)


def choose(readers: Sequence[Reader], alpha: float | Literal["auto"], grid: Grid, gain: float = 0.0) -> Choice:
    """The factors of one activation from all products that read it.

    `auto` takes the alpha of the smallest mean error among those that make no product's error worse, and none where
    that gains nothing. A number is taken as it is.

    Args:
        readers: at least one.
        alpha: a number, or a search through `ALPHAS`.
        grid: what will be rounded to.
        gain: the share of the error that `auto` must at least take away, for a choice that costs time.
    """
    seen, seen_by_half = (np.maximum.reduce([each.largest for each in extremes]) for extremes in _extremes(readers))
    weights = np.maximum.reduce([np.abs(each.weight).max(axis=1) for each in readers])
    ones = np.ones(len(weights))
    before = [output_error(each, ones, grid) for each in readers]
    best = Choice(None, ones, float(np.mean(before)), float(np.mean(before)))
    for candidate in ALPHAS if alpha == "auto" else (alpha,):
        judged = smoothing_factors(seen_by_half, weights, candidate)
        after = [output_error(each, judged, grid) for each in readers]
        factors = smoothing_factors(seen, weights, candidate)
        tried = Choice(candidate, factors, best.error_before, float(np.mean(after)))
        harmless = all(new <= old for new, old in zip(after, before, strict=True))
        better = tried.error_after < min(best.error_after, (1 - gain) * best.error_before)
        if alpha != "auto" or (harmless and better):
            best = tried
    return best


def _extremes(readers: Sequence[Reader]) -> tuple[list[ChannelExtremes], list[ChannelExtremes]]:
    return [each.inputs.all for each in readers], [each.inputs.half for each in readers]


def output_error(reader: Reader, factors: np.ndarray, grid: Grid) -> float:
    """sum (X W - Q(X / s) Q(s W))^2 / sum (X W)^2 over the sampled rows; 0 where X W is 0 everywhere.

    The range of the activations is that of minmax calibration over the half of the rows from which nothing was sampled,
    that of weights their largest |value|.
    """
    rows, weight = reader.inputs.rows, reader.weight.astype(np.float32)
    low, high = float((reader.inputs.half.low / factors).min()), float((reader.inputs.half.high / factors).max())
    factors = factors.astype(np.float32)
    exact = rows @ weight
    rounded = _rounded_activations(rows / factors, low, high, grid) @ _rounded_weights(weight * factors[:, None], grid)
    size = np.square(exact).sum()
    return float(np.square(exact - rounded).sum() / size) if size > 0 else 0.0


def _rounded_activations(values: np.ndarray, low: float, high: float, grid: Grid) -> np.ndarray:
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        return values
    if grid.symmetric_activations:
        scale = max(-low, high) / 127
        signed: np.ndarray = np.clip(np.rint(values / scale), -128, 127) * scale
        return signed
    scale = (high - low) / 255
    zero = np.rint(-low / scale)
    unsigned: np.ndarray = (np.clip(np.rint(values / scale) + zero, 0, 255) - zero) * scale
    return unsigned


def _rounded_weights(weight: np.ndarray, grid: Grid) -> np.ndarray:
    limit = 2 ** (grid.weight_bits - 1) - 1
    largest = np.abs(weight).max(axis=0, keepdims=True) if grid.per_channel else np.abs(weight).max(keepdims=True)
    scale = np.where(largest > 0, largest, 1.0) / limit
    rounded: np.ndarray = np.rint(weight / scale) * scale
    return rounded
