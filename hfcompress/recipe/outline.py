"""What can be read of a recipe that may be wrong: the tolerant view that the second pass of checks works on.

A value of the wrong kind reads as absent here, since pydantic has already named it, and what follows from a fault is
not a fault of its own: a stage with a misspelt `from` has no known source, not the one before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from hfcompress.recipe.faults import Loc, closest
from hfcompress.recipe.recipe import SOURCE, SOURCE_FORMAT
from hfcompress.recipe.stages import VERB_CONFIGS
from hfcompress.recipe.tasks import TASKS, TaskLanguage
from hfcompress.recipe.verb import Format, VerbConfig


@dataclass(frozen=True)
class Named:
    """A name that stands somewhere in the recipe; `pinned` when a revision says that it is a Hub id."""

    loc: Loc
    name: str
    pinned: bool = False


@dataclass(frozen=True)
class StageOutline:
    """One stage, as far as it can be read.

    Attributes:
        source: what it transforms; None when that cannot be told.
        explicit: whether `from` says so, in place of the order of the recipe.
        verb: its verb; None when it has none, several, or a misspelt one.
        models: the models that it names beside its source: teachers, and what a student starts from.
        said: the config of its verb, as it is written; empty when it has none.
    """

    name: str
    source: str | None
    explicit: bool
    verb: str | None
    models: tuple[Named, ...]
    said: Mapping[str, Any]

    @property
    def config(self) -> type[VerbConfig] | None:
        """The config class of its verb."""
        return VERB_CONFIGS[self.verb] if self.verb else None


@dataclass(frozen=True)
class Outline:
    """A recipe, as far as it can be read."""

    raw: Mapping[str, Any]
    stages: Mapping[str, StageOutline]

    @property
    def artifacts(self) -> list[str]:
        """All names that an artifact goes by."""
        return [SOURCE, *self.stages]

    @property
    def language(self) -> TaskLanguage | None:
        """The words of its task; None when it names no task that there is."""
        return next((language for task, language in TASKS.items() if task == self.raw.get("task")), None)

    @property
    def baseline(self) -> str:
        """What gates compare with by default; the same rule as `Recipe.baseline_name`."""
        tuned = (name for name, stage in self.stages.items() if stage.verb == "finetune")
        return text(self.raw.get("baseline")) or next(tuned, SOURCE)

    def format_of(self, artifact: str | None) -> Format | None:
        """The format of an artifact; None when it cannot be told."""
        behind: list[StageOutline] = []  # what it is made from, one after the other
        while artifact != SOURCE:
            stage = self.stages.get(artifact) if artifact is not None else None
            if stage is None or stage.config is None or stage in behind:
                break
            behind.append(stage)
            artifact = stage.source
        found: Format | None = SOURCE_FORMAT if artifact == SOURCE else None
        for stage in reversed(behind):
            found = stage.config.produces(stage.said, found) if stage.config else None
        return found

    def is_int8(self, artifact: str | None) -> bool:
        """Whether an artifact is INT8, or trained for it; False when that cannot be told."""
        seen: set[str] = set()
        while artifact is not None and artifact in self.stages and artifact not in seen:
            seen.add(artifact)
            stage = self.stages[artifact]
            if stage.config is None or stage.config.gives_int8:
                return stage.config is not None
            artifact = stage.source if stage.config.takes_int8 else None
        return False

    def giving(self, formats: frozenset[Format], before: str) -> list[str]:
        """The artifacts of these formats that the recipe names before a stage."""
        names = [SOURCE, *takewhile(lambda name: name != before, self.stages)]
        return [name for name in names if self.format_of(name) in formats]

    def block(self, name: str) -> Mapping[str, Any]:
        """A block of the recipe; empty when it is absent or no mapping."""
        return mapping(self.raw.get(name))


def outline(raw: Mapping[str, Any]) -> Outline:
    """The tolerant view of a raw recipe."""
    stages = mapping(raw.get("stages"))
    before = dict(zip(stages, [SOURCE, *stages], strict=False))
    return Outline(raw, {name: _stage(name, mapping(stage), before[name]) for name, stage in stages.items()})


def mapping(value: Any) -> Mapping[str, Any]:
    """The value when it is a mapping, an empty one otherwise."""
    return value if isinstance(value, Mapping) else {}


def items(value: Any) -> list[Any]:
    """The value when it is a list, an empty one otherwise."""
    return value if isinstance(value, list) else []


def text(value: Any) -> str | None:
    """The value when it is text."""
    return value if isinstance(value, str) else None


def _stage(name: str, raw: Mapping[str, Any], before: str) -> StageOutline:
    source = raw.get("from", raw.get("from_"))
    misspelt = any(closest(key, ["from"]) for key in raw if key not in ("from", "from_"))
    verb = _verb(raw)
    return StageOutline(
        name=name,
        source=None if misspelt else before if source is None else text(source),
        explicit=source is not None,
        verb=verb,
        models=(*_teachers(name, verb, raw), *_student_model(name, verb, raw)) if verb else (),
        said=mapping(raw[verb]) if verb else {},
    )


def _verb(raw: Mapping[str, Any]) -> str | None:
    held = [verb for verb in VERB_CONFIGS if raw.get(verb) is not None]
    unknown = [key for key in raw if key not in VERB_CONFIGS and key not in ("from", "from_")]
    if len(held) != 1 or any(closest(key, VERB_CONFIGS) for key in unknown):
        return None
    return held[0]


def _teachers(name: str, verb: str, raw: Mapping[str, Any]) -> list[Named]:
    if "teacher" not in VERB_CONFIGS[verb].model_fields:
        return []
    given = mapping(raw[verb]).get("teacher")
    several = isinstance(given, list)
    found = [
        _named(("stages", name, verb, "teacher", *((place,) if several else ())), teacher)
        for place, teacher in enumerate(items(given) if several else [given])
    ]
    return [teacher for teacher in found if teacher is not None]


def _student_model(name: str, verb: str, raw: Mapping[str, Any]) -> list[Named]:
    if "student" not in VERB_CONFIGS[verb].model_fields:
        return []
    named = _named(("stages", name, verb, "student", "model"), mapping(mapping(raw[verb]).get("student")).get("model"))
    return [] if named is None else [named]


def _named(loc: Loc, model: Any) -> Named | None:
    """A model that stands at `loc`, by its id or as a mapping; None when it cannot be read."""
    name = text(mapping(model).get("id")) if isinstance(model, Mapping) else text(model)
    return Named(loc, name, pinned=mapping(model).get("revision") is not None) if name else None
