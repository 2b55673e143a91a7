"""Calibrates on 100 made-up rows and then on 5,000, and prints the peak memory of this process after each, in bytes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hfcompress.benchmark.worker import peak_memory_bytes
from hfcompress.quantize.static import calibrate
from hfcompress.quantize.targets import SCHEMES
from hfcompress.recipe.quantization import Calibration


def batches(samples: int) -> Iterator[dict[str, np.ndarray]]:
    """Batches of 8 rows of 16 tokens."""
    rng = np.random.default_rng(0)
    for _ in range(0, samples, 8):
        ids = rng.integers(5, 50, (8, 16))
        yield {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def main(source: str, method: Any) -> None:
    """Two calibrations in one process, whose peak can only grow."""
    for samples in (100, 5000):
        calibrate(Path(source), SCHEMES["avx512_vnni"], Calibration(method=method), batches(samples))
        print(peak_memory_bytes())  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
