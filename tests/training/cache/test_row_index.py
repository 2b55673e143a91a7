"""Every row id is found at its place, whatever the order it came in."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfcompress.errors import DataError, InputError
from hfcompress.training.cache import row_index
from hfcompress.training.cache.row_index import RowIndex, write_index
from hfcompress.training.cache.sealed import load_arrays

LARGE = st.integers(-(2**63), 2**63 - 1)


def index_of(ids: list[int], chunk: int) -> RowIndex:
    array = np.array(ids, dtype=np.int64)
    with TemporaryDirectory() as folder:
        write_index(Path(folder), (array[at : at + chunk] for at in range(0, len(array), chunk)), len(array))
        assert sorted(path.name for path in Path(folder).iterdir()) == ["place.npy", "row_id.npy"]
        return RowIndex(**load_arrays(Path(folder)))


@settings(max_examples=60)
@given(st.lists(LARGE, unique=True, min_size=1, max_size=60), st.integers(1, 20), st.integers(1, 7), st.booleans())
def test_it_finds_what_a_dict_finds(ids: list[int], chunk: int, run: int, ascending: bool) -> None:
    ids = sorted(ids) if ascending else ids
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_index, "_RUN", run)
        patch.setattr(row_index, "_WAITING", 8)
        index = index_of(ids, chunk)
    places = {row: place for place, row in enumerate(ids)}
    asked = list(reversed(ids))
    assert index.places(np.array(asked)).tolist() == [places[row] for row in asked]
    assert len(index) == len(ids)


@pytest.mark.parametrize("ids", [[4, 1, 4], [1, 4, 4, 9], [1, 2, 3, 1]])
@pytest.mark.parametrize("run", [1, 2, 100])
def test_an_id_that_comes_twice_is_named(ids: list[int], run: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_index, "_RUN", run)
    twice = next(row for row in ids if ids.count(row) == 2)
    with pytest.raises(DataError, match=f"row_id {twice} comes twice"):
        index_of(ids, 2)


@pytest.mark.parametrize("strange", [0, 15, 99])
def test_a_row_that_is_not_there_is_named(strange: int) -> None:
    with pytest.raises(InputError, match=rf"does not hold row {strange}:.*`teacher_cache: off`"):
        index_of([10, 20, 30], 3).places(np.array([10, strange]))
