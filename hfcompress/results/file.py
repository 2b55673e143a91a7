"""Reading and writing `results.json`."""

from __future__ import annotations

import json
import os
from pathlib import Path

from hfcompress.errors import InputError
from hfcompress.results.run import Results

SCHEMA = "hfcompress.results/1"


def write_results(results: Results, path: Path) -> None:
    """Write `results.json`, whole or not at all."""
    text = json.dumps(results.model_dump(mode="json", by_alias=True), indent=2, ensure_ascii=False, allow_nan=False)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text + "\n", encoding="utf-8")
    os.replace(temporary, path)


def read_results(path: Path) -> Results:
    """Read `results.json`.

    Raises:
        InputError: the file is missing, is no JSON, or is of another schema.
    """
    try:
        return Results.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; run the recipe first: hfcompress run RECIPE") from error
    except ValueError as error:
        raise InputError(f"{path} is not a results file of schema {SCHEMA}: {error}") from error
