"""A cache of another teacher, other rows or another tokenizer is never taken for this one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hfcompress.errors import InputError
from hfcompress.training.cache.identity import processor_digest
from hfcompress.training.cache.kept import Keep, TopK
from hfcompress.training.cache.store import TeacherCache
from tests.tiny import make_tokenizer
from tests.training.cache.askable import identity

CHANGES: list[dict[str, Any]] = [
    {"task": "masked-lm"},
    {"teacher": "d" * 64},
    {"precision": "bfloat16"},
    {"data": {"rows": {"train": "d" * 64}, "max_length": 32}},
    {"data": {"rows": {"train": "b" * 64}, "max_length": 64}},
    {"data": {"rows": {"train": "b" * 64}, "max_length": 32, "seed": 0}},
    {"processor": "d" * 64},
    {"keep": Keep(dtype="float16")},
    {"keep": Keep(topk=TopK(4, 1.0))},
    {"keep": Keep(topk=TopK(4, 2.0))},
    {"keep": Keep(positions="labelled")},
    {"format": 0},
]


def test_every_part_of_it_changes_the_key() -> None:
    keys = [identity().key, *(identity(**change).key for change in CHANGES)]
    assert len(set(keys)) == len(keys)
    assert identity().key == identity().key


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher": "d" * 64}, "another teacher (dddddddddddd instead of aaaaaaaaaaaa)"),
        ({"processor": "d" * 64}, "another tokenizer or image processor (dddddddddddd instead of cccccccccccc)"),
        (
            {"data": {"rows": {"train": "d" * 64, "unlabeled": "e" * 64}, "max_length": 32, "seed": 7}},
            "other rows (dddddddddddd instead of bbbbbbbbbbbb); other rows (eeeeeeeeeeee instead of None);",
        ),
        (
            {"data": {"rows": {"train": "b" * 64}, "max_length": 64}, "precision": "bfloat16"},
            "another precision (bfloat16 instead of float32); another max_length (64 instead of 32)",
        ),
    ],
)
def test_a_cache_of_something_else_is_refused_with_what_differs(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    identity(**change).write(tmp_path / "identity.json")
    with pytest.raises(InputError) as raised:
        TeacherCache(tmp_path, identity())
    assert message in str(raised.value)
    assert "`teacher_cache: off`" in str(raised.value)


def test_the_same_identity_is_welcome_and_so_is_an_empty_folder(tmp_path: Path) -> None:
    TeacherCache(tmp_path / "new", identity())
    identity(Keep(topk=TopK(4, 2.0))).write(tmp_path / "identity.json")
    TeacherCache(tmp_path, identity(Keep(topk=TopK(4, 2.0))))


def test_an_identity_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "identity.json").write_text("[1")
    with pytest.raises(InputError, match=r"cannot be read .*delete"):
        TeacherCache(tmp_path, identity())


def test_a_tokenizer_is_the_same_after_it_was_called() -> None:
    tokenizer = make_tokenizer()
    before = processor_digest(tokenizer)
    tokenizer(["good film"], truncation=True, max_length=3, padding="max_length")
    assert processor_digest(tokenizer) == before
    assert processor_digest(make_tokenizer()) == before


def test_another_vocabulary_or_setting_is_another_tokenizer() -> None:
    longer, left = make_tokenizer(), make_tokenizer()
    longer.add_tokens(["new"])
    left.truncation_side = "left"
    assert len({processor_digest(tokenizer) for tokenizer in (make_tokenizer(), longer, left)}) == 3


def test_another_size_of_images_is_another_processor() -> None:
    from transformers import ViTImageProcessor

    small, large = (ViTImageProcessor(size={"height": size, "width": size}) for size in (16, 32))
    assert processor_digest(small) != processor_digest(large)
    assert processor_digest(small) == processor_digest(ViTImageProcessor(size={"height": 16, "width": 16}))
