"""Whether what is here is what was made: every file against its manifest, and what nothing says of its origin.

Files are read and hashed. Nothing of them is loaded, unpickled or run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from hfcompress.artifact import MANIFEST, FileEntry, Manifest, digest_of, hash_file, read_manifest
from hfcompress.errors import InputError, RecipeError, UnsafeError
from hfcompress.hub.provenance import missing_from_manifest, missing_from_results
from hfcompress.hub.publication import PublishedArtifact, RepositoryManifest, is_inside
from hfcompress.hub.published import read_repository_manifest
from hfcompress.hub.sign import SIGNATURE, signature_fault
from hfcompress.intake.graph import check_graph
from hfcompress.intake.ir import check_ir
from hfcompress.intake.json_text import read_mapping
from hfcompress.intake.pickles import holds_pickle, is_pickle_name, read_head
from hfcompress.intake.weights import check_safetensors
from hfcompress.recipe.loader import recipe_sha256

RESULTS, RECIPE = "results.json", "recipe.yaml"
Kind = Literal["artifact", "repository", "run"]
#: What git, the Hub and a download leave beside the files.
_LEFT_BESIDE = frozenset({".cache", ".git", ".gitattributes", ".gitignore", ".github"})
#: Files that loaders of models, tokenizers and processors look for.
_TAKEN_SUFFIXES = frozenset(
    {".safetensors", ".onnx", ".onnx_data", ".data", ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack", ".gguf"}
    | {".xml", ".py", ".so", ".json", ".jinja", ".model", ".tiktoken"}
)
_TAKEN_NAMES = frozenset({"vocab.txt", "merges.txt"})


@dataclass(frozen=True)
class Verification:
    """What was found.

    Attributes:
        kind: what the folder is.
        artifacts: their names.
        files: how many files were compared.
        faults: what is not as it was made, or not safe to load; empty when all is well.
        missing: what nothing says of where the artifacts come from.
        notes: files that no manifest names, and that no loader takes: somebody else's.
        signed: whether a signature was asked for, and holds; None: not asked for.
    """

    kind: Kind
    artifacts: tuple[str, ...]
    files: int
    faults: tuple[str, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...] = ()
    signed: bool | None = None

    @property
    def passed(self) -> bool:
        """Whether every file is as it was made, and their origin is accounted for."""
        return not self.faults and not self.missing


def verify(folder: Path, public_key: Path | None = None) -> Verification:
    """Compare an artifact's folder, a run folder or a copy of a published repository with what its manifests say.

    Args:
        folder: on this machine.
        public_key: PEM; the folder has to hold a signature of it.

    Raises:
        InputError: the folder is none of the three, or a manifest cannot be read.
    """
    found = _verify(folder)
    if public_key is None:
        return found
    fault = signature_fault(folder, public_key, found.notes)
    return replace(found, faults=found.faults if fault is None else (*found.faults, fault), signed=fault is None)


@contextmanager
def downloaded(repo_id: str, revision: str | None = None) -> Iterator[Path]:
    """A repository as plain files in a temporary folder, which vanishes when the block ends.

    Raises:
        InputError: it cannot be had.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    with tempfile.TemporaryDirectory() as temporary:
        try:
            snapshot_download(repo_id, revision=revision, local_dir=temporary)
        except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"{repo_id!r} is no local folder and could not be had from the Hub: {reason}; check the spelling, the "
                "network, or log in with `hf auth login` where the repository is private"
            ) from error
        yield Path(temporary)


def _verify(folder: Path) -> Verification:
    repository = read_repository_manifest(folder)
    if repository is not None:
        return _verify_repository(folder, repository)
    manifest = read_manifest(folder)
    if manifest is not None:
        return _verify_artifact(folder, manifest)
    if (folder / RESULTS).is_file() and (folder / "artifacts").is_dir():
        return _verify_run(folder)
    raise InputError(
        f"{folder} has neither a {MANIFEST} nor a {RESULTS} with artifacts/, so there is nothing to compare it with; "
        "give an artifact's folder, a run folder or a published repository"
    )


def _verify_artifact(folder: Path, manifest: Manifest) -> Verification:
    above = folder.resolve().parent
    results = _mapping(above.parent / RESULTS) if above.name == "artifacts" else None
    missing = missing_from_manifest(manifest.name, manifest)
    missing += missing_from_results(results, [manifest.parents])
    faults = tuple(_file_faults(folder, manifest.files)) + tuple(_added_faults(folder, manifest.files))
    return Verification("artifact", (manifest.name,), len(manifest.files), faults, tuple(missing))


def _verify_repository(folder: Path, manifest: RepositoryManifest) -> Verification:
    faults, missing = list(_file_faults(folder, manifest.files)), list[str]()
    # A repository is open to others, and a push leaves what they have put there.
    notes = [name for name in _added(folder, manifest.files) if not _is_taken(folder / name)]
    faults += _added_faults(folder, manifest.files, notes)
    for name, artifact in manifest.artifacts.items():
        faults += _unnamed(name, artifact, manifest.files)
        missing += missing_from_manifest(name, artifact)
    parents, results = [artifact.parents for artifact in manifest.artifacts.values()], _mapping(folder / RESULTS)
    missing += missing_from_results(results, parents)
    if RECIPE not in manifest.files:
        missing.append(f"the recipe ({RECIPE})")
    faults += _recipe_faults(folder, results)
    files = len(manifest.files)
    return Verification("repository", tuple(manifest.artifacts), files, tuple(faults), tuple(missing), tuple(notes))


def _verify_run(folder: Path) -> Verification:
    results = _mapping(folder / RESULTS) or {}
    measured = {str(entry.get("name")): entry for entry in results.get("artifacts", ()) if isinstance(entry, dict)}
    faults, missing, manifests = list[str](), list[str](), dict[str, Manifest]()
    for path in sorted((folder / "artifacts").iterdir()):
        if path.name.startswith(".") or not path.is_dir():
            continue
        manifest = read_manifest(path)
        if manifest is None:
            faults.append(f"artifacts/{path.name} has no {MANIFEST}")
            continue
        manifests[path.name] = manifest
        found = (*_file_faults(path, manifest.files), *_added_faults(path, manifest.files))
        faults += (f"artifacts/{path.name}: {fault}" for fault in found)
        missing += missing_from_manifest(path.name, manifest)
        if path.name in measured and measured[path.name].get("digest") != digest_of(manifest.files):
            faults.append(f"artifacts/{path.name} is another one than {RESULTS} measured")
    made = {name for name, entry in measured.items() if entry.get("path")}
    faults += (f"artifacts/{name} is missing, which {RESULTS} measured" for name in sorted(made - manifests.keys()))
    missing += missing_from_results(results, [manifest.parents for manifest in manifests.values()])
    if not (folder / RECIPE).is_file():
        missing.append(f"the recipe ({RECIPE})")
    faults += _recipe_faults(folder, results)
    files = sum(len(manifest.files) for manifest in manifests.values())
    return Verification("run", tuple(manifests), files, tuple(faults), tuple(missing))


def _recipe_faults(folder: Path, results: Mapping[str, Any] | None) -> Iterator[str]:
    """Where results and recipe both say what was run, they have to say the same."""
    said = (results or {}).get("recipe_sha256")
    if not said or not (folder / RECIPE).is_file():
        return
    try:
        found = recipe_sha256((folder / RECIPE).read_text(encoding="utf-8", errors="replace"))
    except RecipeError as error:
        yield str(error)
        return
    if found != said:
        yield f"{RECIPE} is another one than {RESULTS} measured"


def _file_faults(folder: Path, files: Mapping[str, FileEntry]) -> Iterator[str]:
    """What of a folder is not as `files` say, and what is not safe to load."""
    for name, entry in sorted(files.items()):
        path = folder / name
        if not is_inside(name):
            yield f"the manifest names {name!r}, which is outside of the folder"
        elif not path.is_file():
            yield f"{name} is missing"
        elif path.stat().st_size != entry.size:
            yield f"{name} has {path.stat().st_size} bytes in place of {entry.size}"
        elif hash_file(path) != entry:
            yield f"{name} has changed"
        else:
            yield from _unsafe(path, name)


def _added_faults(folder: Path, files: Mapping[str, FileEntry], harmless: Container[str] = ()) -> Iterator[str]:
    for name in _added(folder, files):
        if (folder / name).is_symlink():
            yield f"{name} was added, a link that may lead anywhere"
        elif name not in harmless:
            yield f"{name} was added"


def _added(folder: Path, files: Mapping[str, FileEntry]) -> list[str]:
    """Files and links, those to folders too, that no manifest names."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir())
    names = (path.relative_to(folder).as_posix() for path in found)
    ours = {*files, MANIFEST, SIGNATURE}
    return [name for name in names if name not in ours and name.partition("/")[0] not in _LEFT_BESIDE]


def _is_taken(path: Path) -> bool:
    """Whether a loader might take a file by its name, or be led elsewhere by it."""
    if path.is_symlink() or path.suffix.lower() in _TAKEN_SUFFIXES or path.name in _TAKEN_NAMES:
        return True
    return is_pickle_name(path.name) or holds_pickle(read_head(path)) is not None


def _unsafe(path: Path, name: str) -> Iterator[str]:
    try:
        match path.suffix:
            case ".safetensors":
                check_safetensors(path)
            case ".onnx":
                check_graph(path)
            case ".xml":
                check_ir(path)
        if is_pickle_name(name) or holds_pickle(read_head(path)):
            yield f"{name} is a pickle, which runs code when it is loaded"
    except UnsafeError as error:
        yield str(error)


def _unnamed(name: str, artifact: PublishedArtifact, files: Iterable[str]) -> list[str]:
    return [f"{name} names {file!r}, which the manifest lacks" for file in artifact.files if file not in set(files)]


def _mapping(path: Path) -> dict[str, Any] | None:
    return read_mapping(path) if path.is_file() else None
