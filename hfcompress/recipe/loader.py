"""From a file to a checked `Recipe`, and back to its canonical text."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hfcompress.errors import RecipeError
from hfcompress.recipe.credential_faults import credential_faults
from hfcompress.recipe.faults import listed, printable, recipe_error
from hfcompress.recipe.graph import graph_faults
from hfcompress.recipe.messages import faults_of
from hfcompress.recipe.outline import outline
from hfcompress.recipe.overrides import apply_overrides_, override_paths
from hfcompress.recipe.recipe import Recipe
from hfcompress.recipe.references import reference_faults
from hfcompress.recipe.yaml_text import NotPlainError, plain, read_yaml, write_yaml

_LARGEST_FILE = 1_000_000  # bytes


def load_recipe(path: Path | str, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe without importing torch.

    Args:
        path: a YAML file of at most 1 MB.
        overrides: `path.to.field=value`, applied before the recipe is checked.

    Raises:
        RecipeError: names the file and every wrong field in it, not only the first.
    """
    return parse_recipe(_read(Path(path)), origin=str(path), overrides=overrides)


def parse_recipe(source: str | Mapping[str, Any], origin: str = "<recipe>", overrides: Sequence[str] = ()) -> Recipe:
    """Check a recipe given as YAML text or as plain data; `origin` heads the errors.

    Raises:
        RecipeError: as `load_recipe`.
    """
    raw = _plain_mapping(source, origin)
    refused = apply_overrides_(raw, overrides)
    if refused:
        raise recipe_error(origin, refused)
    if overrides:
        origin = f"{origin} with --set {override_paths(overrides)}"
    return _checked(raw, origin)


def dump_recipe(recipe: Recipe) -> str:
    """Canonical YAML: equal recipes give equal text, which loads to an equal recipe; defaults are left out."""
    return write_yaml(recipe.model_dump(mode="json", by_alias=True, exclude_defaults=True))


def recipe_sha256(text: str) -> str:
    """sha256 of the canonical text of a recipe without its block `publish`, which changes nothing of a run.

    Args:
        text: YAML; it need not be a recipe of this version.

    Raises:
        RecipeError: it is no mapping in YAML.
    """
    raw = _plain_mapping(text, "recipe.yaml")
    raw.pop("publish", None)
    return hashlib.sha256(write_yaml(raw).encode()).hexdigest()


def _checked(raw: dict[str, Any], origin: str) -> Recipe:
    # The second pass runs on a recipe that failed the first, so that one answer names all faults.
    view = outline(raw)
    across = [*graph_faults(view), *reference_faults(view), *credential_faults(raw)]
    try:
        recipe = Recipe.model_validate(raw)
    except ValidationError as error:
        # Without the cause: pydantic's own text shows keys, and a key may be a token.
        raise recipe_error(origin, [*faults_of(error), *across], raw) from None
    if across:
        raise recipe_error(origin, across, raw)
    return recipe


def _plain_mapping(source: str | Mapping[str, Any], origin: str) -> dict[str, Any]:
    try:
        raw = read_yaml(source) if isinstance(source, str) else plain(source)
    except NotPlainError as error:
        raise RecipeError(printable(f"{origin} is not valid YAML: {error}")) from None
    if isinstance(raw, dict):
        return raw
    got = "nothing" if raw is None else f"a {type(raw).__name__}"
    fields = listed(name for name, field in Recipe.model_fields.items() if field.is_required())
    raise RecipeError(
        f"{origin} should hold a mapping with {fields}, got {got}; `hfcompress init` writes one to start from"
    )


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except FileNotFoundError:
        raise RecipeError(f"there is no recipe {path}{_near_files(path)}") from None
    except IsADirectoryError:
        raise RecipeError(f"{path} is a folder, not a recipe{_recipes_in(path)}") from None
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(content) > _LARGEST_FILE:
        raise RecipeError(f"{path} is larger than 1 MB, so it is no recipe; give the YAML file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8 at byte {error.start}; save it as UTF-8") from None


def _near_files(path: Path) -> str:
    names = _yaml_files(path.parent)
    near = get_close_matches(path.name, names, n=3, cutoff=0.5)
    if near:
        return f"; did you mean {listed((str(path.with_name(name)) for name in near), 'or')}?"
    return _recipes_in(path.parent) if path.parent.is_dir() else f"; there is no folder {path.parent} either"


def _recipes_in(folder: Path) -> str:
    names = _yaml_files(folder)[:12]
    return f"; it holds {listed(names)}" if names else ""


def _yaml_files(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir() if entry.suffix in (".yaml", ".yml"))
    except OSError:
        return []
