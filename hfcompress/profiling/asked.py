"""What a quantizer was asked to do, as the INT8 artifact's own files say it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from hfcompress.artifact import read_manifest
from hfcompress.errors import ModelError

_OPTIMUM = "ort_config.json"


@dataclass(frozen=True)
class Asked:
    """What was asked of the quantizer.

    Attributes:
        operators: the kinds of operators; None where nothing says it.
        excluded: names of nodes and layers that were left out, with `*` as in file names.
    """

    operators: frozenset[str] | None = None
    excluded: tuple[str, ...] = ()

    def excludes(self, names: Iterable[str]) -> bool:
        """Whether one of these names of a product was left out."""
        return any(fnmatchcase(name, pattern) for name in names for pattern in self.excluded)


def read_asked(folder: Path) -> Asked:
    """From Optimum's `ort_config.json` and from `skip` in the manifest, where they are.

    Raises:
        ModelError: a file is there and cannot be read.
    """
    quantization = _optimum(folder / _OPTIMUM)
    operators = quantization.get("operators_to_quantize")
    excluded = [*quantization.get("nodes_to_exclude", ()), *_skipped(folder)]
    return Asked(frozenset(operators) if operators else None, tuple(dict.fromkeys(excluded)))


def _optimum(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")).get("quantization") or {})
    except (ValueError, AttributeError, TypeError) as error:
        raise ModelError(f"{path} is not what Optimum writes: {error}; quantize the model again") from error


def _skipped(folder: Path) -> list[str]:
    manifest = read_manifest(folder)
    verbs = manifest.recipe.values() if manifest else ()
    return [name for verb in verbs if isinstance(verb, dict) for name in verb.get("skip", ())]
