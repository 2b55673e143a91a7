"""An export in float16: the graph in place of the one in float32."""

from __future__ import annotations

from pathlib import Path

from hfcompress.onnx_graph.file import model_file
from hfcompress.onnx_graph.half import to_half

#: The largest accepted difference of an output in standard deviations of it: 10 bits of mantissa leave about 0.001 of
#: each sum, of which a model makes hundreds.
TOLERANCE = 0.05
#: The established name, which Transformers.js and Optimum look for.
NAME = "model_fp16.onnx"


def halve_(folder: Path) -> Path:
    """Put an exported folder's graph in float16 in place of it; gives its path.

    Raises:
        StageError: a weight is larger than float16 can hold.
    """
    import onnx

    path = model_file(folder)
    model = to_half(onnx.load(path))
    outside = [path for path in folder.iterdir() if path.name.endswith((".onnx_data", ".onnx.data"))]
    for old in (path, *outside):
        old.unlink()
    data = {"save_as_external_data": True, "location": f"{NAME}_data"} if outside else {}
    onnx.save(model, folder / NAME, **data)
    return folder / NAME
