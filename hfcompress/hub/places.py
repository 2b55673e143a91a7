"""Where each file of each artifact goes in a repository. Pure on manifests.

The PyTorch model is the root, its exports are in `onnx/` under the names that Transformers.js and Optimum look for, and
share the root's configuration and tokenizer. What cannot share, because it would say something else under the same
name, is a folder of its own under `artifacts/`, as in the run folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

from hfcompress.artifact import FileEntry, Manifest
from hfcompress.models.folder import MODEL_FILES

#: What an artifact gives to a repository. Nothing else of its folder is published: no arguments of a training, no
#: state of an optimizer, no code.
PUBLISHED = (*MODEL_FILES, "*.jinja", "*.onnx", "*.onnx_data", "*.onnx.data")
_NEVER = ("training_args*", "optimizer*", "scheduler*", "rng_state*", "trainer_state*")
_ORT_CONFIG = "ort_config.json"
_WEIGHTS = (".safetensors", ".onnx")


@dataclass(frozen=True)
class Placed:
    """One artifact in a repository.

    Attributes:
        manifest: what it is.
        files: name in its own folder -> path in the repository; of files that it shares with another artifact too.
        quantized: whether its graph multiplies integers.
    """

    manifest: Manifest
    files: Mapping[str, str]
    quantized: bool = False

    @property
    def name(self) -> str:
        """The artifact's name."""
        return self.manifest.name

    @property
    def model(self) -> str:
        """The path of its graph, or of its weights, the first file where there are several."""
        return min(path for name, path in self.files.items() if name.endswith(_WEIGHTS))

    @property
    def folder(self) -> str:
        """The folder of its configuration and tokenizer; empty: the root."""
        return self.files["config.json"].rpartition("/")[0]


def place(artifacts: Sequence[Manifest], quantized: frozenset[str] = frozenset()) -> tuple[Placed, ...]:
    """Find a place for each artifact, in the order given.

    Args:
        artifacts: the first torch artifact becomes the root, the first INT8 one `onnx/model_quantized.onnx`.
        quantized: names of those whose graph multiplies integers.
    """
    first_torch = next((artifact for artifact in artifacts if artifact.format == "torch"), None)
    taken: dict[str, FileEntry] = {}
    found: dict[str, Placed] = {}
    for artifact in sorted(artifacts, key=lambda artifact: artifact is not first_torch):
        entries = {name: entry for name, entry in artifact.files.items() if _is_published(name)}
        is_quantized = artifact.name in quantized
        for paths in _candidates(artifact, tuple(entries), is_quantized, is_root=artifact is first_torch):
            wanted = {paths[name]: entry for name, entry in entries.items()}
            if len(wanted) == len(entries) and all(taken.get(path, entry) == entry for path, entry in wanted.items()):
                break
        taken |= wanted
        found[artifact.name] = Placed(artifact, paths, is_quantized)
    return tuple(found[artifact.name] for artifact in artifacts)


def _is_published(name: str) -> bool:
    base = name.rpartition("/")[2]
    return any(fnmatch(base, pattern) for pattern in PUBLISHED) and not any(fnmatch(base, never) for never in _NEVER)


def _candidates(
    artifact: Manifest, names: Sequence[str], quantized: bool, *, is_root: bool
) -> Iterator[dict[str, str]]:
    """Places to try, best first; the last one is nobody else's."""
    if is_root:
        yield {name: name for name in names}
    if artifact.format == "onnx":
        half = "_fp16" if any(name.endswith("_fp16.onnx") for name in names) else ""
        suffix = "_quantized" if quantized else half
        yield _in_onnx(names, f"model{suffix}", "ort_config")
        if not any(_is_external(name) for name in names):  # which the graph names, so that it cannot be renamed
            yield _in_onnx(names, f"model_{artifact.name}{suffix}", f"ort_config_{artifact.name}")
    yield {name: f"artifacts/{artifact.name}/{name}" for name in names}


def _in_onnx(names: Sequence[str], graph: str, ort_config: str) -> dict[str, str]:
    paths = {name: name for name in names}
    for name in names:
        if name.endswith(".onnx"):
            paths[name] = f"onnx/{graph}.onnx"
        elif name == _ORT_CONFIG:
            paths[name] = f"onnx/{ort_config}.json"
        elif _is_external(name):
            paths[name] = f"onnx/{name}"
    return paths


def _is_external(name: str) -> bool:
    return name.endswith((".onnx_data", ".onnx.data"))
