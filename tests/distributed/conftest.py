"""Several ranks in one process: threads that share a store."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from torch.distributed import HashStore

from hfcompress.distributed.world import World

Together = Callable[..., list[Any]]


@pytest.fixture
def together() -> Together:
    """Call one function of a `World` for each rank, all at once, and give what they return, errors included."""

    def call(*functions: Callable[[World], Any]) -> list[Any]:
        store = HashStore()

        def one(rank: int) -> Any:
            try:
                return functions[rank](World(rank, len(functions), store))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - what a rank ends with is looked at
                return error

        with ThreadPoolExecutor(len(functions)) as pool:
            return list(pool.map(one, range(len(functions))))

    return call
