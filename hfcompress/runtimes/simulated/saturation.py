"""The 8-bit product of an x86 CPU without VNNI, bit for bit.

`vpmaddubsw` multiplies unsigned activations with signed weights, adds the two products of neighbours along K, and
saturates that sum at 16 bits; `vpmaddwd` with ones and `vpaddd` add such sums in 32 bits (ONNX Runtime, MLAS:
`MultiplyAccumulateRowU8S8Avx2` in `x86_64/QgemmU8X8KernelAvx2.S`, `MultiplyAccumulateCellU8S8Avx512Core` in
`QgemmU8X8KernelAvx512Core.S`; Intel, oneDNN developer guide, "Nuances of int8 computations"). Neighbours are elements
2i and 2i + 1 of K: both matrices are packed by four along K, blocks of K are multiples of four, and what is missing at
the end is zero (`MlasGemmU8S8CopyPackAAvx2`, `PackedK = 4`), so that the last element of an odd K is alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

#: The largest activation: 8 bits, unsigned.
_LARGEST = 255
_INT16 = np.iinfo(np.int16)
#: Numbers in one temporary of the arithmetic, 2 MB of float64: memory does not grow with the rows, and caches hold it.
_CHUNK = 1 << 18


def can_saturate(weights: np.ndarray) -> np.ndarray:
    """Which pairs of weights leave 16 bits for some activations. Exact: every other pair is safe for all of them.

    A pair (u, v) of weights reaches 255 (max(u, 0) + max(v, 0)) at most and 255 (min(u, 0) + min(v, 0)) at least: a
    sum of 128 fits and one of 129 does not, so that 7-bit weights (-64..64) never saturate.

    Args:
        weights: (K, N) int8.

    Returns:
        (ceil(K / 2), N) of bool.
    """
    pairs = _padded(weights).astype(np.int32).reshape(-1, 2, weights.shape[1])
    most = _LARGEST * np.maximum(pairs, 0).sum(axis=1)
    least = _LARGEST * np.minimum(pairs, 0).sum(axis=1)
    leaves: np.ndarray = (most > _INT16.max) | (least < _INT16.min)
    return leaves


def exact_matmul(activations: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The product in 32 bits, as every other CPU gives it.

    Args:
        activations: (M, K) of 8-bit integers.
        weights: (K, N) of 8-bit integers.

    Returns:
        (M, N) int32.
    """
    return _by_rows(activations, weights, lambda left, right: left @ right)


def saturating_matmul(activations: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The product of an x86 CPU without VNNI.

    It is the exact one less what saturation cuts off, which is computed for the pairs of `can_saturate` alone: one to
    three in a hundred of 8-bit weights that are distributed normally.

    Args:
        activations: (M, K) uint8.
        weights: (K, N) int8.

    Returns:
        (M, N) int32.
    """
    import torch

    pairs, columns = (torch.from_numpy(found) for found in np.nonzero(can_saturate(weights)))

    def product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        # Transposed, so that the elements of one k lie side by side.
        sums, left = right.T @ left.T, left.T.contiguous()
        step = max(1, _CHUNK // left.shape[1])
        for first, column in zip(torch.split(2 * pairs, step), torch.split(columns, step), strict=True):
            pair = left[first] * right[first, column, None]
            pair += left[first + 1] * right[first + 1, column, None]
            sums.index_add_(0, column, pair.clamp(_INT16.min, _INT16.max).sub_(pair))
        return sums.T

    return _by_rows(_padded(activations.T).T, _padded(weights), product)


def _by_rows(
    activations: np.ndarray, weights: np.ndarray, product: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
) -> np.ndarray:
    """A product of some rows at a time, in float64: it holds every integer up to 2^53, and is many times faster than
    torch's product of integers. What leaves 32 bits in the end wraps around, as `vpaddd` does.
    """
    import torch

    right = torch.from_numpy(weights.astype(np.float64))
    answer = np.empty((len(activations), weights.shape[1]), dtype=np.int32)
    step = max(1, _CHUNK // max(weights.shape))
    for start in range(0, len(activations), step):
        left = torch.from_numpy(activations[start : start + step].astype(np.float64))
        answer[start : start + step] = product(left, right).to(torch.int64).to(torch.int32).numpy()
    return answer


def _padded(rows: np.ndarray) -> np.ndarray:
    """Rows with one of zeros more where their number is odd."""
    return np.pad(rows, ((0, len(rows) % 2), (0, 0)))
