"""Linting and mending what is on disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from hfcompress.artifact import check_replaceable, writing
from hfcompress.errors import InputError, ModelError
from hfcompress.extras import require
from hfcompress.onnx_graph.file import model_file
from hfcompress.onnx_graph.lint.findings import Finding
from hfcompress.onnx_graph.lint.linter import fix_, lint
from hfcompress.onnx_graph.profiles import Profiles


def lint_onnx(path: Path | str, target: str = "tensorrt", profiles: Profiles | None = None) -> tuple[Finding, ...]:
    """What a target rejects in a graph (`error`), and what it runs slowly (`advice`), errors first.

    Args:
        path: an .onnx file, or a folder with one.
        target: whose rules.
        profiles: the sizes that an engine is to be built for, by input; without them nothing is said about sizes.

    Raises:
        ExtraError: onnx is not installed.
        InputError: a target without rules.
        ModelError: no graph, several, or no valid one.
    """
    return lint(_load(model_file(Path(path))), target, profiles)


def fix_onnx(path: Path, out: Path, target: str) -> int:
    """Write what is mended, a file for a file and a folder for a folder; gives the number of places that were.

    The folder is a copy but for its graph, and has no manifest: it is no longer what a stage made.

    Raises:
        InputError: `out` is the source, or holds what is no model.
        ExtraError, ModelError: see `lint_onnx`.
    """
    source = model_file(path)
    model = _load(source)
    mended = fix_(model, target)
    if path.is_dir():
        check_replaceable(out, path)
        with writing(out) as temporary:
            left_out = shutil.ignore_patterns("manifest.json", "*.onnx", "*.onnx_data", "*.onnx.data")
            shutil.copytree(path, temporary, ignore=left_out, dirs_exist_ok=True)
            _save(model, temporary / source.name)
    else:
        if out.is_dir() or out.resolve() == source.resolve():
            raise InputError(f"{out} is {'a folder' if out.is_dir() else 'the source itself'}; name another file")
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = out.with_name(f".{out.name}.tmp")
        try:
            _save(model, temporary)
            os.replace(temporary, out)
        finally:
            temporary.unlink(missing_ok=True)
    return mended


def _load(path: Path) -> Any:
    require("onnxruntime", "`lint`")
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        return onnx.load(path)
    except (DecodeError, onnx.checker.ValidationError, OSError) as error:
        raise ModelError(f"{path} cannot be read as ONNX: {error}; export it again") from error


def _save(model: Any, path: Path) -> None:
    import onnx

    try:
        onnx.save(model, path)
    except ValueError as error:  # protobuf's own bound
        raise ModelError(f"the mended graph is larger than a file of ONNX may be: {error}") from error
