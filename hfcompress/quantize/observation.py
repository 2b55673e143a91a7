"""The values of tensors inside a graph, batch by batch."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hfcompress.calibration.padding import without_padding
from hfcompress.runtimes.onnxruntime import OnnxRuntime

#: The input that says which tokens are padding, (rows, tokens), 0 where they are.
_MASK = "attention_mask"


def observed(
    model: Any, tensors: Sequence[str], batches: Iterable[Mapping[str, np.ndarray]], threads: int | None = None
) -> Iterator[dict[str, np.ndarray]]:
    """Run a graph; one batch is in memory at a time.

    Args:
        model: an `onnx.ModelProto` with its weights; it is not changed.
        tensors: names of floating point tensors, (..., channels).
        batches: inputs by name.
        threads: of ONNX Runtime; default: all that this process may use.

    Yields:
        Tensor -> its rows, (rows, channels), those of padding left out.
    """
    import onnx
    from onnx import helper

    tapped = type(model)()
    tapped.CopyFrom(model)
    known = {output.name for output in tapped.graph.output}
    tapped.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in tensors if name not in known)
    with tempfile.TemporaryDirectory(prefix="hfcompress-") as folder:
        path = Path(folder, "tapped.onnx")
        onnx.save(tapped, path)
        del tapped
        runtime = OnnxRuntime(path, threads=threads)
    for batch in batches:
        found = runtime.predict(batch)
        yield {name: without_padding(found[name], batch.get(_MASK)) for name in tensors}
