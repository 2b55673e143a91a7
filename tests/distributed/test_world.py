"""What ranks tell each other, and whether they see one run folder."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from torch.distributed import HashStore, TCPStore

from hfcompress.distributed.shared_folder import check_shared, show_shared
from hfcompress.distributed.world import World
from hfcompress.errors import LaunchError, StageError
from tests.distributed.conftest import Together


def test_a_message_is_heard_once_it_is_told() -> None:
    store = HashStore()
    first, second = World(0, 2, store), World(1, 2, store)
    assert second.peek("x") is None
    assert second.hear("x", within_s=0.02) is None
    first.tell("x", "ü\n")
    assert second.hear("x") == second.peek("x") == "ü\n"


def test_the_first_to_tell_wins() -> None:
    store = HashStore()
    assert [World(rank, 2, store).tell_first("stop", str(rank)) for rank in (1, 0)] == ["1", "1"]


def test_what_rank_zero_finds_out_holds_for_all(together: Together) -> None:
    def ask(world: World) -> str:
        return world.from_main("who", lambda: f"asked on {world.rank}")

    assert together(ask, ask, ask) == ["asked on 0"] * 3
    assert World().from_main("who", lambda: "alone") == "alone"


def test_the_end_of_the_process_that_keeps_the_messages_is_an_error() -> None:
    server = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    client = TCPStore("127.0.0.1", server.port, is_master=False, timeout=timedelta(seconds=5))
    world = World(1, 2, client)
    assert world.peek("x") is None
    del server
    with pytest.raises(StageError, match="another process of this job has ended"):
        world.hear("x")


def test_ranks_that_see_one_folder_go_on_and_leave_nothing_in_it(together: Together, tmp_path: Path) -> None:
    answers = together(
        lambda world: check_shared(tmp_path, world),
        lambda world: show_shared(tmp_path, world),
        lambda world: show_shared(tmp_path, world),
    )
    assert answers == [None, None, None]
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("theirs", ["empty", "missing"])
def test_a_rank_that_sees_another_folder_is_named(together: Together, tmp_path: Path, theirs: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "empty").mkdir()
    refused, *_ = together(
        lambda world: check_shared(tmp_path / "run", world, patience_s=0.1),
        lambda world: show_shared(tmp_path / "run", world, patience_s=0.1),
        lambda world: show_shared(tmp_path / theirs, world, patience_s=0.1),
    )
    assert isinstance(refused, LaunchError)
    assert "rank 2 (machine 0) cannot see what rank 0 writes there" in str(refused)
    assert "rank 1" not in str(refused)
    assert os.listdir(tmp_path / "run") == []
