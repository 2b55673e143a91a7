"""A published repository as its readers have it: which artifacts it holds, and the files of one of them, here.

Nothing here is run or unpickled: `manifest.json` is read, and the files that it names for one artifact are fetched.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from hfcompress.artifact import MANIFEST, FileEntry, hash_file
from hfcompress.errors import InputError, ModelError
from hfcompress.hub.publication import PublishedArtifact, RepositoryManifest, is_inside
from hfcompress.intake.json_text import read_mapping
from hfcompress.recipe.publish import repo_id_fault
from hfcompress.results.serving import FOLDER

#: Format -> how the name of its graph ends.
_GRAPHS = {"onnx": ".onnx", "openvino": ".xml"}
_SCHEMA = "hfcompress.repository/"


@dataclass(frozen=True)
class PublishedModel:
    """One artifact of a published repository, on this machine.

    Attributes:
        root: the repository.
        said: what its manifest says of it.
    """

    root: Path
    said: PublishedArtifact

    @property
    def folder(self) -> Path:
        """Where its config.json and its tokenizer or image processor are."""
        config = next((name for name in self.said.files if PurePosixPath(name).name == "config.json"), None)
        if config is None:
            raise ModelError(f"{self.root / MANIFEST} names no config.json for this artifact; publish it again")
        return self.root / PurePosixPath(config).parent

    def files(self) -> dict[str, FileEntry]:
        """Its files, by path in the repository."""
        return {name: hash_file(self.root / name) for name in self.said.files}

    @property
    def model(self) -> Path:
        """The graph of an artifact in ONNX or OpenVINO's format; the folder of a PyTorch one."""
        graphs = [name for name in self.said.files if name.endswith(_GRAPHS.get(self.said.format, ()))]
        return self.root / graphs[0] if graphs else self.folder


def is_repo_id(text: str) -> bool:
    """Whether a repository may be called so: `namespace/name`, or `name` alone."""
    return repo_id_fault(text) is None


def read_repository_manifest(folder: Path) -> RepositoryManifest | None:
    """The root manifest of a published repository; None where there is none, or an artifact's own.

    Raises:
        InputError: it is no JSON or too large, or says that it is one and is not, or names a file outside of the
            repository.
    """
    path = folder / MANIFEST
    content = read_mapping(path) if path.is_file() else {}
    if not str(content.get("schema")).startswith(_SCHEMA):
        return None
    try:
        manifest = RepositoryManifest.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path} is not a manifest of hfcompress: {error}") from error
    for name in (*manifest.files, *(name for artifact in manifest.artifacts.values() for name in artifact.files)):
        if not is_inside(name):
            raise InputError(f"{path} names {name!r}, which is no file of this repository")
    return manifest


def choose(manifest: RepositoryManifest, name: str | None, where: str) -> PublishedArtifact:
    """One artifact by its name, or the only one.

    Raises:
        InputError: there is no such artifact, or several and none was named.
    """
    names = list(manifest.artifacts)
    held = ", ".join(names)
    if name is None and len(manifest.artifacts) == 1:
        return next(iter(manifest.artifacts.values()))
    if name is None:
        raise InputError(f"{where} holds several artifacts ({held}); say which: load({where!r}, artifact={names[0]!r})")
    if name not in manifest.artifacts:
        raise InputError(f"{where} holds no artifact `{name}`; it holds {held}")
    return manifest.artifacts[name]


def download(repo_id: str, name: str | None, revision: str | None) -> PublishedModel | None:
    """The files of one artifact, as files and not as links into the Hub's cache, which ONNX refuses to follow.

    They are kept beside that cache, in a folder for each commit. None where the repository has no manifest of ours.

    Raises:
        ModelError: the repository cannot be had.
        InputError: see `choose`.
    """
    from huggingface_hub import constants, hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        found = Path(hf_hub_download(repo_id, MANIFEST, revision=revision))
        manifest = read_repository_manifest(found.parent)
        if manifest is None:
            return None
        said = choose(manifest, name, repo_id)
        commit = found.parent.name  # the cache names the folder of a snapshot after its commit
        root = Path(constants.HF_HOME) / "hfcompress" / repo_id.replace("/", "--") / commit
        snapshot_download(
            repo_id, revision=commit, allow_patterns=[*said.files, MANIFEST, f"{FOLDER}/*"], local_dir=root
        )
        return PublishedModel(root, said)
    except LocalEntryNotFoundError as error:  # is an EntryNotFoundError too
        raise _not_had(repo_id, error) from error
    except EntryNotFoundError:
        return None
    except (HFValidationError, HfHubHTTPError, OSError) as error:
        raise _not_had(repo_id, error) from error


def _not_had(repo_id: str, error: Exception) -> ModelError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ModelError(
        f"{repo_id!r} is no local folder and could not be had from the Hub: {reason}; check the spelling, the network, "
        "or log in with `hf auth login` where the repository is private"
    )
