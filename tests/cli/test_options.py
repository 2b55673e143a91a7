"""What options that several commands share mean."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from hfcompress.cli import failure, main
from hfcompress.cli.options import data_config
from hfcompress.errors import InputError

#: What `datasets` reads when it is imported.
BARS = "HF_DATASETS_DISABLE_PROGRESS_BARS"


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


@pytest.mark.parametrize(
    "words",
    [
        ["benchmark", "MODEL"],
        ["explain", "MODEL", "--against", "MODEL"],
        ["simulate", "MODEL"],
        ["quantize", "MODEL", "--out", "OUT"],
    ],
)
def test_libraries_are_hushed_before_data_is_opened(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str | None] = []

    def names(config: object) -> list[str]:
        said.append(os.environ.get(BARS))
        return ["train"]

    monkeypatch.setattr(failure, "raise_on_sigterm", lambda: None)
    monkeypatch.setattr("hfcompress.tasks.dataset.split_names", names)
    # Set first, so that what the command leaves is taken back afterwards.
    monkeypatch.setenv(BARS, "0")
    monkeypatch.delenv(BARS)
    places = {"MODEL": str(tmp_path / "none"), "OUT": str(tmp_path / "out")}
    monkeypatch.setattr(sys, "argv", ["hfcompress", *(places.get(word, word) for word in words), "--data", "rows"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert said == ["1"]
