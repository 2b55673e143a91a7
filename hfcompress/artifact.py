"""An artifact: a folder that stands on its own, with a manifest that says what it is and where it came from.

It is written into a temporary sibling folder, flushed to disk and renamed, so that it is whole or absent.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hfcompress.errors import InputError, UnsafeError
from hfcompress.intake.json_text import read_mapping

MANIFEST = "manifest.json"
_CHUNK = 1 << 20
#: What counts as the model itself: weights and graph. Of OpenVINO's format besides: an .xml, and the .bin beside it.
_MODEL_SUFFIXES = (".safetensors", ".onnx", ".onnx_data", ".onnx.data")
#: What OpenVINO makes of a tokenizer, as graphs beside the model's.
_TOKENIZERS = ("openvino_tokenizer.", "openvino_detokenizer.")


class FileEntry(BaseModel):
    """One file of an artifact: sha256 in hex, size in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    size: int


class Origin(BaseModel):
    """What an artifact is and what made it.

    Attributes:
        stage: the verb.
        format: `torch`, `onnx` or `openvino`.
        task: what the model does.
        key: the stage key; equal key, equal artifact.
        recipe: the part of the recipe that made it.
        parents: name of each input -> its digest.
        versions: libraries that took part.
        seed: the recipe's seed.
        host: description of the host, without its name, users or absolute paths.
        details: what the stage found worth keeping: steps, losses, tolerances, operator counts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    format: str
    task: str
    key: str
    recipe: dict[str, Any]
    parents: dict[str, str]
    versions: dict[str, str]
    seed: int
    host: dict[str, Any]
    details: dict[str, Any] = Field(default_factory=dict)


class Manifest(Origin):
    """`manifest.json` of an artifact's folder.

    Attributes:
        name: the stage's name.
        files: path inside the folder -> its sha256 and size; the manifest itself excluded.
    """

    schema_: str = Field(default="hfcompress.manifest/1", alias="schema", serialization_alias="schema")
    name: str
    files: dict[str, FileEntry]


@dataclass(frozen=True)
class Artifact:
    """A model folder in one format.

    Attributes:
        path: the folder.
        format: `torch`, `onnx` or `openvino`.
        details: what a stage found worth keeping; goes into the manifest.
        trusted: whether loading it may run code of its own, which only the user can allow.
    """

    path: Path
    format: str
    details: dict[str, Any] | None = None
    trusted: bool = False

    @property
    def runtime(self) -> str | None:
        """The runtime that it was made for, as `Runtime.name` has it; None: the format's own, on the CPU."""
        return (self.details or {}).get("runtime")


def hash_file(path: Path) -> FileEntry:
    """sha256 and size of one file, read in chunks."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return FileEntry(sha256=digest.hexdigest(), size=size)


def hash_folder(folder: Path) -> dict[str, FileEntry]:
    """Every file below `folder` except the manifest, by path with `/`, sorted; hidden files are left out."""
    return {
        relative: hash_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and (relative := path.relative_to(folder).as_posix()) != MANIFEST and not _hidden(relative)
    }


def _hidden(relative: str) -> bool:
    return any(part.startswith(".") for part in relative.split("/"))


def sha256_of(value: Any) -> str:
    """sha256 of the canonical JSON of plain data."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def digest_of(files: dict[str, FileEntry]) -> str:
    """One sha256 for a set of files: over their paths and sha256, in sorted order."""
    lines = "".join(f"{name} {entry.sha256}\n" for name, entry in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def model_digest(files: Mapping[str, FileEntry]) -> str | None:
    """One sha256 for weights and graph alone, whatever they are called; None where an artifact's `files` hold none."""
    found = [files[name].sha256 for name in _model_files(files)]
    return sha256_of(sorted(found)) if found else None


def model_bytes(folder: Path) -> int:
    """Bytes of weights and graph below `folder`."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return sum(files[name].stat().st_size for name in _model_files(files))


def _model_files(names: Collection[str]) -> Iterator[str]:
    """Those of some files that are weights or a graph. A .bin without its .xml is something else."""
    for name in names:
        stem, _, suffix = name.rpartition(".")
        graph = suffix == "xml" or (suffix == "bin" and f"{stem}.xml" in names)
        if name.endswith(_MODEL_SUFFIXES) or (graph and not name.rpartition("/")[2].startswith(_TOKENIZERS)):
            yield name


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest into an artifact's folder."""
    text = json.dumps(manifest.model_dump(mode="json", by_alias=True), indent=2, sort_keys=True, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder, or None when it has none.

    Raises:
        InputError: the manifest cannot be read.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        return Manifest.model_validate(read_mapping(path))
    except (ValidationError, UnsafeError) as error:
        raise InputError(f"{path} is not a manifest of hfcompress: {error}") from error


def damage(folder: Path, manifest: Manifest) -> str | None:
    """What differs between a folder and its manifest, or None when every file is as it was written."""
    found = hash_folder(folder)
    for name, entry in manifest.files.items():
        if name not in found:
            return f"{name} is missing"
        if found[name] != entry:
            return f"{name} has changed"
    extra = sorted(set(found) - set(manifest.files))
    return f"{extra[0]} was added" if extra else None


def max_length_of(details: Mapping[str, Any], origin: Path) -> int | None:
    """Tokens at which an artifact's run cut its texts; None where its manifest does not say.

    Raises:
        InputError: it says something else.
    """
    value = details.get("max_length")
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{origin / MANIFEST} says max_length {value!r}, which should be a number of tokens")
    return value


def check_replaceable(folder: Path, source: Path) -> None:
    """Refuse an output folder whose replacement would delete what the user did not mean.

    Raises:
        InputError: it holds `source` or lies in it, or it has contents and is no model folder.
    """
    out, held = folder.expanduser().resolve(), source.resolve()
    if out == held or out in held.parents:
        raise InputError(f"{folder} holds the source {source} and would be replaced as a whole; name one beside it")
    if held in out.parents:
        raise InputError(f"{folder} lies in the source {source}, which it would change; name a folder beside it")
    if out.exists() and not out.is_dir():
        raise InputError(f"{folder} is a file; name a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / "config.json").is_file():
        raise InputError(f"{folder} is no model folder and not empty, and would be replaced; name a new folder")


@contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """A temporary sibling of `folder` that takes its place when the block ends well, and vanishes otherwise.

    Everything is flushed to disk before the rename. A kill in between leaves `folder` as it was or absent.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        _flush(temporary)
        _replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _flush(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _replace(temporary: Path, folder: Path) -> None:
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    temporary.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
