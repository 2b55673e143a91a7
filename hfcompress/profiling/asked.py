"""What a quantizer was asked to do, as the INT8 artifact's own files say it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hfcompress.artifact import read_manifest
from hfcompress.errors import ModelError
from hfcompress.recipe.quantization import names_module

_OPTIMUM = "ort_config.json"


@dataclass(frozen=True)
class Asked:
    """What was asked of the quantizer.

    Attributes:
        operators: the kinds of operators; None where nothing says it.
        excluded: names of nodes and layers that were left out, with `*` as in file names; the name of a module stands
            for all that is below it.
        chosen: names of the nodes that alone were to be quantized; None where nothing says it.
    """

    operators: frozenset[str] | None = None
    excluded: tuple[str, ...] = ()
    chosen: frozenset[str] | None = None

    def excludes(self, node: str, names: Iterable[str]) -> bool:
        """Whether a node, of which these are the names and its module's, was left out."""
        if self.chosen is not None and node not in self.chosen:
            return True
        return any(names_module(pattern, name) for name in (node, *names) for pattern in self.excluded)


def read_asked(folder: Path) -> Asked:
    """From Optimum's `ort_config.json`, and from `skip` and `fallback` in the manifest, where they are.

    Raises:
        ModelError: a file is there and cannot be read.
    """
    quantization = _optimum(folder / _OPTIMUM)
    operators = quantization.get("operators_to_quantize")
    chosen = quantization.get("nodes_to_quantize")
    excluded = [*(quantization.get("nodes_to_exclude") or ()), *_skipped(folder)]
    return Asked(
        frozenset(operators) if operators else None,
        tuple(dict.fromkeys(excluded)),
        frozenset(chosen) if chosen else None,
    )


def _optimum(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")).get("quantization") or {})
    except (ValueError, AttributeError, TypeError) as error:
        raise ModelError(f"{path} is not what Optimum writes: {error}; quantize the model again") from error


def _skipped(folder: Path) -> list[str]:
    manifest = read_manifest(folder)
    if manifest is None:
        return []
    skipped = [name for verb in manifest.recipe.values() if isinstance(verb, dict) for name in verb.get("skip", ())]
    skipped += manifest.details.get("skip", ())  # of what was trained for INT8
    steps = manifest.details.get("fallback", {}).get("steps", [])
    return [*skipped, *(steps[-1]["returned"] if steps else ())]
