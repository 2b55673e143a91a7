"""The rewrites of an exported graph, which leave its answers as they are: less to compute at run time."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from hfcompress.errors import StageError
from hfcompress.onnx_graph.constant_factors import fold_factors_
from hfcompress.onnx_graph.file import model_file
from hfcompress.onnx_graph.first_token import first_token_only_
from hfcompress.onnx_graph.lint import fix_
from hfcompress.onnx_graph.static_shapes import fix_shapes_

logger = logging.getLogger(__name__)

#: What a proof finds out.
Proof = TypeVar("Proof")
#: ONNX keeps larger models in several files, which rewrites do not read.
_LARGEST_BYTES = 2 * 10**9


def rewrite(folder: Path, out: Path, *, first_token: bool, target: str | None = None) -> dict[str, int]:
    """Write `folder`'s graph to `out` with less to compute.

    Args:
        folder: with one graph.
        out: the file to write.
        first_token: compute the last layer for the first token alone, where nothing reads another.
        target: what will read the graph, where that is not ONNX Runtime's own provider; a linter has its rules.

    Returns:
        For the manifest: the nodes that work on the first token alone, those that are gone because sizes are known,
        and the multiplications that weights carry. Without any, nothing is written.
    """
    import onnx

    none = {"first_token_nodes": 0, "fixed_shape_nodes": 0, "folded_factors": 0}
    path = model_file(folder)
    if path.stat().st_size > _LARGEST_BYTES or any(folder.glob("*.onnx_data")):
        return none
    model = onnx.load(path)
    done = {
        "first_token_nodes": first_token_only_(model) if first_token else 0,
        "fixed_shape_nodes": fix_shapes_(model),
        "folded_factors": fold_factors_(model),
    }
    if any(done.values()):
        if target is not None:
            fix_(model, target)  # integers are cut where floating point should be
        onnx.checker.check_model(model)
        onnx.save(model, out)
    return done


def rewrite_where_it_holds(
    folder: Path, prove: Callable[[Path], Proof], *, first_token: bool = True, target: str | None = None
) -> tuple[Proof, dict[str, int]]:
    """Prove an exported folder's graph, rewrite it, and keep the rewritten one if that is proven too.

    Args:
        folder: with one graph.
        prove: raises `StageError` where a graph does not answer as it should.
        first_token, target: see `rewrite`.

    Returns:
        What was found out about the graph that is in the folder now, and what was rewritten.

    Raises:
        StageError: the graph does not answer as it should, as the exporter wrote it.
    """
    graph = model_file(folder)
    exported = prove(graph)
    with TemporaryDirectory(prefix="hfcompress-") as name:
        shorter = Path(name) / graph.name
        done = rewrite(folder, shorter, first_token=first_token, target=target)
        if not any(done.values()):
            return exported, done
        try:
            rewritten = prove(shorter)
        except StageError as error:
            logger.warning("the graph is left as the exporter wrote it, since rewritten %s", error)
            return exported, dict.fromkeys(done, 0)
        shutil.move(shorter, graph)
    return rewritten, done
