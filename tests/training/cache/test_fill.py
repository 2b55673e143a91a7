"""A cache is filled once, by any number of processes, however often it is stopped."""

from __future__ import annotations

import logging
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hfcompress.errors import DataError, InputError
from hfcompress.training.cache import fill as filling
from hfcompress.training.cache.fill import Processes, Questions, estimate, fill
from hfcompress.training.cache.kept import Keep, Kept, TopK
from hfcompress.training.cache.store import TeacherCache
from tests.training.cache.askable import (
    Arithmetic,
    PowerCutError,
    by_hand,
    collate,
    new_cache,
    questions,
    uneven_rows,
)

Usage = namedtuple("Usage", "total used free")
LEVELS = {"rows": Keep(), "tokens": Keep(), "top-k": Keep(topk=TopK(2, 2.0)), "spans": Keep(dtype="float16")}


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "_SHARD_ROWS", 10)
    monkeypatch.setattr(filling, "_SAMPLE", 3)


def filled(folder: Path, level: str = "rows", count: int = 34) -> TeacherCache:
    cache = new_cache(folder, LEVELS[level])
    fill(cache, questions(Arithmetic(level), uneven_rows(count)))
    return cache


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def flip_a_bit(path: Path) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(bytes(damaged))


@pytest.mark.parametrize("level", LEVELS)
def test_a_stop_at_any_call_and_a_resume_give_what_an_undisturbed_fill_gives(level: str, tmp_path: Path) -> None:
    filled(tmp_path / "whole", level)
    rng = np.random.default_rng(0)
    cuts = [1, *rng.integers(2, 13, size=3).tolist()]
    for cut in cuts:
        folder = tmp_path / f"cut-{cut}"
        with pytest.raises(PowerCutError):
            fill(new_cache(folder, LEVELS[level]), questions(Arithmetic(level, cut_at=cut), uneven_rows(34)))
        fill(new_cache(folder, LEVELS[level]), questions(Arithmetic(level), uneven_rows(34)))
        assert content(folder) == content(tmp_path / "whole")


def test_a_resume_asks_for_nothing_that_is_there(tmp_path: Path) -> None:
    # One call for the sample, three for a shard of 10 rows: the tenth is in the third shard.
    with pytest.raises(PowerCutError):
        fill(new_cache(tmp_path), questions(Arithmetic(cut_at=9), uneven_rows(34)))
    teacher = Arithmetic()
    fill(new_cache(tmp_path), questions(teacher, uneven_rows(34)))
    assert sorted(teacher.asked) == list(range(120, 134))
    again = Arithmetic()
    fill(new_cache(tmp_path), questions(again, uneven_rows(34)))
    assert not again.asked


def test_two_processes_make_disjoint_shards_of_the_same_cache(tmp_path: Path) -> None:
    filled(tmp_path / "alone")
    teachers, waits = [Arithmetic(), Arithmetic()], [0, 0]

    def work(rank: int) -> None:
        def wait() -> None:
            waits[rank] += 1

        fill(new_cache(tmp_path / "both"), questions(teachers[rank], uneven_rows(34)), Processes(rank, 2, wait))

    work(0)
    after_sample = teachers[0].asked[3:]
    work(1)
    assert waits == [2, 2]
    assert sorted(after_sample) == [*range(100, 110), *range(120, 130)]
    assert sorted(teachers[1].asked) == [*range(110, 120), *range(130, 134)]
    assert content(tmp_path / "both") == content(tmp_path / "alone")


def test_a_process_that_does_not_see_the_cache_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not seen by process 1.*shared folder"):
        fill(new_cache(tmp_path), questions(Arithmetic(), uneven_rows(5)), Processes(1, 2))


@pytest.mark.parametrize("level", ["rows", "tokens"])
def test_every_row_is_found_by_its_id_in_any_order(level: str, tmp_path: Path) -> None:
    ids = np.random.default_rng(1).permutation(10_000)[:34] - 5_000
    rows = uneven_rows(34, ids=ids.tolist())
    cache = new_cache(tmp_path)
    fill(cache, questions(Arithmetic(level), rows))
    order = np.random.default_rng(2).permutation(34)
    found = cache.lookup(ids[order])
    for place, row in enumerate(order.tolist()):
        tokens = by_hand(torch.tensor(rows[row]["input_ids"]))
        expected = tokens.sum(0, keepdim=True) if level == "rows" else tokens
        np.testing.assert_allclose(found.row(place).arrays["logits"], expected.numpy(), atol=1e-5)
    assert cache.of_tokens == (level == "tokens")


@pytest.mark.parametrize("file", ["logits.npy", "offsets.npy", "manifest.json"])
def test_a_damaged_shard_is_seen_when_it_is_read_and_made_again_when_filling(
    file: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filled(tmp_path, "tokens")
    whole = content(tmp_path)
    flip_a_bit(tmp_path / "shard-00001" / file)
    cache = new_cache(tmp_path, LEVELS["tokens"])
    assert isinstance(cache.lookup(np.array([100, 133])), Kept)  # the other shards are good
    with pytest.raises(InputError, match=rf"shard-00001/{file}.*run the stage again.*`teacher_cache: off`"):
        cache.lookup(np.array([100, 115]))
    with caplog.at_level(logging.WARNING):
        fill(cache, questions(Arithmetic("tokens"), uneven_rows(34)))
    assert "shard-00001" in caplog.text
    assert content(tmp_path) == whole
    assert len(cache.lookup(np.array([100, 115]))) == 2


def test_a_damaged_index_is_made_again(tmp_path: Path) -> None:
    filled(tmp_path)
    whole = content(tmp_path)
    flip_a_bit(tmp_path / "index" / "place.npy")
    with pytest.raises(InputError, match="no index that is whole"):
        new_cache(tmp_path).lookup(np.array([100]))
    filled(tmp_path)
    assert content(tmp_path) == whole


def test_a_shard_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(PowerCutError):
        fill(new_cache(tmp_path), questions(Arithmetic(cut_at=5), uneven_rows(34)))
    with pytest.raises(InputError, match="shard-00001 is missing"):
        new_cache(tmp_path).lookup(np.array([115]))


def test_ids_that_come_twice_are_found_before_the_teacher_is_asked_about_all(tmp_path: Path) -> None:
    teacher = Arithmetic()
    with pytest.raises(DataError, match="row_id 7 comes twice"):
        fill(new_cache(tmp_path), questions(teacher, uneven_rows(34, ids=[7, *range(33)])))
    assert len(teacher.asked) == 3


@pytest.mark.parametrize("level", LEVELS)
def test_the_estimate_is_near_what_is_written(level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "_SAMPLE", 64)
    rows, keep = uneven_rows(400), LEVELS[level]
    monkeypatch.setattr(filling, "_SHARD_ROWS", 400)
    guess = estimate(questions(Arithmetic(level), rows), keep)
    cache = new_cache(tmp_path, keep)
    fill(cache, questions(Arithmetic(level), rows))
    written = sum(path.stat().st_size for path in tmp_path.rglob("*.npy"))
    assert guess == pytest.approx(written, rel=0.15)


def test_a_disk_that_is_too_small_is_found_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(1000, 900, 100))
    with pytest.raises(
        InputError, match=r"needs about .* GB in .* 1e-07 GB free; make room, or set `teacher_cache: off`"
    ):
        fill(new_cache(tmp_path / "cache"), questions(Arithmetic(), uneven_rows(34)))
    assert not (tmp_path / "cache").exists()


def test_a_vocabulary_in_full_is_refused_with_its_size_and_the_way_out(tmp_path: Path) -> None:
    rows = uneven_rows(34)
    tokens = sum(rows["length"]) / 34
    with pytest.raises(InputError, match=r"would take about (.*) GB in full.*`teacher_cache_top_k: 64`") as raised:
        fill(new_cache(tmp_path), questions(Arithmetic("tokens", classes=100_000), rows))
    said = float(str(raised.value).split("about ")[1].split()[0])
    assert said == pytest.approx(34 * tokens * 100_000 * 4 / 1e9, rel=0.5)
    keep = Keep(topk=TopK(64, 2.0))
    fill(new_cache(tmp_path, keep), questions(Arithmetic("tokens", classes=100_000), rows.select(range(3))))


def test_large_rows_make_small_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "_SHARD_BYTES", 3 * CLASS_BYTES)
    filled(tmp_path, count=9)
    assert sorted(path.name for path in tmp_path.glob("shard-*")) == ["shard-00000", "shard-00001", "shard-00002"]


CLASS_BYTES = 5 * 4


def test_rows_without_an_id_are_refused_with_the_way_out() -> None:
    with pytest.raises(InputError, match=r"only input_ids, length; add one: rows.add_column"):
        questions(Arithmetic(), uneven_rows(3).remove_columns("row_id"))


def test_a_collator_that_gives_other_ids_is_refused(tmp_path: Path) -> None:
    def shifted(rows: Any) -> dict[str, np.ndarray]:
        return collate([{**row, "row_id": row["row_id"] + 1} for row in rows])

    with pytest.raises(InputError, match="collator gives other row ids"):
        fill(new_cache(tmp_path), Questions(Arithmetic(), uneven_rows(5), shifted))
