"""What a model folder says to the validation rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hfcompress.runtimes.torch import TorchRuntime
from hfcompress.tasks.data import Data


def answers(path: Path, data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels on validation."""
    processor = data.task.load_processor(path)
    runtime = TorchRuntime(path, data.task.name, threads=1)
    found = [
        (runtime.predict(batch)["logits"], batch["labels"])
        for batch in data.batches(data.prepared("validation", processor), processor, 64)
    ]
    logits, labels = zip(*found, strict=True)
    return np.concatenate(logits), np.concatenate(labels)
