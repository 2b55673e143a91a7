"""The first-token rewrite of an exported folder, kept only when it answers as before."""

from __future__ import annotations

from pathlib import Path

from hfcompress.onnx_graph.file import model_file
from hfcompress.onnx_graph.first_token import first_token_only_

#: ONNX keeps larger models in several files, which this rewrite does not read.
_LARGEST_BYTES = 2 * 10**9


def shorten(folder: Path, out: Path) -> int:
    """Write `folder`'s graph to `out` with the last layer computed for the first token alone.

    Returns:
        How many nodes changed; 0 where the rewrite does not apply, and nothing is written.
    """
    import onnx

    path = model_file(folder)
    if path.stat().st_size > _LARGEST_BYTES or any(folder.glob("*.onnx_data")):
        return 0
    model = onnx.load(path)
    moved = first_token_only_(model)
    if moved:
        onnx.checker.check_model(model)
        onnx.save(model, out)
    return moved
