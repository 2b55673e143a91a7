"""Rows: every format, what is refused, and a digest of content alone."""

from __future__ import annotations

import os
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pil

from hfcompress.errors import DataError
from hfcompress.tasks.dataset import Rows, digest_rows
from tests import tiny
from tests.tasks.conftest import TABLE, write

Load = Callable[..., Rows]
FORMATS = ("rows.csv", "rows.tsv", "rows.json", "rows.jsonl", "rows.parquet", "saved", "saved.single")


def columns(rows: Rows) -> dict[str, list[Any]]:
    return rows.splits["train"].to_dict()


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_rows_and_digest(load: Load, tmp_path: Path, name: str) -> None:
    rows = load(write(tmp_path / name))
    assert columns(rows) == {**TABLE, "row_id": [0, 1, 2, 3]}
    assert rows.digests == load(write(tmp_path / "reference" / "rows.csv")).digests


def test_a_folder_of_files_has_the_splits_that_they_are_named_after(load: Load, tmp_path: Path) -> None:
    reviews = tiny.save_reviews(tmp_path / "reviews", train=6, validation=4, test=2)
    rows = load(reviews, splits={"train": "train", "validation": "validation", "test": "test"})
    assert {split: len(part) for split, part in rows.splits.items()} == {"train": 6, "validation": 4, "test": 2}
    assert rows.splits["validation"]["text"][:] == [row["text"] for row in tiny.make_reviews(4, seed=1)]


def test_a_home_relative_path_is_expanded(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "rows.csv")
    assert columns(load("~/rows.csv"))["text"] == TABLE["text"]


def test_columns_are_renamed_to_their_roles_even_when_their_names_are_swapped(load: Load, tmp_path: Path) -> None:
    path = write(
        tmp_path / "rows.csv", {"text": ["x", "y"], "label": ["p", "q"], "row_id": ["s", "t"], "other": [1, 2]}
    )
    rows = load(path, columns={"text": "label", "label": "text", "text_pair": "row_id"})
    assert columns(rows) == {"text": ["p", "q"], "label": ["x", "y"], "text_pair": ["s", "t"], "row_id": [0, 1]}


@pytest.mark.parametrize(
    "name, config, message",
    [
        ("rows.csv", {"splits": {"train": "training"}}, r"no split `training` \(data.splits.train\); it has: train"),
        ("rows.csv", {"columns": {"text": "txt"}}, r"no column `txt` \(data.columns.text\); it has: text, label"),
        ("rows.csv", {"columns": {"text_pair": "b"}}, r"no column `b` \(data.columns.text_pair\)"),
        ("rows.csv", {"columns": {"text_pair": "text"}}, "should name each column once"),
        ("rows.csv", {"path": "no/such/rows.csv"}, "'no/such/rows.csv' cannot be loaded: .*; give a csv, json or parq"),
        ("rows.csv", {"path": "nobody/nothing"}, "'nobody/nothing' cannot be loaded: .*; give a csv"),
    ],
)
def test_what_is_missing_is_named_with_what_is_there(
    load: Load, tmp_path: Path, name: str, config: dict[str, Any], message: str
) -> None:
    path = write(tmp_path / name)
    with pytest.raises(DataError, match=message):
        load(config.pop("path", path), **config)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("rows.txt", "text", "should end in .csv, .tsv, .json, .jsonl, .parquet, got '.txt'"),
        ("rows", "text", "got 'no suffix'"),
        ("rows.csv", "", "cannot be loaded: No columns to parse from file"),
        ("rows.csv", "text,label\na,b\nc,d,e,f\n", "cannot be loaded: .*Expected 2 fields in line 3, saw 4"),
        ("rows.json", "{", "cannot be loaded: "),
        ("rows.parquet", "no parquet", "cannot be loaded: "),
        ("rows.csv", "text,label\n", "split `train` of .* has no rows; fill or remove"),
        ("rows.csv", "text,label\na,x\n,y\n", "column `text` of split `train`.* has no text in row 1; remove"),
        ("rows.csv", "text,label\n1,x\n2,y\n", "should hold text, got int64; turn it into strings"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_clear_error(
    load: Load, tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        load(tmp_path / name)


def test_an_empty_file_among_those_of_a_folder_is_named(load: Load, tmp_path: Path) -> None:
    write(tmp_path / "rows" / "train.csv")
    (tmp_path / "rows" / "test.csv").write_text("text,label\n")
    with pytest.raises(DataError, match=r"split `test` of .* has no rows"):
        load(tmp_path / "rows")


def test_an_empty_saved_split_is_named(load: Load, tmp_path: Path) -> None:
    full = Dataset.from_dict(TABLE)
    DatasetDict({"train": full, "test": full.select([])}).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(DataError, match=r"saved holds a split that has no rows"):
        load(tmp_path / "saved", splits={"train": "train", "test": "test"})


def test_a_limit_takes_the_same_rows_for_the_same_seed_in_their_order(load: Load, reviews: Path) -> None:
    first, second, other = (columns(load(reviews, limit={"train": 20}, seed=seed))["row_id"] for seed in (3, 3, 4))
    assert first == second == sorted(set(first))
    assert len(first) == 20
    assert other != first
    whole = columns(load(reviews))
    assert columns(load(reviews, limit={"train": 20}, seed=3))["text"] == [whole["text"][row] for row in first]


def test_a_limit_above_the_number_of_rows_changes_nothing(load: Load, reviews: Path) -> None:
    assert load(reviews, limit={"train": 64}).digests == load(reviews).digests
    assert load(reviews, limit={"train": 10_000}).digests == load(reviews).digests


def test_the_digest_does_not_change_with_a_files_date_or_place(load: Load, tmp_path: Path) -> None:
    before = load(write(tmp_path / "a.csv")).digests
    os.utime(tmp_path / "a.csv", (1, 1))
    assert load(tmp_path / "a.csv").digests == before
    shutil.copy(tmp_path / "a.csv", tmp_path / "b.csv")
    assert load(tmp_path / "b.csv").digests == before


def test_the_digest_does_not_change_with_columns_that_have_no_role(load: Load, tmp_path: Path) -> None:
    wide = write(tmp_path / "wide.csv", {**TABLE, "comment": ["x"] * 4})
    assert load(wide).digests == load(write(tmp_path / "rows.csv")).digests


def test_the_digest_changes_with_the_cap_and_the_rows_that_it_takes(load: Load, reviews: Path) -> None:
    limits = [{"seed": 0}, {"limit": {"train": 20}, "seed": 0}, {"limit": {"train": 21}, "seed": 0}]
    limits.append({"limit": {"train": 20}, "seed": 1})
    assert len({load(reviews, **limit).digests["train"] for limit in limits}) == 4


def test_the_digest_changes_with_a_further_column(load: Load, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", {**TABLE, "second": TABLE["text"]})
    assert load(path).digests != load(path, columns={"text_pair": "second"}).digests


CELLS = st.lists(st.tuples(st.text(max_size=6), st.sampled_from(["a", "b"])), min_size=1, max_size=8)


def table(cells: list[tuple[str, str]]) -> Dataset:
    return Dataset.from_dict({"text": [text for text, _ in cells], "label": [label for _, label in cells]})


@settings(deadline=None, max_examples=40)
@given(CELLS, CELLS)
def test_two_tables_have_one_digest_exactly_when_they_are_equal(
    first: list[tuple[str, str]], second: list[tuple[str, str]]
) -> None:
    assert (digest_rows(table(first)) == digest_rows(table(second))) == (first == second)
    assert digest_rows(table(first)) == digest_rows(table(list(first)))


def test_the_digest_does_not_depend_on_how_rows_are_stored_in_chunks() -> None:
    whole = Dataset.from_dict({"text": [str(row) for row in range(2500)], "label": [row % 2 for row in range(2500)]})
    reordered = whole.select(list(range(2499, -1, -1))).select(list(range(2499, -1, -1)))
    assert digest_rows(reordered) == digest_rows(whole)


def test_the_digest_covers_the_names_of_a_class_label() -> None:
    def labelled(names: list[str]) -> Dataset:
        features = Features({"text": Value("string"), "label": ClassLabel(names=names)})
        return Dataset.from_dict({"text": ["x", "y"], "label": [0, 1]}, features=features)

    assert digest_rows(labelled(["a", "b"])) == digest_rows(labelled(["a", "b"]))
    assert digest_rows(labelled(["a", "b"])) != digest_rows(labelled(["b", "a"]))


def image_files(folder: Path, shades: list[int]) -> list[str]:
    folder.mkdir(parents=True)
    for index, shade in enumerate(shades):
        Pil.fromarray(np.full((4, 4), shade, dtype=np.uint8)).save(folder / f"{index}.png")
    return [str(folder / f"{index}.png") for index in range(len(shades))]


def images(cells: list[Any]) -> Dataset:
    features = Features({"image": Image(), "label": Value("int64")})
    return Dataset.from_dict({"image": cells, "label": [0] * len(cells)}, features=features)


def test_an_image_counts_by_its_bytes_wherever_they_are_stored(tmp_path: Path) -> None:
    paths = image_files(tmp_path / "here", [10, 200])
    elsewhere = image_files(tmp_path / "there", [10, 200])
    stored = [{"bytes": Path(path).read_bytes(), "path": None} for path in paths]
    named = [{"bytes": Path(path).read_bytes(), "path": f"{index}.png"} for index, path in enumerate(paths)]
    digests = {digest_rows(images(cells)) for cells in (paths, elsewhere, stored, named)}
    assert len(digests) == 1


def test_an_image_that_changes_under_the_same_path_changes_the_digest(tmp_path: Path) -> None:
    rows = images(image_files(tmp_path / "a", [10, 200]))
    before = digest_rows(rows)
    Pil.fromarray(np.full((4, 4), 11, dtype=np.uint8)).save(tmp_path / "a" / "0.png")
    assert digest_rows(rows) != before


def test_a_missing_image_has_a_digest_of_its_own(tmp_path: Path) -> None:
    path = image_files(tmp_path / "a", [10])[0]
    assert len({digest_rows(images(cells)) for cells in ([path, None], [None, path], [path, path])}) == 3


def test_a_folder_of_images_is_read(load: Load, tmp_path: Path) -> None:
    for name, shade in (("dark", 10), ("light", 240)):
        image_files(tmp_path / "images" / "train" / name, [shade, shade + 1])
    rows = load(tmp_path / "images", task="image-classification")
    assert rows.splits["train"].features["label"].names == ["dark", "light"]
    assert sorted(rows.splits["train"]["label"][:]) == [0, 0, 1, 1]


def test_the_digest_reads_images_in_batches(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).bytes(200_000)
    rows = images([{"bytes": noise, "path": None}] * 100)
    DatasetDict({"train": rows}).save_to_disk(str(tmp_path / "few"))
    DatasetDict({"train": images([{"bytes": noise, "path": None}] * 500)}).save_to_disk(str(tmp_path / "many"))
    peaks = [_peak(DatasetDict.load_from_disk(str(tmp_path / name))["train"]) for name in ("few", "many")]
    assert peaks[1] < 1.5 * peaks[0], "five times the rows should not need five times the memory"


def _peak(rows: Dataset) -> int:
    digest_rows(rows.select([0]))
    tracemalloc.start()
    try:
        digest_rows(rows)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl"])
def test_a_json_file_without_rows_is_refused(name: str, load: Load, tmp_path: Path) -> None:
    (tmp_path / name).write_text("")
    with pytest.raises(DataError, match=r"no rows|cannot be loaded"):
        load(tmp_path / name)
