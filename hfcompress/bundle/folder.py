"""Writes a bundle's folder, whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from hfcompress.artifact import hash_folder, writing
from hfcompress.bundle import measuring
from hfcompress.bundle.description import Bundle
from hfcompress.bundle.readme import readme_of
from hfcompress.errors import InputError, ModelError, UnsafeError
from hfcompress.intake.graph import external_tensors
from hfcompress.intake.json_text import read_mapping
from hfcompress.onnx_graph.file import model_file
from hfcompress.openvino_ir.file import MODEL, ir_file

BUNDLE, SUMS, MEASURE, BUILD = "bundle.json", "SHA256SUMS", "measure.py", "build.sh"
#: What is called on the target.
_SCRIPT = '''\
#!/usr/bin/env python3
"""Measures this bundle on the machine where it lies: see measuring/run.py."""

import sys
from pathlib import Path

from measuring.run import main

if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent))
'''
#: Batches by name, each of named arrays.
Batches = Mapping[str, Mapping[str, np.ndarray]]


def check_out(out: Path, artifact: Path) -> None:
    """Refuse a folder that cannot be written, or whose replacement would delete what nobody meant.

    Raises:
        InputError: it is a file, holds the artifact, is neither empty nor a bundle, or nothing can be made beside it.
    """
    resolved = out.expanduser().resolve()
    if resolved in (artifact.resolve(), *artifact.resolve().parents) or artifact.resolve() in resolved.parents:
        raise InputError(f"{out} is in the way of the artifact {artifact}; name a folder beside it")
    with _written(out):
        if resolved.exists() and not resolved.is_dir():
            raise InputError(f"{out} is a file; name a folder")
        if resolved.is_dir() and any(resolved.iterdir()) and not _is_bundle(resolved):
            raise InputError(f"{out} is no bundle and not empty, and would be replaced as a whole; name a new folder")
        # Made and gone again: nothing is left of a bundle that is refused for another reason.
        TemporaryDirectory(dir=_nearest(resolved.parent)).cleanup()


def _is_bundle(folder: Path) -> bool:
    try:
        return str(read_mapping(folder / BUNDLE).get("schema", "")).startswith("hfcompress.bundle/")
    except (OSError, UnsafeError):
        return False


def _nearest(folder: Path) -> Path:
    """The folder itself, or the one that it would be made in."""
    return next(path for path in (folder, *folder.parents) if path.exists())


@contextmanager
def _written(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{out} cannot be written ({error.strerror}); name another folder with --out") from error


@contextmanager
def writing_bundle(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its place when the block ends well, with the sums of what was written.

    Raises:
        InputError: it cannot be made, or cannot take that place. What the block raises is its own.
    """
    with ExitStack() as stack:
        with _written(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(writing(out))
        yield folder
        with _written(out):
            lines = [f"{entry.sha256}  {name}\n" for name, entry in hash_folder(folder).items()]
            (folder / SUMS).write_text("".join(lines), encoding="utf-8")
            stack.close()


def copy_model(artifact: Path, format: str, folder: Path) -> str:
    """Copy the model's files out of an artifact; gives the name of the one that a runtime opens.

    Raises:
        ModelError, UnsafeError: there is no model, or it leads out of its folder.
    """
    if format == "openvino":
        graph = ir_file(artifact)
        if not (constants := graph.with_suffix(".bin")).is_file():
            raise ModelError(f"{constants} is missing: it holds the weights of {graph.name}; export the model again")
        shutil.copyfile(graph, folder / MODEL)
        shutil.copyfile(constants, (folder / MODEL).with_suffix(".bin"))
        return MODEL
    graph = model_file(artifact)
    shutil.copyfile(graph, folder / "model.onnx")
    for name in {dict(tensor.entries)["location"] for tensor in external_tensors(graph)}:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(artifact / name, folder / name)
    return "model.onnx"


def write_batches(batches: Batches, path: Path) -> None:
    """One npz file, `<batch>.<name>` -> array, as `Packed` of `measuring/` reads it."""
    arrays = {f"{batch}.{name}": array for batch, named in batches.items() for name, array in named.items()}
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def write_documents(bundle: Bundle, folder: Path, script: str | None, extra: Mapping[str, str]) -> None:
    """bundle.json, measure.py and its package, README.md; build.sh where there is one; further texts by their names."""
    text = json.dumps(bundle.model_dump(mode="json", by_alias=True), indent=2, ensure_ascii=False)
    (folder / BUNDLE).write_text(text + "\n", encoding="utf-8")
    (folder / MEASURE).write_text(_SCRIPT, encoding="utf-8")
    (folder / MEASURE).chmod(0o755)
    package = Path(measuring.__file__).parent
    shutil.copytree(package, folder / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    if script is not None:
        (folder / BUILD).write_text(script, encoding="utf-8")
        (folder / BUILD).chmod(0o755)
    for name, content in extra.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    (folder / "README.md").write_text(readme_of(bundle), encoding="utf-8")
