"""The threshold whose 8-bit distribution is nearest to that of the values.

Szymon Migacz, 8-bit Inference with TensorRT, GTC 2017.
"""

from __future__ import annotations

import numpy as np

from hfcompress.calibration.histogram import Histogram

#: Values of an 8-bit grid.
LEVELS = 256
#: The largest share of values that a candidate may clip. Where no value is near 0, a range that ends at the smallest of
#: them would lose nothing by this measure: all of P is in one bin then, and so is all of Q.
_MOST_CLIPPED = 0.1
#: Candidates that are weighed at once: a few megabytes.
_CHUNK = 512


def entropy_threshold(histogram: Histogram) -> float:
    """The |value| at which clipping and rounding to 8 bits together lose least, by KL(values || rounded values).

    A candidate t clips the values to [max(low, -t), min(high, t)] and spreads the levels evenly over that range: a
    tensor of one sign (after ReLU) has all 256 for itself, one of both signs about 128 for each, one with a short
    negative tail (after GELU) nearly all for its positive values. What is clipped counts for the outermost bin, as in
    the source; exact zeros take no part, since the grid holds them without error. Nine tenths of the others are always
    within the range.

    Returns:
        The upper edge of a bin; 0 where all values are zero.
    """
    occupied = [np.flatnonzero(side) for side in histogram.counts]
    below, above = (int(bins[-1]) + 1 if len(bins) else 0 for bins in occupied)
    if below == above == 0:
        return 0.0
    axis = np.concatenate([histogram.counts[0, :below][::-1], histogram.counts[1, :above]])
    candidates = np.arange(1, max(below, above) + 1)
    starts, stops = below - np.minimum(candidates, below), below + np.minimum(candidates, above)
    sums = _prefix(axis)
    # Over fewer bins than levels rounding would seem to be free. The widest candidate has more: see `histogram.BINS`.
    enough = (stops - starts >= LEVELS) & (sums[stops] - sums[starts] >= (1 - _MOST_CLIPPED) * sums[-1])
    candidates, starts, stops = candidates[enough], starts[enough], stops[enough]
    losses = [
        divergences(axis, starts[first : first + _CHUNK], stops[first : first + _CHUNK])
        for first in range(0, len(candidates), _CHUNK)
    ]
    return float(candidates[np.argmin(np.concatenate(losses))] * histogram.width)


def divergences(counts: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """KL(P || Q) in nats of each range of bins [start, stop): inf where Q says 0 and P does not.

    P: the counts of the range, with all that lies outside of it added to its outermost bins. Q: the counts of the range
    alone, summed over each level and spread evenly over those of its bins in which P is not 0.

    Within a level Q is one number, so that sum P log Q is the sum over levels of P(level) log(Q(level) / bins(level)),
    and prefix sums give all three without a loop over bins.

    Args:
        counts: (bins,) of one axis.
        starts, stops: (candidates,), with stop - start >= LEVELS.

    Returns:
        (candidates,) float64.
    """
    sums, filled, p_log_p = (_prefix(each) for each in (counts, counts > 0, _x_log_x(counts)))
    total, inside = sums[-1], sums[stops] - sums[starts]
    below, above = sums[starts], total - sums[stops]
    edges = starts[:, None] + np.arange(LEVELS + 1) * (stops - starts)[:, None] // LEVELS
    q, bins = np.diff(sums[edges], axis=1), np.diff(filled[edges], axis=1)
    p, entropy = q.copy(), p_log_p[stops] - p_log_p[starts]
    for level, end, clipped in ((0, starts, below), (-1, stops - 1, above)):
        p[:, level] += clipped
        bins[:, level] += (counts[end] == 0) & (clipped > 0)
        entropy += _x_log_x(counts[end] + clipped) - _x_log_x(counts[end])
    with np.errstate(divide="ignore", invalid="ignore"):
        cross = np.where(p > 0, p * np.log(q / bins), 0.0).sum(axis=1)  # -inf where q is 0 and p is not
        losses: np.ndarray = (entropy - cross) / total + np.log(np.maximum(inside, 1) / total)
    return losses


def _prefix(values: np.ndarray) -> np.ndarray:
    """(n,) -> (n + 1,): sums of the first 0, 1, ..., n values."""
    return np.concatenate([[0], np.cumsum(values)])


def _x_log_x(values: np.ndarray) -> np.ndarray:
    products: np.ndarray = values * np.log(np.maximum(values, 1))  # counts: 0 log 0 is 0
    return products
