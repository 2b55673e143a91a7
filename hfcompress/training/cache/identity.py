"""What a teacher cache was made of: equal identity, equal outputs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hfcompress.artifact import hash_file, sha256_of
from hfcompress.errors import InputError
from hfcompress.training.cache.kept import Keep

#: Goes up when the files of a cache are laid out in another way.
FORMAT = 1

_WORDS = {
    "teacher": "another teacher",
    "precision": "another precision",
    "data.rows": "other rows",
    "processor": "another tokenizer or image processor",
}
#: What a call of a fast tokenizer leaves in it, and `save_pretrained` writes down.
_LEFT_BY_CALLS = ("truncation", "padding")
#: What decides ids and may be set on a tokenizer after it was loaded, and `save_pretrained` does not look at then.
_SET_BY_HAND = ("padding_side", "truncation_side", "model_max_length")


@dataclass(frozen=True)
class Identity:
    """Everything that decides what is in a cache.

    Attributes:
        task: the recipe's task, which decides the teacher's head.
        teacher: digest of the teacher's files.
        precision: the dtype that the teacher computes in.
        data: plain data that decides the prepared rows, besides the processor: digests of the `rows` after the cap,
            unlabelled ones included, `max_length`, and the seed of what preparing them draws.
        processor: `processor_digest` of what makes the teacher's inputs of them.
        keep: what is kept of the outputs.
        format: of the files.
    """

    task: str
    teacher: str
    precision: str
    data: Mapping[str, Any]
    processor: str
    keep: Keep
    format: int = FORMAT

    @property
    def key(self) -> str:
        """sha256 of the identity as canonical JSON."""
        return sha256_of(asdict(self))

    def write(self, path: Path) -> None:
        """Write it beside the shards, whole or not at all."""
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)

    def check_written(self, path: Path) -> None:
        """Refuse a folder that was filled from something else; one that holds no identity yet is good.

        Raises:
            InputError: names everything that differs.
        """
        if not path.is_file():
            return
        try:
            written = json.loads(path.read_text(encoding="utf-8"))
            differences = _differences(written, asdict(self))
        except (ValueError, AttributeError) as error:
            raise InputError(f"{path} cannot be read ({error}); delete {path.parent}, and it is filled anew") from error
        if differences:
            raise InputError(
                f"the teacher cache {path.parent} was filled from {'; '.join(differences)}; name another folder, "
                "delete this one, or set `teacher_cache: off`"
            )


def _differences(written: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    before, now = _flat(written), _flat(wanted)
    names = [name for name in {**now, **before} if before.get(name) != now.get(name)]
    return [f"{_word(name)} ({_short(before.get(name))} instead of {_short(now.get(name))})" for name in names]


def _flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def _word(name: str) -> str:
    return next((word for known, word in _WORDS.items() if name.startswith(known)), f"another {name.split('.')[-1]}")


def _short(value: Any) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text


def processor_digest(processor: Any) -> str:
    """sha256 of what a tokenizer or an image processor saves, whatever it was called with before."""
    with TemporaryDirectory() as folder:
        processor.save_pretrained(folder)
        saved = {path.name: _canonical(path) for path in sorted(Path(folder).rglob("*")) if path.is_file()}
    by_hand = {name: getattr(processor, name, None) for name in _SET_BY_HAND}
    return sha256_of({"saved": saved, "by_hand": by_hand})


def _canonical(path: Path) -> Any:
    if path.suffix != ".json":
        return hash_file(path).sha256
    content = json.loads(path.read_text(encoding="utf-8"))
    if path.name == "tokenizer.json":
        content.update(dict.fromkeys(_LEFT_BY_CALLS))
    return content
