"""What options that several commands share mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from hfcompress.cli.options import data_config
from hfcompress.errors import InputError


def rows(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.csv").write_text("text,label\na,b\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "names, expected",
    [(("train", "validation", "test"), "test"), (("train", "validation"), "validation"), (("dev",), "dev")],
)
def test_the_split_that_is_read_is_one_that_is_there(names: tuple[str, ...], expected: str, tmp_path: Path) -> None:
    folder = rows(tmp_path / "rows", *names)
    source = folder if expected != "dev" else folder / "dev.csv"
    assert data_config(str(source), [], None).splits == {"test": expected if expected != "dev" else "train"}


def test_a_split_that_is_named_is_read() -> None:
    assert data_config("rows", ["text=sentence"], "dev").splits == {"test": "dev"}


def test_a_column_without_a_role_is_refused() -> None:
    with pytest.raises(InputError, match="--column should be ROLE=COLUMN, got 'sentence'"):
        data_config("rows", ["sentence"], "dev")
